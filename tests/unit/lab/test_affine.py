"""Question A4: each claim about ax + b, in double precision on small networks."""

import pytest
import torch

from pixelwise.lab.affine import (
    check_claims,
    equivalent,
    logits_of,
    reading,
    skip_reads_x,
    with_first_block,
)
from pixelwise.network.config import CNNConfig, UNetConfig
from pixelwise.training.models import build

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
    found = {row["name"]: row["exact"] for row in check_claims(cnn, unet, pictures())}
    exact = {"factor", "shift_padded_with_b", "negative_repaired", "equivalent", "skip_reads_x"}
    assert {name for name, is_exact in found.items() if is_exact} == exact
    assert len(found) == 11
