"""MyConv2d: both ways of computing agree with each other and with finite differences."""

import math

import pytest
import torch
from torch import nn

from pixelwise.models import MyConv2d, UnfoldedConvolution


def both(num_in: int, num_out: int, kernel: int) -> tuple[MyConv2d, MyConv2d]:
    written, torchs = MyConv2d(num_in, num_out, kernel, "unfold"), MyConv2d(num_in, num_out, kernel)
    torchs.load_state_dict(written.state_dict())
    return written.double(), torchs.double()


@pytest.mark.parametrize(("num_in", "num_out", "kernel"), [(1, 3, 3), (4, 2, 5), (3, 5, 1), (2, 2, 7)])
@pytest.mark.parametrize("size", [(8, 8), (5, 9), (1, 1)])
def test_both_ways_give_the_same_values_and_gradients(num_in, num_out, kernel, size):
    written, torchs = both(num_in, num_out, kernel)
    outputs = []
    for conv in (written, torchs):
        x = torch.linspace(-1, 1, 2 * num_in * size[0] * size[1], dtype=torch.float64)
        x = x.view(2, num_in, *size).requires_grad_()
        out = conv(x)
        (out * torch.arange(out.numel()).view_as(out).sin()).sum().backward()
        outputs.append((out, x.grad, conv.weight.grad, conv.bias.grad))
    for ours, theirs in zip(*outputs, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_the_written_backward_agrees_with_finite_differences():
    tensors = [
        torch.rand(shape, dtype=torch.float64, requires_grad=True)
        for shape in ((2, 2, 4, 5), (3, 2, 3, 3), (3,))
    ]
    assert torch.autograd.gradcheck(lambda x, w, b: UnfoldedConvolution.apply(x, w, b, 1), tensors)


def test_an_input_that_needs_no_gradient_gets_none():
    conv = MyConv2d(1, 2, 3, "unfold")
    x = torch.rand(1, 1, 4, 4)
    conv(x).sum().backward()
    assert x.grad is None
    assert conv.weight.grad is not None


def test_weights_start_uniform_within_the_handouts_bound():
    conv = MyConv2d(16, 200, 3)
    bound = 1 / math.sqrt(16 * 9)
    assert conv.weight.shape == (200, 16, 3, 3)
    for values in (conv.weight, conv.bias):
        assert values.abs().max() <= bound
        assert values.abs().max() > 0.95 * bound
    assert conv.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)


def test_it_matches_torchs_own_layer():
    conv, reference = MyConv2d(3, 4, 3, "unfold"), nn.Conv2d(3, 4, 3, padding=1)
    reference.load_state_dict(conv.state_dict())
    x = torch.rand(2, 3, 6, 7)
    torch.testing.assert_close(conv(x), reference(x), rtol=1e-5, atol=1e-5)


def test_it_prints_what_it_is():
    assert str(MyConv2d(1, 2, 3, "unfold")) == "MyConv2d(1, 2, kernel=3, how='unfold')"
