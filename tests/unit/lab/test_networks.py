"""Questions A1 and B1, and the picture of a network."""

from itertools import pairwise

import pytest
import torch

from pixelwise.lab.answer import Setting
from pixelwise.lab.networks import SKIPS, answer_a1, answer_b1, find_blocks, num_parameters
from pixelwise.network.config import CNNConfig, UNetConfig
from pixelwise.training.models import build

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
    learned = sum(num_parameters(*one.layers) for one in blocks)
    assert learned == sum(weights.numel() for weights in net.parameters())
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
