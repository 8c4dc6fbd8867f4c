"""What is drawn of a network is what it is: its blocks, who reads whom, its filters, its activations."""

import math

import numpy as np
import pytest
import torch

from pixelwise.config import CNNConfig, ColourNetConfig, UNetConfig
from pixelwise.figures import ON_LIGHT, styled
from pixelwise.models import build
from pixelwise.visualise import (
    _lanes,
    describe_layer,
    draw_activations,
    draw_filters,
    draw_network,
    first_filters,
    look_at_blocks,
)

PICTURE = torch.rand(1, 1, 16, 24, generator=torch.Generator().manual_seed(0))
CHAIN = {
    "down1": ("input",),
    "down2": ("down1",),
    "middle": ("down2",),
    "up1": ("middle",),
    "up2": ("up1",),
    "classes": ("up2",),
}
SKIPS = {"skip_full": ("classes", "input"), "skip_half": ("up2", "down1"), "skip_quarter": ("up1", "down2")}


def small(kind, **changes):
    torch.manual_seed(0)
    return build(kind(num_filters=4, num_colours=5, **changes)).eval()


def texts(drawing) -> list[str]:
    return [text.get_text() for axes in drawing.figure.axes for text in [*axes.texts, axes.title]]


@pytest.mark.parametrize("affine", [{}, {"scale": 2.0, "shift": 1.0}], ids=["x", "ax+b"])
def test_the_cnn_is_a_chain(affine):
    assert {one.name: one.reads for one in look_at_blocks(small(CNNConfig, **affine), PICTURE)} == CHAIN


@pytest.mark.parametrize("left_out", [None, *SKIPS])
def test_the_skips_found_are_those_that_are_there(left_out):
    net = small(UNetConfig, **({left_out: False} if left_out else {}))
    wanted = dict(CHAIN)
    for skip, (reader, source) in SKIPS.items():
        if skip != left_out:
            wanted[reader] += (source,)
    assert {one.name: one.reads for one in look_at_blocks(net, PICTURE)} == wanted


def test_blocks_hold_the_very_maps_that_the_network_makes():
    net = small(UNetConfig)
    *_, up2, classes = look_at_blocks(net, PICTURE)
    with torch.no_grad():
        assert torch.equal(classes.maps, net(PICTURE)[0])
        assert torch.equal(net.classes(torch.cat([up2.maps[None], PICTURE], 1))[0], classes.maps)
    assert sum(one.num_learned for one in look_at_blocks(net, PICTURE)) == sum(
        one.numel() for one in net.parameters()
    )


def test_looking_leaves_the_network_as_it_was():
    net = small(CNNConfig)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    look_at_blocks(net, PICTURE)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert not any(module._forward_hooks for module in net.modules())
    assert all(one.grad is None for one in net.parameters())


def test_layers_are_told_with_their_sizes():
    told = [describe_layer(layer) for layer in small(CNNConfig).modules() if not any(layer.children())]
    assert told[:4] == ["MyConv2d 1 → 4, 3×3", "MaxPool2d 2", "BatchNorm2d 4", "ReLU"]
    assert "Upsample 2" in told


def test_the_picture_of_a_network_names_blocks_sizes_and_skips():
    net = small(UNetConfig)
    told = texts(draw_network(look_at_blocks(net, PICTURE), PICTURE))
    assert [text for text in told if text in ("input", *CHAIN)] == ["input", *CHAIN]
    assert {"8 × 4×6", "1 beside", "4 beside", "8 beside"} <= set(told)
    assert any("MyConv2d 16 → 4, 3×3\nUpsample 2\nBatchNorm2d 4\nReLU\n588 learned" in text for text in told)
    cnn = texts(draw_network(look_at_blocks(small(CNNConfig), PICTURE), PICTURE))
    assert not [text for text in cnn if "beside" in text]


def test_filters_are_shown_in_shares_of_their_largest_weight():
    net = small(CNNConfig, num_in_channels=2)
    first, second, _bar = draw_filters(net).figure.axes
    weights = first_filters(net)
    shares = (weights / weights.abs().amax((1, 2, 3), keepdim=True)).numpy()
    for axes, channel in ((first, 0), (second, 1)):
        shown = np.asarray(axes.images[0].get_array().filled(np.nan))
        assert shown.shape == (3, 4 * 3 + 3)
        np.testing.assert_array_equal(shown[:, 4:7], shares[1, channel])
        assert np.isnan(shown[:, 3]).all()


@pytest.mark.parametrize("num_filters", [4, 32])
def test_what_is_written_beside_the_colours_of_filters_is_in_sight(num_filters):
    figure = draw_filters(build(CNNConfig(num_filters=num_filters))).figure
    with styled(ON_LIGHT):
        figure.draw_without_rendering()
        box = figure.axes[-1].get_tightbbox()
    assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
    assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1


def test_activations_are_shown_map_by_map_and_dark_ones_counted():
    net = small(CNNConfig)
    with torch.no_grad():
        net.down1[2].weight[0] = 0.0  # batch norm of the first block: its first map is 0 throughout
        net.down1[2].bias[0] = 0.0
    blocks = look_at_blocks(net, PICTURE)
    drawing = draw_activations(blocks, PICTURE)
    picture, first, *_ = drawing.figure.axes
    np.testing.assert_array_equal(np.asarray(picture.images[0].get_array()), PICTURE[0, 0].numpy())
    shown = np.asarray(first.images[0].get_array().filled(np.nan))
    np.testing.assert_array_equal(shown[:, 13:25], blocks[0].maps[1].numpy())
    dark = int((blocks[0].maps.flatten(1).amax(1) == 0).sum())
    assert dark >= 1
    assert first.get_title(loc="left").endswith(f"; {dark} of them nothing but 0")
    assert math.isclose(first.images[0].get_clim()[0], 0)


def test_what_is_on_a_backbone_reads_its_maps():
    torch.manual_seed(0)
    net = build(ColourNetConfig(num_colours=5, width=8)).eval().requires_grad_(False)
    blocks = look_at_blocks(net, torch.rand(1, 1, 64, 96))
    assert {one.name: set(one.reads) for one in blocks} == {
        "backbone": {"input"},
        "coarsest": {"backbone"},
        "summary": {"backbone"},
        "join16": {"coarsest", "summary", "backbone"},
        "join8": {"join16", "backbone"},
        "join4": {"join8", "backbone"},
        "dropout": {"join4"},
        "classes": {"dropout"},
    }
    drawn = texts(draw_network(blocks, torch.rand(1, 1, 64, 96)))
    assert "frozen" in drawn
    assert drawn.count("maps beside") == 4
    assert first_filters(net).shape[1] == 3  # the backbone's, which reads colours
    (summary,) = (one.maps for one in blocks if one.name == "summary")
    assert summary.shape == (16, 1, 1)
    assert len(draw_activations(blocks, torch.rand(1, 1, 64, 96)).figure.axes) == 1 + len(blocks)


def test_arrows_above_the_blocks_never_run_along_each_other():
    lanes = _lanes([(1, 5), (1, 3), (2, 4), (3, 5), (6, 8)])
    assert lanes == {(1, 3): 0, (2, 4): 1, (3, 5): 2, (6, 8): 0, (1, 5): 3}
