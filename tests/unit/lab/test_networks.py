"""Questions of the lab, each against counts by hand, torch or published values."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import stats
from torch.utils.flop_counter import FlopCounterMode

from pixelwise.lab.affine import check_claims, equivalent, logits_of, reading, skip_reads_x, with_first_block
from pixelwise.lab.answer import Setting
from pixelwise.lab.costs import POLICIES, chain_cost, formula_slopes, handout_cost, layer_facts
from pixelwise.lab.counting import count_network
from pixelwise.lab.finetuning import answer_c1
from pixelwise.lab.networks import SKIPS, answer_a1, answer_b1, find_blocks
from pixelwise.lab.outcomes import by_edges, distance_to_edges, over_seeds
from pixelwise.network.config import HANDOUT_CONFIGS, CNNConfig, UNetConfig
from pixelwise.training.models import build
from pixelwise.training.models.handout import MyConv2d

PICTURE = torch.rand(1, 1, 16, 24, generator=torch.Generator().manual_seed(0))
CHAIN = ["input", "down1", "down2", "middle", "up1", "up2", "classes"]


def small(kind, **changes):
    torch.manual_seed(0)
    return build(kind(num_filters=4, num_colours=5, **changes)).eval()


@pytest.mark.parametrize("left_out", [None, *SKIPS])
def test_the_skips_found_are_those_that_are_there(left_out):
    """Against the channels that each block's convolution reads."""
    net = small(UNetConfig, **({f"skip_{left_out}": False} if left_out else {}))
    blocks = find_blocks(net, PICTURE)
    channels = {"input": 1} | {one.name: one.maps.shape[0] for one in blocks}
    for one in blocks:
        read = next(one.layers[0].parameters()).shape[1]
        assert sum(channels[source] for source in one.reads) == read
    found = {(source, one.name) for one in blocks for source in one.reads}
    assert found - set(pairwise(CHAIN)) == {SKIPS[name] for name in SKIPS if name != left_out}


def test_blocks_hold_the_maps_of_the_network():
    net = small(UNetConfig)
    blocks = find_blocks(net, PICTURE)
    with torch.no_grad():
        assert torch.equal(blocks[-1].maps, net(PICTURE)[0])
    chain = [(*one.reads, one.name) for one in find_blocks(small(CNNConfig), PICTURE)]
    assert chain == list(pairwise(CHAIN))


def test_a1_counts_every_configuration_as_the_formula_by_hand(tmp_path):
    values = answer_a1(Setting(out=tmp_path)).values
    assert values["parameters"] == sum(one["parameters"] for one in values["blocks"]) == 86_784
    for row in values["configurable"]:
        k2, nf, nc, nic = row["kernel"] ** 2, row["num_filters"], row["num_colours"], row["num_in_channels"]
        weights = k2 * (nic * nf + 8 * nf**2 + nf * nc + nc**2)
        assert row["parameters"] == weights + 3 * (6 * nf + nc) + nc
        assert row["output"] == [3, nc, 16, 16]
    differences = [
        row[name] for row in values["my_conv2d"] for name in row if "output" in name or "grad" in name
    ]
    assert max(differences) < 1e-12


def test_b1_finds_the_cnn_in_the_unet(tmp_path):
    values = answer_b1(Setting(out=tmp_path)).values
    assert values["without_skips"] == {"parameters": 86_784, "max_difference_to_cnn": 0.0}
    weights = {one["name"]: one["weights"] for one in values["skips"]}
    assert weights == {"full": 216, "half": 6912, "quarter": 18_432}
    assert values["parameters"] == sum(one["learned"] for one in values["blocks"]) == 112_344


@pytest.mark.parametrize("kind", HANDOUT_CONFIGS.values())
@pytest.mark.parametrize(
    ("options", "height", "width"),
    [
        ({}, 32, 32),
        ({"kernel": 5, "num_filters": 6, "num_colours": 7, "num_in_channels": 3}, 20, 36),
        ({"kernel": 1, "num_filters": 1, "num_colours": 1}, 4, 4),
    ],
)
def test_counts_are_those_of_torch(kind, options, height, width):
    config = kind(**options)
    counts, net = count_network(config, height, width), build(config).eval()
    outputs = []
    for module in net.modules():
        if isinstance(module, MyConv2d):
            module.register_forward_hook(lambda _, __, output: outputs.append(output.numel()))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.rand(1, config.num_in_channels, height, width))
    assert counts.value("parameters") == sum(one.numel() for one in net.parameters())
    assert counts.value("outputs") == sum(outputs)
    assert 2 * counts.value("connections") == counter.get_total_flops()


AFFINES = [(2.0, 0.0), (0.3, 0.7), (5.0, -1.0), (-1.0, 0.0), (-0.7, 0.4), (-3.0, -2.0)]
EXACT, NOT_EXACT = 1e-9, 1e-3


def network(kind=CNNConfig, **changes):
    """A small network with the statistics of its pictures."""
    torch.manual_seed(3)
    net = build(kind(num_filters=4, num_colours=5, **changes)).double()
    with torch.no_grad():
        for layer in net.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.weight.uniform_(-1, 1)
                layer.bias.uniform_(-0.5, 0.5)
                layer.momentum = None  # the mean of all batches
    net(pictures())
    return net.requires_grad_(False)


def pictures(side=16, num=3):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(num, 1, side, side, dtype=torch.float64, generator=generator)


def difference(one, other):
    return (logits_of(one, pictures()) - logits_of(other, pictures())).abs().max().item()


@pytest.mark.parametrize(("a", "b"), AFFINES)
def test_every_affine_is_a_sign_a_padding_and_an_epsilon(a, b):
    net = network()
    assert difference(reading(net, a, b), equivalent(net, a, b)) < EXACT
    bare = network(UNetConfig, skip_full=False)
    assert difference(reading(bare, a, b), equivalent(bare, a, b)) < EXACT


