"""The colouriser: logits at a quarter of the size, a backbone that neither learns nor is saved."""

import pytest
import torch
from torch import nn

from pixelwise.backbones import open_backbone
from pixelwise.cards import shipped_models
from pixelwise.config import ColourNetConfig, RunConfig
from pixelwise.errors import CheckpointError, ConfigError
from pixelwise.frozen import fingerprint
from pixelwise.labelspace import Palette
from pixelwise.models import ColourNet, build
from pixelwise.models.colournet import deepest
from pixelwise.processor import ONE_THREAD
from pixelwise.runs import open_model, write_model

CONFIG = ColourNetConfig(num_colours=5, width=8)
PALETTE = Palette(torch.tensor([[0.0, 0], [50, 20], [-40, 30], [10, -50], [30, 60]]).double(), "ab", "five")


@pytest.fixture(scope="module")
def net() -> ColourNet:
    torch.manual_seed(0)
    return build(CONFIG).eval()


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 96)])
def test_logits_are_a_quarter_as_high_and_wide(net, height, width):
    with torch.no_grad():
        assert net(torch.rand(2, 1, height, width)).shape == (2, 5, height // 4, width // 4)


def test_the_backbone_sees_grey_as_equal_red_green_and_blue(net):
    grey = torch.rand(1, 1, 64, 64)
    needed = open_backbone()(grey.repeat(1, 3, 1, 1))
    for map_, expected in zip(net.look(grey), needed, strict=True):
        assert torch.allclose(map_, expected, atol=1e-4)


@pytest.mark.parametrize("name", shipped_models())
def test_a_photo_gets_the_same_logits_whichever_others_come_along(name):
    """Bit for bit where torch has one thread: a server may have a network look at several photos at once.

    With more threads some layers add in another order the more photos there are.
    """
    model = open_model(name)
    torch.manual_seed(0)
    for wide in (2, 3, 8):
        grey = torch.rand(5, 1, model.size, model.size * wide // 2)
        with ONE_THREAD:
            alone = torch.cat([model.logits(one) for one in grey.split(1)])
            for num in (2, 5):
                assert torch.equal(model.logits(grey[:num]), alone[:num])


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


def test_what_comes_from_each_level_reaches_the_logits(net):
    grey = torch.rand(1, 1, 64, 64)
    seen = net.look(grey)
    with torch.no_grad():
        usual = net(grey)
        for stride, index in net._levels.items():
            other = [2 * one if i == index else one for i, one in enumerate(seen)]
            net.look = lambda _, other=other: tuple(other)
            assert not torch.equal(net(grey), usual), stride
            del net.look


def test_a_model_comes_back_as_it_was_written(net, tmp_path):
    write_model(tmp_path / "model.safetensors", net, CONFIG, PALETTE, 64)
    again = open_model(tmp_path / "model.safetensors")
    grey = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        assert torch.equal(again.logits(grey), net(grey))
    assert again.logits(torch.rand(1, 1, 60, 33)).shape == (1, 5, 15, 9)


def test_a_decoder_of_another_backbone_is_refused(net, tmp_path):
    state = net.state_dict() | {"backbone_checksum": torch.zeros(32, dtype=torch.uint8)}
    with pytest.raises(CheckpointError, match="trained on other weights of efficientnet_lite0"):
        build(CONFIG).load_state_dict(state)


@pytest.mark.usefixtures("unchecked")
def test_a_backbone_without_the_strides_is_refused():
    class Plain(nn.Module):
        levels, multiple, name = (), 32, "plain"

    with pytest.raises(ConfigError, match="needs a backbone with maps at strides 4, 8, 16 and 32, plain has"):
        deepest(Plain())


def test_its_configuration_goes_through_a_file_and_back():
    config = RunConfig(net=CONFIG, source="folder:photos", palette="learned", size=192)
    assert RunConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_colours": 0}, "num-colours needs to be at least 1, got 0"),
        ({"dropout": 1.0}, "dropout needs to be at least 0 and below 1, got 1.0"),
        ({"backbone": 3}, "backbone needs to be text, got 3"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_values_out_of_range_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        ColourNetConfig(**values)
