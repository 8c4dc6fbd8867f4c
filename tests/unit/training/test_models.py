"""The handout's networks and its convolution: shapes, sizes, gradients, checkpoint round trip."""

import numpy as np
import pytest
import torch
from torch import nn

from pixelwise.colour.palette import Palette
from pixelwise.errors import CheckpointError
from pixelwise.network.config import ColourNetConfig
from pixelwise.training.frozen import fingerprint
from pixelwise.training.models import build
from pixelwise.training.models.handout import MyConv2d
from pixelwise.training.models.on_backbone import ColourNet
from pixelwise.training.runs import open_torch_model, write_weights


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


CONFIG = ColourNetConfig(num_colours=5, width=8)
PALETTE = Palette(np.array([[0.0, 0], [50, 20], [-40, 30], [10, -50], [30, 60]]), "ab", "five")


@pytest.fixture(scope="module")
def net() -> ColourNet:
    torch.manual_seed(0)
    return build(CONFIG).eval()


def test_only_the_decoder_learns_and_is_saved(net):
    learned = {name.split(".")[0] for name, _ in net.named_parameters()}
    assert learned == {"coarsest", "summary", "join16", "join8", "join4", "classes"}
    assert {name.split(".")[0] for name in net.state_dict()} == learned | {"backbone_checksum"}
    net.train()
    before = fingerprint(net.backbone)
    optimiser = torch.optim.SGD(net.parameters(), 1.0)
    net(torch.rand(2, 1, 32, 32)).square().mean().backward()
    optimiser.step()
    net.eval()
    assert fingerprint(net.backbone) == before


def test_a_model_comes_back_as_it_was_written(net, tmp_path):
    write_weights(tmp_path / "model.safetensors", net, CONFIG, PALETTE, 64)
    again = open_torch_model(tmp_path / "model.safetensors")
    grey = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        np.testing.assert_allclose(again.logits(grey.numpy()), net(grey), rtol=1.3e-6, atol=1e-5)
    assert again.logits(np.zeros((1, 1, 60, 33), np.float32)).shape == (1, 5, 15, 9)


def test_layers_of_another_backbone_are_refused(net):
    state = net.state_dict() | {"backbone_checksum": torch.zeros(32, dtype=torch.uint8)}
    with pytest.raises(CheckpointError, match="efficientnet_lite0"):
        build(CONFIG).load_state_dict(state)
