"""Networks on a frozen backbone: logits at a quarter of the size, a backbone neither trained nor saved."""

import numpy as np
import pytest
import torch

from pixelwise.colour.palette import Palette
from pixelwise.errors import CheckpointError
from pixelwise.network.cards import shipped_models
from pixelwise.network.config import ColourNetConfig, LinearNetConfig
from pixelwise.segmenting.linear_head import Weights, features_at, grid
from pixelwise.training.device import ONE_THREAD
from pixelwise.training.frozen import fingerprint
from pixelwise.training.models import build
from pixelwise.training.models.on_backbone import ColourNet, LinearNet
from pixelwise.training.runs import open_torch_model, write_model

COLOURNET, LINEAR = ColourNetConfig(num_colours=5, width=8), LinearNetConfig(num_colours=5)
PALETTE = Palette(np.array([[0.0, 0], [50, 20], [-40, 30], [10, -50], [30, 60]]), "ab", "five")


@pytest.fixture(scope="module")
def colournet() -> ColourNet:
    torch.manual_seed(0)
    return build(COLOURNET).eval()


@pytest.fixture(scope="module")
def linear() -> LinearNet:
    torch.manual_seed(0)
    return build(LINEAR).eval()


@pytest.fixture(params=["colournet", "linear"])
def net(request):
    return request.getfixturevalue(request.param)


def test_logits_of_the_linear_net_are_those_of_a_head_on_features_read_at_each_place(linear):
    grey = torch.rand(1, 1, 64, 96)
    with torch.no_grad():
        logits = linear(grey)[0]
        maps = [one[0] for one in linear.features(grey)]
        places = grid(16, 24, 5)
        expected = linear.classes(features_at(maps, places, (16, 24)))
        assert torch.allclose(logits[:, places[:, 0], places[:, 1]].T, expected, atol=1e-4)
        head = Weights(linear.classes.weight, linear.classes.bias)
        assert torch.allclose(head.logits(maps, (16, 24)), logits, atol=1e-4)


@pytest.mark.parametrize("name", shipped_models())
@pytest.mark.slow
def test_a_photo_gets_the_same_logits_whichever_others_come_along(name):
    """Bit for bit where torch has one thread; with more some layers add in another order the more photos."""
    model, rng = open_torch_model(name), np.random.default_rng(0)
    for wide in (2, 3, 8):
        grey = rng.random((5, 1, model.size, model.size * wide // 2), np.float32)
        with ONE_THREAD:
            alone = np.concatenate([model.logits(one[None]) for one in grey])
            for num in (2, 5):
                assert np.array_equal(model.logits(grey[:num]), alone[:num])


def test_only_the_decoder_learns_and_is_saved(colournet):
    learned = {name.split(".")[0] for name, _ in colournet.named_parameters()}
    assert learned == {"coarsest", "summary", "join16", "join8", "join4", "classes"}
    assert {name.split(".")[0] for name in colournet.state_dict()} == learned | {"backbone_checksum"}
    colournet.train()
    before = fingerprint(colournet.backbone)
    optimiser = torch.optim.SGD(colournet.parameters(), 1.0)
    colournet(torch.rand(2, 1, 32, 32)).square().mean().backward()
    optimiser.step()
    colournet.eval()
    assert fingerprint(colournet.backbone) == before


def test_a_model_comes_back_as_it_was_written(net, tmp_path):
    write_model(tmp_path / "model.safetensors", net, net.config, PALETTE, 64)
    again = open_torch_model(tmp_path / "model.safetensors")
    grey = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        np.testing.assert_allclose(again.logits(grey.numpy()), net(grey), rtol=1.3e-6, atol=1e-5)
    assert again.logits(np.zeros((1, 1, 60, 33), np.float32)).shape == (1, 5, 15, 9)


def test_layers_of_another_backbone_are_refused(net):
    state = net.state_dict() | {"backbone_checksum": torch.zeros(32, dtype=torch.uint8)}
    with pytest.raises(CheckpointError, match="efficientnet_lite0"):
        build(net.config).load_state_dict(state)
