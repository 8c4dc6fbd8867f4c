"""The linear network: a head over all maps of a frozen backbone, in a model file."""

import pytest
import torch

from pixelwise.config import LinearNetConfig
from pixelwise.errors import CheckpointError, ConfigError
from pixelwise.head import Pixels, Weights, features_at, grid
from pixelwise.head.solve import Moments, choose_ridge_by_loss
from pixelwise.labelspace import Palette
from pixelwise.models import LinearNet, build
from pixelwise.runs import open_model, write_model

CONFIG = LinearNetConfig(num_colours=3)
PALETTE = Palette(torch.tensor([[0.0, 0], [50, 20], [-40, 30]]).double(), "ab", "three")


@pytest.fixture(scope="module")
def net() -> LinearNet:
    torch.manual_seed(0)
    return build(CONFIG).eval()


def test_logits_are_those_of_a_head_on_features_read_at_each_place(net):
    grey = torch.rand(2, 1, 64, 96)
    with torch.no_grad():
        logits = net(grey)
        assert logits.shape == (2, 3, 16, 24)
        for one, said in zip(net.look(grey[1:]), net.look(grey), strict=True):
            assert torch.allclose(one[0], said[1], atol=1e-4)
        maps = [one[1] for one in net.look(grey)]
        places = grid(16, 24, 5)
        expected = net.classes(features_at(maps, places, (16, 24)))
        assert torch.allclose(logits[1, :, places[:, 0], places[:, 1]].T, expected, atol=1e-4)
        head = Weights(net.classes.weight, net.classes.bias)
        assert torch.allclose(head.logits(maps, (16, 24)), logits[1], atol=1e-4)


def test_a_model_holds_the_layer_alone_and_comes_back(net, tmp_path):
    assert set(net.state_dict()) == {"classes.weight", "classes.bias", "backbone_checksum"}
    write_model(tmp_path / "model.safetensors", net, CONFIG, PALETTE, 64)
    again = open_model(tmp_path / "model.safetensors")
    grey = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(again.logits(grey), net(grey))


def test_a_layer_of_another_backbone_is_refused(net):
    state = net.state_dict() | {"backbone_checksum": torch.zeros(32, dtype=torch.uint8)}
    with pytest.raises(CheckpointError, match="learned with other weights of efficientnet_lite0 than are"):
        build(CONFIG).load_state_dict(state)


def test_it_has_at_least_one_class():
    with pytest.raises(ConfigError, match="num-colours needs to be at least 1, got 0"):
        LinearNetConfig(num_colours=0)


def test_the_ridge_of_least_loss_on_what_was_left_out_is_chosen():
    torch.manual_seed(0)
    features = torch.randn(400, 30)
    probs = torch.stack([features[:, 0], -features[:, 0]], 1).softmax(1)  # noisy, never certain
    pixels = Pixels(features, probs, 2)
    folds = [(Pixels(features[:60], probs[:60], 2), Pixels(features[60:], probs[60:], 2))]
    chosen = choose_ridge_by_loss(folds, Moments.of(pixels))
    assert chosen.scores[chosen.ridge] == min(chosen.scores.values())
    assert chosen.ridge < 1
    assert chosen.start.weight.shape == (2, 30)
