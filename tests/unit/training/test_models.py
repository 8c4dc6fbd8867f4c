"""The handout's networks and its convolution: shapes, sizes, gradients, checkpoint round trip."""

import pytest
import torch
from torch import nn

from pixelwise.network.config import HANDOUT_CONFIGS, CNNConfig, UNetConfig
from pixelwise.training.models import build
from pixelwise.training.models.handout import MyConv2d, UnfoldedConvolution


@pytest.fixture(params=list(HANDOUT_CONFIGS.values()), ids=lambda config: config.__name__)
def kind(request):
    return request.param


@pytest.mark.parametrize(("height", "width"), [(32, 32), (4, 8), (12, 20)])
@pytest.mark.parametrize(
    ("kernel", "num_filters", "num_colours", "num_in_channels"), [(3, 4, 24, 1), (5, 3, 7, 2)]
)
def test_every_pixel_gets_logits(kind, height, width, kernel, num_filters, num_colours, num_in_channels):
    net = build(
        kind(kernel=kernel, num_filters=num_filters, num_colours=num_colours, num_in_channels=num_in_channels)
    )
    assert net(torch.rand(2, num_in_channels, height, width)).shape == (2, num_colours, height, width)


@pytest.mark.parametrize(
    ("config", "num_parameters"),
    [
        (CNNConfig(), 86_784),
        (UNetConfig(), 112_344),
        (UNetConfig(skip_full=False), 112_344 - 9 * 24),
        (UNetConfig(skip_half=False), 112_344 - 9 * 32 * 24),
        (UNetConfig(skip_quarter=False), 112_344 - 9 * 64 * 32),
    ],
)
def test_the_handouts_networks_have_its_parameter_counts(config, num_parameters):
    assert sum(one.numel() for one in build(config).parameters()) == num_parameters


@pytest.mark.parametrize(("num_in", "num_out", "kernel"), [(1, 3, 3), (4, 2, 5), (3, 5, 1), (2, 2, 7)])
@pytest.mark.parametrize("size", [(5, 9), (1, 1)])
def test_both_ways_give_the_values_and_gradients_of_torchs_own_layer(num_in, num_out, kernel, size):
    reference = nn.Conv2d(num_in, num_out, kernel, padding=kernel // 2).double()
    outputs = []
    for conv in (
        reference,
        *(MyConv2d(num_in, num_out, kernel, how).double() for how in ("torch", "unfold")),
    ):
        conv.load_state_dict(reference.state_dict())
        x = torch.linspace(-1, 1, 2 * num_in * size[0] * size[1], dtype=torch.float64)
        x = x.view(2, num_in, *size).requires_grad_()
        out = conv(x)
        (out * torch.arange(out.numel()).view_as(out).sin()).sum().backward()
        outputs.append((out, x.grad, conv.weight.grad, conv.bias.grad))
    for expected, *ours in zip(*outputs, strict=True):
        for one in ours:
            torch.testing.assert_close(one, expected, rtol=1e-10, atol=1e-10)


def test_the_written_backward_agrees_with_finite_differences():
    tensors = [
        torch.rand(shape, dtype=torch.float64, requires_grad=True)
        for shape in ((2, 2, 4, 5), (3, 2, 3, 3), (3,))
    ]
    assert torch.autograd.gradcheck(lambda x, w, b: UnfoldedConvolution.apply(x, w, b, 1), tensors)