def test_none_of_the_three_can_be_left_out():
    net, a, b = network(), -0.03, 0.02
    without_sign = with_first_block(net, padding=-b / a, epsilon=1 / a**2)
    without_padding = with_first_block(net, sign=-1, epsilon=1 / a**2)
    without_epsilon = with_first_block(net, sign=-1, padding=-b / a)
    for wrong in (without_sign, without_padding, without_epsilon):
        assert difference(reading(net, a, b), wrong) > NOT_EXACT


@pytest.mark.parametrize(("a", "b"), [(2.0, 0.0), (-0.7, 0.4)])
def test_the_skip_from_the_picture_is_cancelled_by_nothing(a, b):
    net, x = network(UNetConfig), pictures()
    assert difference(skip_reads_x(net, a, b), equivalent(net, a, b)) < EXACT
    by_skip = logits_of(reading(net, a, b), x) - logits_of(skip_reads_x(net, a, b), x)
    formula = torch.nn.functional.conv2d((a - 1) * x + b, net.classes.weight[:, -1:], padding=1)
    torch.testing.assert_close(by_skip, formula, rtol=0, atol=1e-9)


def test_the_claims_come_out_as_the_algebra_has_them():
    cnn, unet = (network(kind).eval() for kind in (CNNConfig, UNetConfig))
    labels = torch.arange(3 * 16 * 16).view(3, 16, 16) % 5
    found = {row["name"]: row["exact"] for row in check_claims(cnn, unet, pictures(), labels)}
    exact = {
        "trained_factor",
        "factor",
        "shift_padded_with_b",
        "negative_repaired",
        "equivalent",
        "skip_reads_x",
    }
    assert {name for name, is_exact in found.items() if is_exact} == exact
    assert len(found) == 14


@pytest.mark.parametrize("gains", [[1.0, 2.0, 4.0], [-3.0, 2.5], [0.5, 0.25, 0.5, 0.75]])
def test_over_seeds_is_students_t(gains):
    low, high = stats.ttest_1samp(gains, 0).confidence_interval(0.95)
    assert over_seeds(gains) == pytest.approx({"value": np.mean(gains), "low": low, "high": high})
    assert over_seeds(gains[:1]) == {"value": gains[0], "low": None, "high": None}


def step_pictures():
    grey = np.zeros((2, 16, 32), np.float32)
    grey[0, :, 16:] = 1
    grey[1] = np.linspace(0, 0.01, 32)
    return grey


def test_distances_are_from_the_steepest_pixels():
    distances = distance_to_edges(step_pictures())
    assert (distances[0, :, 15:17] == 0).all()
    assert (distances[0, :, 20] == 4).all()
    noise = np.zeros((5, 8, 8), np.float32)
    noise[0] = np.random.default_rng(0).random((8, 8))
    assert np.isinf(distance_to_edges(noise)[1]).all()


def test_right_pixels_and_gains_are_told_by_distance():
    grey = step_pictures()
    labels, wrong = np.zeros(grey.shape, np.uint8), np.ones(grey.shape, np.uint8)
    at_edges = np.where(distance_to_edges(grey) == 0, labels, wrong)
    rows = by_edges(grey, labels, {"cnn": [wrong, wrong], "unet": [at_edges, at_edges]})
    assert [(row["cnn"], row["unet"], row["gain"]["value"]) for row in rows] == [
        (0, 100 * (row["place"] == "on an edge"), 100 * (row["place"] == "on an edge")) for row in rows
    ]
    assert sum(row["share"] for row in rows) == pytest.approx(100)


@pytest.mark.parametrize("num", [1, 3, 5])
def test_a_chain_takes_what_the_formula_says(num):
    layer = layer_facts()
    whole, last = (chain_cost(num, policy) for policy in POLICIES)
    assert whole.num_parameters == whole.num_learned == num * layer["num_parameters"]
    assert last.num_learned == layer["num_parameters"]
    assert whole.saved_bytes == (num + 1) * layer["map_bytes"]
    assert last.saved_bytes == 2 * layer["map_bytes"]
    assert whole.flops == (3 * num - 1) * layer["flops"]
    assert last.flops == (num + 1) * layer["flops"]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_further_layer_adds_what_the_formula_says(policy):
    less, more = chain_cost(2, policy), chain_cost(3, policy)
    for name, slope in formula_slopes()[policy].items():
        assert getattr(more, name) - getattr(less, name) == slope, name


@pytest.mark.slow
def test_the_handouts_network_takes_what_others_measured():
    """354 MiB whole and 1.5 MiB for the head at 224 x 224, 92 GFLOP forward; measured elsewhere."""
    whole, last = (handout_cost(policy, 224) for policy in POLICIES)
    assert whole.saved_bytes == pytest.approx(354 * 2**20, rel=0.02)
    assert last.saved_bytes == pytest.approx(1.5 * 2**20, rel=0.05)
    assert last.flops == pytest.approx(92e9, rel=0.01)
    assert last.num_learned == 514


@pytest.mark.slow
def test_c1_learns_the_handouts_514_numbers(tmp_path):
    found = answer_c1(Setting(out=tmp_path)).values["handouts"]
    assert found["num_parameters"] == 60_996_202 - 21 * 257 + 2 * 257
    assert (found["learned"], found["num_learned"]) == (["classifier.4.weight", "classifier.4.bias"], 514)
    assert found["certificate"]["before"] == found["certificate"]["after"]
    assert found["thawed"]["num_changed"] == found["thawed"]["num_buffers"] == 336
