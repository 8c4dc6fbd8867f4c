"""What questions A1 and A4 measure, here on small networks and drawn pictures."""

import json
import math
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pixelwise.config import CNNConfig, UNetConfig
from pixelwise.data.synthetic import draw_shapes
from pixelwise.errors import ConfigError
from pixelwise.lab import affine, affine_figures, retrained
from pixelwise.lab.answer import Setting
from pixelwise.lab.rewritten import on_batch_statistics, reading
from pixelwise.labelspace import Palette
from pixelwise.models import build

make = runpy.run_path(str(Path(__file__).parents[1] / "fixtures" / "cifar10" / "make.py"))


def subject(kind):
    """A network that was never trained, with statistics of its pictures."""
    palette, images = Palette.read("handout24"), draw_shapes(6, torch.Generator().manual_seed(0))
    grey = palette.read_grey(images)
    torch.manual_seed(0)
    net = build(kind(num_filters=4))
    for layer in net.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None
    net(grey)
    return affine.Subject(net.eval().requires_grad_(False), grey, palette.encode(images), images)


@pytest.fixture(scope="module")
def cnn():
    return subject(CNNConfig)


@pytest.fixture(scope="module")
def unet():
    return subject(UNetConfig)


@pytest.fixture(scope="module")
def grid(cnn):
    return affine._grid(cnn, quick=True)


def test_a1_counts_the_handouts_network_and_draws_it(tmp_path):
    answer = affine.answer_a1(Setting(out=tmp_path))
    values = json.loads(json.dumps(answer.values))
    assert values["parameters"] == sum(one["parameters"] for one in values["blocks"]) == 86_784
    assert [one["output"][1] for one in values["blocks"]] == [16, 8, 8, 16, 32, 32]
    assert answer.figures == ("a1-network",)
    with Image.open(tmp_path / "figures" / "a1-network.png") as drawn:
        assert drawn.width > 1000


def test_a1_counts_other_settings_as_the_formula_by_hand_does(tmp_path):
    rows = affine.answer_a1(Setting(out=tmp_path)).values["configurable"]
    assert len(rows) == 5
    for row in rows:
        k2, nf, nc, nic = row["kernel"] ** 2, row["num_filters"], row["num_colours"], row["num_in_channels"]
        weights = k2 * (nic * nf + 2 * nf**2 + 4 * nf**2 + 2 * nf**2 + nf * nc + nc**2)
        channels = nf + 2 * nf + 2 * nf + nf + nc
        assert row["parameters"] == weights + channels + nc + 2 * channels
        assert row["output"] == [3, nc, 16, 16]


def test_a1_finds_our_convolution_to_be_torchs(tmp_path):
    rows = affine.answer_a1(Setting(out=tmp_path)).values["my_conv2d"]
    assert max(row[name] for row in rows for name in row if name.startswith(("output", "gradient"))) < 1e-12


def test_the_grid_has_the_accuracy_of_each_a_and_b(cnn, grid):
    row, column = grid["b"].index(0.5), grid["a"].index(2.0)
    for name, net in (("stored", cnn.net), ("batch", on_batch_statistics(cnn.net))):
        assert np.array(grid[name]).shape == (len(grid["b"]), len(grid["a"]))
        logits = net(2 * cnn.grey + 0.5)
        right = 100 * (logits.argmax(1) == cnn.labels).double().mean().item()
        assert grid[name][row][column] == pytest.approx(right, abs=0.05)
    by_a = grid["batch"][grid["b"].index(0.0)]
    assert by_a[grid["a"].index(2.0)] == pytest.approx(by_a[grid["a"].index(0.5)], abs=0.2)


def test_points_of_the_grid_lie_where_padding_puts_them(cnn, grid):
    found = affine._paddings(cnn, grid)
    assert len(found["positive"]) + len(found["negative"]) == len(grid["a"]) * len(grid["b"])
    for point in (*found["positive"], *found["negative"]):
        assert point["on_ax_b"] == pytest.approx(point["on_padded_x"], abs=0.5)


def test_distances_from_the_border_count_pixels_in_between():
    distance = affine.distance_from_border(5, 4)
    assert distance.tolist() == [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]


def test_the_border_is_felt_to_where_padding_reaches_and_by_the_batch_everywhere(cnn):
    found = affine._border(cnn)
    by_distance = found["by_distance"]
    assert found["distance"] == list(range(16))
    assert by_distance["absorbed"][15] < affine.EXACT < 1e-4 < by_distance["absorbed"][14]
    assert (found["reach"], found["num_beyond"]) == (14, 4)
    assert max(by_distance["padded_with_b"]) < 1e-3 < min(by_distance["batch"])
    rings = affine.distance_from_border(32, 32)
    assert np.array(found["map"])[rings == 3].mean() == pytest.approx(by_distance["batch"][3])


def test_the_negative_needs_both_repairs(cnn):
    found = affine._negative(cnn)
    assert found["both"]["changed"] < 0.05
    assert found["weights_negated"]["changed"] < 0.05
    for name in ("as_it_is", "min_pooling", "norm_mirrored"):
        assert found[name]["changed"] > 1
    assert found["on_for_one"] > found["on_for_either"]
    on_x, on_minus_x = (affine._stages(cnn, a) for a in (1, -1))
    torch.testing.assert_close(on_x[0], -on_minus_x[0])
    assert [tuple(one.shape) for one in on_x] == [(32, 32)] * 2 + [(16, 16)] * 3
    assert not torch.allclose(on_x[2] - on_x[2].mean(), on_minus_x[2].mean() - on_minus_x[2], atol=1e-3)


