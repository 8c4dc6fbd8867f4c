"""Questions A2 and B1 to B4: what is measured of pixels, skips and batch sizes, and the answers."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from fixtures.cifar10.make import write_cifar10
from pixelwise.config import CNNConfig, RunConfig, TrainConfig, UNetConfig
from pixelwise.data import Pictures
from pixelwise.data.synthetic import draw_shapes
from pixelwise.lab import batch_sizes, colouring
from pixelwise.lab.answer import Setting
from pixelwise.lab.outcomes import variants
from pixelwise.lab.pixels import (
    Guesses,
    bins_by_edges,
    borders_frac,
    distance_to_edges,
    gain,
    gain_by_seed,
    gain_where,
    guess_by_grey,
    mean_chroma,
    more_at_edges,
    right_where,
    to_the_eye,
)
from pixelwise.lab.seeds import over_seeds
from pixelwise.lab.skips import detail_left, gradient_norms, initial_net
from pixelwise.labelspace import Palette
from pixelwise.losses import cross_entropy
from pixelwise.models import build
from pixelwise.runs import Model
from pixelwise.scores import crossed_sums, resampled_sums
from pixelwise.train.loop import Run

PALETTE = Palette.read("handout24")


@pytest.fixture(scope="module")
def pictures():
    images = draw_shapes(60, torch.Generator().manual_seed(0))
    return Pictures("shapes", images[:40], images[40:], digest="shapes")


def guesses(right_frac, seed, loss=1.0, num=40) -> Guesses:
    """Eight by eight pixels of class 0, of which a share is guessed."""
    randomness = np.random.default_rng(seed)
    guessed = (randomness.random((num, 8, 8)) >= right_frac).astype(np.uint8)
    labels = np.zeros((num, 8, 8), np.uint8)
    return Guesses(labels, guessed, guessed, np.full(num, float(loss)))


def test_sums_over_images_and_runs_vary_with_both():
    randomness = np.random.default_rng(0)
    images, runs = randomness.normal(size=(200, 1)), randomness.normal(size=(1, 50))
    for values, num, spread in ((images + 0 * runs, 200, images.std()), (0 * images + runs, 50, runs.std())):
        means = crossed_sums(values, seed=0) / values.size
        assert means[0] == pytest.approx(values.mean())
        assert means[1:].std() == pytest.approx(spread / num**0.5, rel=0.08)


def test_one_run_is_drawn_as_it_is():
    values = np.random.default_rng(0).normal(size=(30, 1, 2))
    drawn = crossed_sums(values, 3, 50)
    np.testing.assert_allclose(
        drawn, resampled_sums(values[:, 0], 3, 50)
    )  # the pictures alone are drawn anew


def test_the_gain_is_the_difference_and_nothing_between_equals():
    better, worse = [guesses(0.8, seed, 1.0) for seed in range(3)], [guesses(0.5, 9, 1.5) for _ in range(3)]
    found = gain(better, worse, seed=0)
    by_hand = np.mean([one.accuracy for one in better]) - worse[0].accuracy
    assert found["accuracy"].value == pytest.approx(by_hand)
    assert found["accuracy"].low < by_hand < found["accuracy"].high
    assert found["loss"].value == found["loss"].low == pytest.approx(0.5)
    none = gain(worse, worse, seed=0)["accuracy"]
    assert (none.low, none.value, none.high) == (0, 0, 0)


def test_each_seeds_gain_is_its_own():
    better, worse = [guesses(0.8, seed) for seed in range(3)], [guesses(0.5, 9) for _ in range(3)]
    found = gain_by_seed(better, worse)["accuracy"]
    assert found["gains"] == [one.accuracy - worse[0].accuracy for one in better]
    assert found["over_seeds"] == over_seeds(found["gains"])


def test_the_gain_at_edges_is_held_against_the_gain_elsewhere(pictures):
    labels = PALETTE.encode(pictures.val).numpy()
    near = distance_to_edges(PALETTE.read_grey(pictures.val)[:, 0].numpy()) <= 1
    wrong = np.full_like(labels, 255)
    worse = Guesses(labels, wrong, wrong, np.ones(len(labels)))
    for at_edges, elsewhere in ((True, False), (False, True), (True, True)):
        right = np.where(near, at_edges, elsewhere)
        better = replace(worse, guessed=np.where(right, labels, wrong))
        found = more_at_edges(pictures, PALETTE, [better, better], [worse, worse])
        assert found["gains"] == [100 * (at_edges - elsewhere)] * 2


def test_what_is_seen_is_compared_seed_by_seed():
    stripes, flat = guesses(0.5, 0), guesses(1.0, 0)
    found = to_the_eye(PALETTE, [flat, flat], [stripes, flat], 10.0)
    assert list(found) == ["borders", "chroma", "near_lightness", "near_chroma"]
    borders = 100 * borders_frac(stripes.guessed)
    assert found["borders"]["gain"] == over_seeds([borders, 0.0])
    assert (found["borders"]["cnn"], found["borders"]["unet"]) == (0, borders / 2)
    assert found["near_lightness"]["cnn"] == 100


def test_distances_are_from_the_steepest_pixels():
    grey = np.zeros((2, 16, 32), np.float32)
    grey[0, :, 16:] = 1  # a step, which is seen from both sides: 32 of 1024 pixels, the rest is flat
    grey[1] = np.linspace(0, 0.01, 32)
    steep = distance_to_edges(grey)
    assert steep.shape == grey.shape
    assert (steep[0, :, 15:17] == 0).all()
    bins = dict(bins_by_edges(steep))
    assert list(bins) == ["on an edge", "next to it", "1 to 2", "2 to 4", "over 4"]
    assert (sum(where.astype(int) for where in bins.values()) == 1).all()


def test_a_picture_without_edges_is_far_from_them():
    grey = np.zeros((8, 8, 8), np.float32)
    grey[0] = np.random.default_rng(0).random((8, 8))
    distances = distance_to_edges(grey)
    assert distances[0].max() < 8
    far = dict(bins_by_edges(distances))
    assert np.isinf(distances[1]).all() == far["over 4"][1].all()


def test_a_gain_can_be_asked_for_where_it_is():
    where = np.zeros((40, 8, 8), bool)
    where[:, :4] = True
    base = guesses(0.0, 0)
    half = replace(base, guessed=np.where(where, 0, 1).astype(np.uint8))
    assert gain_where([half], [base], where, 0).value == 100
    assert gain_where([half], [base], ~where, 0).value == 0
    assert (right_where([half], where), right_where([half], ~where)) == (100, 0)


def test_a_table_of_grey_levels_knows_what_is_grey():
    ramp = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16).clone()
    found = guess_by_grey(Pictures("ramp", ramp.repeat(60, 1, 1, 1), ramp, digest="ramp"), PALETTE)
    assert found.accuracy == 100 * 255 / 256  # 256 codes over 256 are 255 levels: two codes share one
    assert (found.num_likelier == 0).all()  # where two classes are equally likely, neither is likelier
    assert found.losses[0] < 0.5


def test_detail_and_colour_of_labels():
    stripes = np.zeros((1, 4, 4), np.uint8)
    stripes[..., ::2] = 1
    assert borders_frac(stripes) == 0.5  # all pairs beside each other, none above each other
    assert mean_chroma(np.full((1, 2, 2), 0, np.uint8), PALETTE) == pytest.approx(
        mean_chroma(np.full((1, 4, 4), 0, np.uint8), PALETTE)
    )
    greyish = Palette(torch.tensor([[0.5, 0.5, 0.5], [1.0, 0.0, 0.0]]).double(), "rgb")
    assert mean_chroma(np.zeros((1, 2, 2), np.uint8), greyish) == pytest.approx(0, abs=0.02)
    assert mean_chroma(np.ones((1, 2, 2), np.uint8), greyish) == pytest.approx(104.55, abs=0.1)  # of sRGB red


def opened(config) -> Model:
    torch.manual_seed(0)
    net = build(config).eval()
    return Model(name="new", net=net, config=config, palette=PALETTE, size=32, checksum="")


def test_pooling_loses_detail_and_skips_bring_it_back(pictures):
    cnn, unet = (detail_left(opened(kind(num_filters=6)), pictures, 40) for kind in (CNNConfig, UNetConfig))
    for found in (cnn, unet):
        assert list(found) == ["down1", "down2", "middle", "up1", "up2", "classes"]
        assert found["down1"] == pytest.approx(100, abs=0.1)
        assert found["middle"] < found["down2"] < 99
    assert unet["classes"] == pytest.approx(100, abs=0.1)
    assert cnn["classes"] < 90


def test_gradients_are_of_the_weights_that_a_run_begins_with(pictures):
    config = RunConfig(
        net=UNetConfig(num_filters=4), source="shapes", train=TrainConfig(batch_size=8, seed=5)
    )
    run = Run(config, pictures, torch.device("cpu"))
    found, begun = initial_net(config).state_dict(), run.net.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in begun.items())
    norms = gradient_norms(config, pictures)
    assert list(norms) == ["down1", "down2", "middle", "up1", "up2", "classes"]
    grey, labels = PALETTE.read_grey(pictures.train[:8]), PALETTE.encode(pictures.train[:8])
    cross_entropy(run.net.train()(grey), labels).backward()
    weight = run.net.classes.weight
    assert norms["classes"] == pytest.approx(float(weight.grad.norm() / weight.detach().norm()), rel=1e-5)


def test_the_large_cnn_has_as_many_weights_as_the_unet():
    large, unet = (
        sum(one.numel() for one in build(net).parameters()) for net in (colouring._as_large(), UNetConfig())
    )
    assert large == pytest.approx(unet, rel=0.01)


def test_variants_are_compared_over_the_seeds_that_they_share():
    def run(*accuracies):
        return [{"val_accuracy": one, "val_loss": 1.0} for one in accuracies]

    found = {
        one["name"]: one
        for one in variants(
            {
                "CNN": [run(10, 20, 20, 20), run(10, 30, 30, 30)],
                "U-Net": [run(10, 40, 40, 40), run(10, 60, 60, 60)],
                "U-Net, bare": [run(90, 36, 38, 40)],
            }
        )
    }
    assert list(found) == ["U-Net", "U-Net, bare", "CNN"]
    assert found["U-Net, bare"]["accuracy"] == 38
    assert found["U-Net, bare"]["behind"] == {"cnn": over_seeds([20 - 38]), "unet": over_seeds([40 - 38])}
    assert found["CNN"]["behind"]["unet"] == over_seeds([20, 30])


def test_the_networks_that_are_compared_differ_in_nothing_else(tmp_path):
    setting = Setting(out=tmp_path, seed=2)
    cnn, unet = (colouring.comparison_config(setting, net, 1) for net in ("cnn", "unet"))
    assert replace(cnn, net=unet.net) == unet
    assert (cnn.train.epochs, cnn.train.batch_size, cnn.train.learning_rate, cnn.train.seed) == (
        25,
        100,
        0.001,
        2001,
    )


def test_b1_finds_the_cnn_in_the_unet(tmp_path):
    answer = colouring.answer_b1(Setting(out=tmp_path))
    values = answer.values
    assert (values["parameters"], values["cnn_parameters"]) == (112_344, 86_784)
    assert values["without_skips"] == {"parameters": 86_784, "max_difference_to_cnn": 0.0}
    assert [(one["name"], one["weights"]) for one in values["skips"]] == [
        ("full", 216),
        ("half", 6912),
        ("quarter", 18_432),
    ]
    reads = {one["name"]: one["reads"] for one in values["blocks"]}
    for name, (start, end) in colouring.SKIPS.items():
        assert start in reads[end], name
    assert sum(one["learned"] for one in values["blocks"]) == 112_344


def test_the_handouts_rate_may_diverge_and_the_rest_is_there(tmp_path, monkeypatch):
    write_cifar10(tmp_path, num=20)  # 10 horses
    monkeypatch.setattr(colouring, "_HANDOUTS_RATE", 1e38)
    setting = Setting(out=tmp_path, quick=True, data_dir=tmp_path)
    images = draw_shapes(4, torch.Generator().manual_seed(0))
    few = Pictures("few", images, images, digest="few")
    values, runs = colouring._confounded(setting, guesses(0.5, 0), few)
    assert (values["diverged"], values["learning_rate"], runs) == (True, 1e38, [])
    assert values["why"].startswith("training diverged: the loss of step 2 is ")


@pytest.mark.slow
def test_each_question_is_answered_from_runs_that_are_shared(tmp_path):
    write_cifar10(tmp_path, num=100)  # 50 horses to learn from, 10 to validate
    setting = Setting(out=tmp_path / "out", quick=True, data_dir=tmp_path)
    asked = (colouring.answer_a2, colouring.answer_b2, colouring.answer_b3, batch_sizes.answer_b4)
    answers = {ask.__name__[-2:]: ask(setting) for ask in asked}
    for answer in answers.values():
        json.dumps(answer.values, allow_nan=False)
        for name in answer.figures:
            assert (tmp_path / "out" / "figures" / f"{name}.png").stat().st_size > 10_000
    a2, b2, b3, b4 = (answers[name].values for name in ("a2", "b2", "b3", "b4"))
    assert a2["by_seed"] == b3["cnn"]["by_seed"]
    assert b2["by_seed"] == b3["unet"]["by_seed"]
    accuracy = b3["gain"]["accuracy"]["value"]
    assert accuracy == pytest.approx(b3["unet"]["mean"]["val_accuracy"] - b3["cnn"]["mean"]["val_accuracy"])
    assert len(b3["ablation"]) == 6
    assert sum(one["share"] for one in a2["colours"]) == pytest.approx(100)
    assert sum(one["share"] for one in b3["places"]) == pytest.approx(100)
    assert [(row["fixed"], row["batch_size"]) for row in b4["rows"]] == [
        (fixed, size) for fixed in ("epochs", "steps") for size in (20, 100, 500)
    ]
