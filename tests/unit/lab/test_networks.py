"""Questions A1 and B1, and the pictures of layers."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from pixelwise.lab.answer import Setting
from pixelwise.lab.layers import draw_activations, draw_network, find_blocks
from pixelwise.lab.networks import SKIPS, answer_a1, answer_b1
from pixelwise.network.config import CNNConfig, UNetConfig
from pixelwise.network.models import build

PICTURE = torch.rand(1, 1, 16, 24, generator=torch.Generator().manual_seed(0))
CHAIN = ["input", "down1", "down2", "middle", "up1", "up2", "classes"]


def small(kind, **changes):
    torch.manual_seed(0)
    return build(kind(num_filters=4, num_colours=5, **changes)).eval()


@pytest.mark.parametrize("options", [{}, {"scale": 2.0, "shift": 1.0}])
def test_the_cnn_is_a_chain(options):
    blocks = find_blocks(small(CNNConfig, **options), PICTURE)
    assert [(*one.reads, one.name) for one in blocks] == list(pairwise(CHAIN))


@pytest.mark.parametrize("left_out", [None, *SKIPS])
def test_the_skips_found_are_those_that_are_there(left_out):
    net = small(UNetConfig, **({f"skip_{left_out}": False} if left_out else {}))
    reads = {one.name: one.reads for one in find_blocks(net, PICTURE)}
    found = {(source, name) for name, sources in reads.items() for source in sources}
    chain = set(pairwise(CHAIN))
    assert found - chain == {SKIPS[name] for name in SKIPS if name != left_out}


def test_blocks_hold_the_maps_of_the_network_and_leave_it_alone():
    net = small(UNetConfig)
    blocks = find_blocks(net, PICTURE)
    with torch.no_grad():
        assert torch.equal(blocks[-1].maps, net(PICTURE)[0])
    assert sum(one.num_learned for one in blocks) == sum(one.numel() for one in net.parameters())
    assert not any(module._forward_hooks for module in net.modules())
    assert all(one.grad is None for one in net.parameters())


def test_pictures_of_layers_show_blocks_skips_and_maps():
    blocks = find_blocks(small(UNetConfig), PICTURE)
    (axes,) = draw_network(blocks, PICTURE).figure.axes
    texts = [text.get_text() for text in axes.texts]
    assert [text for text in texts if text in CHAIN] == CHAIN
    assert sum("beside" in text for text in texts) == len(SKIPS)
    picture, first, *_ = draw_activations(blocks, PICTURE).figure.axes
    np.testing.assert_array_equal(np.asarray(picture.images[0].get_array()), PICTURE[0, 0])
    np.testing.assert_array_equal(np.asarray(first.images[0].get_array())[:8, 13:25], blocks[0].maps[1])


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
