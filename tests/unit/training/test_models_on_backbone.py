"""The network on a frozen backbone: logits at a quarter of the size, a backbone neither trained nor saved."""

import numpy as np
import pytest
import torch

from pixelwise.colour.palette import Palette
from pixelwise.errors import CheckpointError
from pixelwise.network.config import ColourNetConfig
from pixelwise.training.frozen import fingerprint
from pixelwise.training.models import build
from pixelwise.training.models.on_backbone import ColourNet
from pixelwise.training.runs import open_torch_model, write_weights

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
