"""Weights of torchvision and timm in their true formats: from files, from past downloads, from a server."""

import functools
import hashlib
import socket

import huggingface_hub.constants
import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torchvision.models import segmentation

from pixelwise.errors import CheckpointError, DownloadError
from pixelwise.training.backbones import coco, open_torch_backbone

SMALL = "lraspp_mobilenet_v3_large"
DEEPLAB = "deeplabv3_mobilenet_v3_large"
DEEP = pytest.param("deeplabv3_resnet101", marks=pytest.mark.slow)


@functools.cache
def theirs(name):
    """torchvision's network as its published file fills it: 21 classes, and an auxiliary classifier."""
    torch.manual_seed(0)
    options = {} if name == SMALL else {"aux_loss": True}
    net = getattr(segmentation, name)(weights=None, weights_backbone=None, num_classes=21, **options).eval()
    for part in net.modules():
        if isinstance(part, torch.nn.BatchNorm2d):  # no file has statistics that never moved
            torch.nn.init.uniform_(part.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(part.running_var, 0.8, 1.2)
    return net


def publish(name, folder):
    torch.save(theirs(name).state_dict(), folder / "weights.pth")
    return folder / "weights.pth"


@pytest.mark.parametrize("name", [DEEPLAB, SMALL, DEEP])
def test_the_last_layers_read_these_features(name, tmp_path):
    backbone = open_torch_backbone(name, weights=publish(name, tmp_path))
    images = torch.rand(1, 3, 48, 64)
    mean, std = (torch.tensor(one).view(3, 1, 1) for one in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    last = theirs(name).classifier
    layers = [last.low_classifier, last.high_classifier] if name == SMALL else [last[4]]
    with torch.inference_mode():
        maps = [layer(one) for layer, one in zip(layers, backbone(images), strict=True)]
        for size in (maps[0].shape[-2:], (48, 64)):
            maps = [F.interpolate(one, size, mode="bilinear", align_corners=False) for one in maps]
        needed = theirs(name)((images - mean) / std)["out"]
    torch.testing.assert_close(sum(maps), needed, rtol=0, atol=1e-4 * float(needed.abs().max()))


def test_files_of_other_networks_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"weights\.pth"):
        open_torch_backbone(DEEPLAB, weights=publish(SMALL, tmp_path))


@pytest.fixture
def published(tmp_path, monkeypatch, serve):
    """A file on a server, and the empty folder of downloads."""
    served, home = tmp_path / "served", tmp_path / "home"
    served.mkdir()
    path = publish(SMALL, served)
    digits = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    path = path.rename(served / f"{SMALL}-{digits}.pth")
    monkeypatch.setitem(coco._FILES, SMALL, path.name)
    monkeypatch.setenv("TORCH_HOME", str(home))
    monkeypatch.setattr(coco, "_SERVER", serve(served))
    return path, home / "hub" / "checkpoints"


def test_weights_are_downloaded_once_and_verified(published, capsys):
    path, home = published
    first = open_torch_backbone(SMALL)
    assert (home / path.name).read_bytes() == path.read_bytes()
    path.unlink()
    assert open_torch_backbone(SMALL).checksum == first.checksum
    assert "torchvision" in first.source
    assert capsys.readouterr() == ("", "")


def test_damaged_downloads_are_refused(published):
    path, home = published
    home.mkdir(parents=True)
    (home / path.name).write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=path.name):
        open_torch_backbone(SMALL)
    (home / path.name).unlink()
    path.write_bytes(b"<html>please pay</html>")
    with pytest.raises(DownloadError, match=path.name):
        open_torch_backbone(SMALL)
    assert not list(home.iterdir())


def test_a_server_that_does_not_answer_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr("pixelwise.training.backbones.backbone._ANSWER_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(coco, "_SERVER", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(DownloadError, match=r"timed out.*--weights FILE"):
            open_torch_backbone(SMALL)


@functools.cache
def timms(name):
    torch.manual_seed(0)
    return timm.create_model(name, pretrained=False).eval()


@pytest.mark.parametrize("form", ["safetensors", "pth"])
@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_vit"])
def test_timms_files_are_read(tmp_path, form, name):
    path, tensors = tmp_path / f"model.{form}", dict(timms(name).state_dict())
    save_file(tensors, path) if form == "safetensors" else torch.save(tensors, path)
    backbone = open_torch_backbone(f"timm:{name}", weights=path)
    images = torch.rand(1, 3, 160, 160)  # the size that its position embeddings were made for
    with torch.inference_mode():
        maps = backbone(images)
        indices = [int(level.name.removeprefix("map")) for level in backbone.levels]
        needed = timms(name).forward_intermediates(
            (images - backbone.centre) / backbone.scale,
            indices=indices,
            norm=name == "test_vit",
            intermediates_only=True,
        )
    for ours, one in zip(maps, needed, strict=True):
        torch.testing.assert_close(ours, one, rtol=1e-4, atol=1e-4)
    tensors.pop(list(tensors)[20])
    save_file(tensors, tmp_path / "lacking.safetensors")
    with pytest.raises(CheckpointError, match=rf"lacking\.safetensors does not fit timm:{name}"):
        open_torch_backbone(f"timm:{name}", weights=tmp_path / "lacking.safetensors")


@pytest.mark.slow
def test_dinov2_reads_photos_of_any_multiple_of_its_patch(tmp_path):
    """Its file has a token for masked patches, which timm's network has not."""
    tensors = timms("vit_small_patch14_dinov2.lvd142m").state_dict() | {"mask_token": torch.zeros(1, 384)}
    torch.save(tensors, tmp_path / "dinov2_vits14_pretrain.pth")
    backbone = open_torch_backbone(
        "timm:vit_small_patch14_dinov2", weights=tmp_path / "dinov2_vits14_pretrain.pth"
    )
    assert (backbone.multiple, backbone.sizes) == (14, (518,))
    assert backbone(torch.rand(1, 3, 70, 98))[0].shape == (1, 384, 5, 7)


def test_earlier_downloads_need_no_network_and_later_ones_say_what_to_fetch(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        DownloadError, match=r"http://127\.0\.0\.1:9/timm/test_resnet\.r160_in1k/resolve/main/model"
    ):
        open_torch_backbone("timm:test_resnet")
    snapshot = tmp_path / "hub" / "models--timm--test_resnet.r160_in1k" / "snapshots" / "0a1b"
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0a1b")
    save_file(timms("test_resnet").state_dict(), snapshot / "model.safetensors")
    backbone = open_torch_backbone("timm:test_resnet")
    assert torch.equal(next(backbone.net.parameters()), next(timms("test_resnet").parameters()))
    assert backbone.source == "timm test_resnet, timm/test_resnet.r160_in1k"
    assert [one.stride for one in backbone.levels] == [4, 8, 16, 32]
    assert (backbone.multiple, backbone.sizes, backbone.margin) == (32, (160, 320), None)