def test_epsilon_over_a_squared_tells_what_a_small_a_does(cnn):
    found = affine._epsilon(cnn)
    np.testing.assert_allclose(found["reading_ax"], found["epsilon_over_a2"], atol=0.2)
    np.testing.assert_allclose(found["without_epsilon"], found["without_epsilon"][0], atol=0.5)
    assert abs(found["reading_ax"][-1] - found["reading_ax"][0]) > 0.1


def test_the_skip_alone_is_what_a_factor_changes(unet):
    found = affine._skip(unet)
    unchanged = [row for row in found["a"] if row["a"] >= 1]
    assert max(row["reads_x"]["changed"] for row in unchanged) < 0.5
    assert found["a"][-1]["reads_ax_b"]["changed"] > 2
    (at_0,) = [row for row in found["b"] if row["b"] == 0]
    assert at_0["reads_ax_b"]["changed"] == at_0["reads_x"]["changed"] == 0


def test_bf16_has_few_levels_far_from_0(cnn):
    rows = affine._rounding(cnn)["rows"]
    assert [row["bf16"]["levels"] for row in rows][-2:] == [pytest.approx(3, abs=1), 1]
    assert rows[-1]["fp32"]["levels"] == rows[0]["fp32"]["levels"]


def test_the_claims_come_out_as_the_algebra_has_them(cnn, unet):
    found = {row["name"]: row["exact"] for row in affine._claims(cnn, unet)}
    exact = {
        "factor",
        "shift_padded_with_b",
        "negative_repaired",
        "equivalent",
        "absorbed",
        "skip_reads_x",
    }
    assert {name for name, is_exact in found.items() if is_exact} == exact
    assert len(found) == 12


def test_every_figure_is_drawn(cnn, unet, grid):
    scores = {name: {"accuracy": [30.0, 32.0]} for name in ("stored", "batch")}
    rows = [{"reads": retrained.written(a, b)} | scores for a, b in ((1, 0), (-1, 1), (0.1, -1), (2, 0))]
    net = {"on_x": rows[0], "rows": rows[1:]}
    drawn = [
        affine_figures.draw_grid(grid),
        affine_figures.draw_paddings(affine._paddings(cnn, grid)),
        affine_figures.draw_border(affine._border(cnn)),
        affine_figures.draw_stages(affine._stages(cnn, 1), affine._stages(cnn, -1)),
        affine_figures.draw_epsilon(affine._epsilon(cnn)),
        affine_figures.draw_skip(affine._skip(unet)),
        affine_figures.draw_pictures(cnn.images, list(affine._shown(cnn))),
        affine_figures.draw_retrained({"cnn": net, "unet": net}),
    ]
    assert all(axes.has_data() for drawing in drawn for axes in drawing.figure.axes)
    assert drawn[0].png().startswith(b"\x89PNG")
    labels = [one.get_text() for one in drawn[-1].figure.axes[0].get_xticklabels()]
    assert labels == ["x", "-x + 1", "0.1x - 1", "2x"]


def test_shown_predictions_are_those_of_what_is_told(cnn):
    shown = dict(affine._shown(cnn))
    half = cnn.classes(reading(cnn.net, 0.5, 0))
    assert torch.equal(shown["Prediction on x / 2, statistics as stored"], half)


def test_a_difference_is_taken_seed_by_seed():
    found = retrained._difference([31.0, 33.0, 35.0], [30.0, 31.0, 32.0])
    half = 4.3026527 / math.sqrt(3)  # of t with 2 degrees of freedom; the gains 1, 2, 3 have a variance of 1
    over = found["difference"]
    assert (over["value"], over["low"], over["high"]) == pytest.approx((2, 2 - half, 2 + half))
    assert found["mean"] == 33


def test_networks_are_retrained_alike_but_for_a_b_and_seed():
    setting = Setting(out=Path("out"), seed=5)
    one, other = (retrained.retrain_config(setting, "cnn", a, b, 1) for a, b in ((1.0, 0.0), (-1.0, 1.0)))
    assert (other.net.scale, other.net.shift, other.train.seed) == (-1.0, 1.0, 5001)
    assert one.train == other.train
    assert retrained.changes(setting) == {"precision": "fp32", "crop_frac": 0.0}
    assert (one.train.precision, one.train.crop_frac) == ("fp32", 0.0)


def test_an_a_that_is_no_number_is_refused():
    with pytest.raises(ConfigError, match="scale needs to be finite, got nan"):
        CNNConfig(scale=math.nan)


@pytest.mark.slow
@pytest.mark.real
def test_a4_is_answered(tmp_path, real_data_dir):
    make["write_some"](real_data_dir, tmp_path, num=600)  # hundreds of horses, not thousands
    answer = affine.answer_a4(Setting(out=tmp_path, quick=True, data_dir=tmp_path))
    json.dumps(answer.values, allow_nan=False)
    assert all((tmp_path / "figures" / f"{name}.png").is_file() for name in answer.figures)
    rows = {row["name"]: row for row in answer.values["claims"]["rows"]}
    assert rows["equivalent"]["exact"]
    assert len(answer.values["retrained"]["cnn"]["rows"]) == 2
