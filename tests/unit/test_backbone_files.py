"""Weights of torchvision and timm in their true formats: from files, from past downloads, from a server."""

import functools
import hashlib
import http.server
import re
import shutil
import threading
from dataclasses import replace

import huggingface_hub.constants
import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torchvision.models import segmentation

from pixelwise.backbones import about, any_timm, coco, open_backbone
from pixelwise.backbones.catalogue import COCO
from pixelwise.errors import CheckpointError, ConfigError, DownloadError, OutputError

SMALL = "lraspp_mobilenet_v3_large"
DEEPLAB = "deeplabv3_mobilenet_v3_large"
DEEP = (
    pytest.param("deeplabv3_resnet50", marks=pytest.mark.slow),
    pytest.param("deeplabv3_resnet101", marks=pytest.mark.slow),
)


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
    """The file as torchvision publishes it, its name with the first digits of its SHA-256."""
    torch.save(theirs(name).state_dict(), folder / "new.pth")
    digits = hashlib.sha256((folder / "new.pth").read_bytes()).hexdigest()[:8]
    return (folder / "new.pth").rename(folder / f"{name}-{digits}.pth")


def test_addresses_and_digits_are_torchvisions():
    published = {
        name: segmentation.__dict__[kind].COCO_WITH_VOC_LABELS_V1.url
        for name, kind in (
            ("deeplabv3_resnet101", "DeepLabV3_ResNet101_Weights"),
            ("deeplabv3_resnet50", "DeepLabV3_ResNet50_Weights"),
            ("deeplabv3_mobilenet_v3_large", "DeepLabV3_MobileNet_V3_Large_Weights"),
            ("lraspp_mobilenet_v3_large", "LRASPP_MobileNet_V3_Large_Weights"),
        )
    }
    assert {name: facts.url for name, facts in COCO.items()} == published
    assert all(re.search(r"-[0-9a-f]{8}\.pth$", url) for url in published.values())


@pytest.mark.parametrize("name", [DEEPLAB, *DEEP])
def test_the_last_layer_reads_these_features(name, tmp_path):
    backbone = open_backbone(name, weights=publish(name, tmp_path))
    images = torch.rand(1, 3, 48, 64)
    mean, std = (torch.tensor(one).view(3, 1, 1) for one in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.inference_mode():
        (features,) = backbone(images)
        logits = theirs(name).get_submodule(backbone.last_layer)(features)
        logits = F.interpolate(logits, (48, 64), mode="bilinear", align_corners=False)
        needed = theirs(name)((images - mean) / std)["out"]
    torch.testing.assert_close(logits, needed, rtol=0, atol=1e-4 * float(needed.abs().max()))
    assert backbone.last_layer == "classifier.4"


def test_two_last_layers_read_two_maps_and_are_added(tmp_path):
    backbone = open_backbone(SMALL, weights=publish(SMALL, tmp_path))
    images = torch.rand(1, 3, 48, 64)
    last = theirs(SMALL).classifier
    with torch.inference_mode():
        low, high = backbone(images)
        high = F.interpolate(high, low.shape[-2:], mode="bilinear", align_corners=False)
        logits = last.low_classifier(low) + last.high_classifier(high)
        needed = theirs(SMALL)((images - backbone.centre) / backbone.scale)["out"]
    logits = F.interpolate(logits, (48, 64), mode="bilinear", align_corners=False)
    torch.testing.assert_close(logits, needed, rtol=1e-4, atol=1e-4)
    assert backbone.last_layer is None


def test_a_file_of_another_network_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"does not fit the network: \d+ tensors are missing"):
        open_backbone(DEEPLAB, weights=publish(SMALL, tmp_path))


def test_a_file_with_another_number_of_classes_is_refused(tmp_path):
    tensors = theirs(DEEPLAB).state_dict()
    tensors |= {"classifier.4.weight": torch.zeros(2, 256, 1, 1), "classifier.4.bias": torch.zeros(2)}
    torch.save(tensors, tmp_path / "mine.pth")
    with pytest.raises(
        CheckpointError, match=r"2 tensors .* such as classifier\.4\.bias, classifier\.4\.weight"
    ):
        open_backbone(DEEPLAB, weights=tmp_path / "mine.pth")


def test_the_random_state_is_left_alone_by_a_file(tmp_path):
    path = publish(SMALL, tmp_path)
    torch.manual_seed(1)
    needed = torch.rand(1)
    torch.manual_seed(1)
    first, second = (open_backbone(SMALL, weights=path).checksum for _ in range(2))
    assert torch.equal(torch.rand(1), needed)
    assert first == second


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A file on a server, an empty folder of downloads, and what is known of the network."""
    served, home = tmp_path / "served", tmp_path / "home"
    served.mkdir()
    path = publish(SMALL, served)
    monkeypatch.setenv("TORCH_HOME", str(home))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Answer, directory=served)
    ) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/{path.name}"
        yield path, home / "hub" / "checkpoints", replace(about(SMALL), url=url)
        server.shutdown()
        thread.join()


class Answer(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def test_weights_are_downloaded_once_and_verified(published, capsys):
    path, home, facts = published
    first = coco.open_coco(facts, None, random_weights=False)
    assert (home / path.name).read_bytes() == path.read_bytes()
    path.unlink()
    second = coco.open_coco(facts, None, random_weights=False)
    assert first.checksum == second.checksum
    assert second.source == about(SMALL).source
    assert capsys.readouterr() == ("", "")


def test_a_file_put_there_by_hand_is_verified_too(published):
    path, home, facts = published
    home.mkdir(parents=True)
    (home / path.name).write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        CheckpointError, match=r"is damaged: needed a SHA-256 that starts with \w{8}, got \w{8}; del"
    ):
        coco.open_coco(facts, None, random_weights=False)
    shutil.copy(path, home / path.name)
    again = coco.open_coco(facts, None, random_weights=False)
    assert again.checksum == open_backbone(SMALL, weights=path).checksum


def test_what_came_damaged_is_not_kept(published):
    path, home, facts = published
    path.write_bytes(b"<html>please pay</html>")
    with pytest.raises(DownloadError, match=r"came damaged \(invalid hash value .*\); run again"):
        coco.open_coco(facts, None, random_weights=False)
    assert not list(home.iterdir())


def test_no_network_says_where_to_put_the_file(published, tmp_path):
    path, home, _ = published
    facts = replace(about(SMALL), url=f"http://127.0.0.1:9/{path.name}")
    by_hand = f"put {path.name} into {home}, or say where it lies with --weights FILE"
    message = f"cannot download {facts.url} .*Connection refused.*; {by_hand}"
    with pytest.raises(DownloadError, match=message):
        coco.open_coco(facts, None, random_weights=False)


def test_a_folder_that_cannot_be_written_is_said(published, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "file"))
    with pytest.raises(OutputError, match=r"cannot write .*; set TORCH_HOME"):
        coco.open_coco(published[2], None, random_weights=False)


@functools.cache
def timms(name):
    torch.manual_seed(0)
    return timm.create_model(name, pretrained=False).eval()


@pytest.mark.parametrize("form", ["safetensors", "pth"])
@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_vit"])
def test_timms_files_are_read(tmp_path, form, name):
    path, tensors = tmp_path / f"model.{form}", timms(name).state_dict()
    save_file(tensors, path) if form == "safetensors" else torch.save(tensors, path)
    backbone = open_backbone(f"timm:{name}", weights=path)
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
    assert backbone.source == f"weights from model.{form}"


def test_a_network_that_shrinks_step_by_step_has_a_level_for_each_step_from_stride_4():
    backbone = open_backbone("timm:test_resnet", random_weights=True)
    assert [one.stride for one in backbone.levels] == [4, 8, 16, 32]
    assert (backbone.multiple, backbone.sizes, backbone.margin) == (32, (160, 320), None)


def test_one_grid_of_patches_is_one_level_at_any_size():
    backbone = open_backbone("timm:test_vit", random_weights=True)
    assert [(one.stride, one.channels) for one in backbone.levels] == [(16, 64)]
    assert (backbone.multiple, backbone.sizes) == (16, (160,))
    assert backbone(torch.rand(2, 3, 32, 208))[0].shape == (2, 64, 2, 13)


@pytest.mark.slow
def test_dinov2_reads_photos_of_any_multiple_of_its_patch(tmp_path):
    """Its file has a token for masked patches, which timm's network has not."""
    tensors = timms("vit_small_patch14_dinov2.lvd142m").state_dict() | {"mask_token": torch.zeros(1, 384)}
    torch.save(tensors, tmp_path / "dinov2_vits14_pretrain.pth")
    backbone = open_backbone("timm:vit_small_patch14_dinov2", weights=tmp_path / "dinov2_vits14_pretrain.pth")
    assert (backbone.multiple, backbone.sizes) == (14, (518,))
    assert backbone(torch.rand(1, 3, 70, 98))[0].shape == (1, 384, 5, 7)


def test_a_file_that_lacks_a_tensor_is_not_filled_up_with_random_numbers(tmp_path):
    for name in ("test_resnet", "test_vit"):
        tensors = dict(timms(name).state_dict())
        tensors.pop(list(tensors)[20])
        save_file(tensors, tmp_path / "model.safetensors")
        with pytest.raises(
            CheckpointError, match=rf"does not fit timm:{name} \(.*\); give the file that was made"
        ):
            open_backbone(f"timm:{name}", weights=tmp_path / "model.safetensors")


def test_a_model_that_reads_one_size_only_is_refused():
    message = (
        r"mixer_s32_224 does not read photos of any size: needed maps .* of a photo of 64 x 96, got Input"
    )
    with pytest.raises(ConfigError, match=message):
        open_backbone("timm:mixer_s32_224", random_weights=True)


def test_a_model_without_maps_is_refused(monkeypatch):
    """Each model of today's timm has them; those of the oldest that will do have not."""
    monkeypatch.setattr(any_timm, "_create", lambda model, **options: torch.nn.Conv2d(3, 4, 3))
    with pytest.raises(
        ConfigError, match=r"timm:test_vit gives no maps of features in timm .*; choose another"
    ):
        open_backbone("timm:test_vit", random_weights=True)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty folder of downloads, and no network."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    return tmp_path / "hub"


def test_what_was_downloaded_before_is_read_without_a_network(hub):
    snapshot = hub / "models--timm--test_resnet.r160_in1k" / "snapshots" / "0a1b"
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0a1b")
    save_file(timms("test_resnet").state_dict(), snapshot / "model.safetensors")
    backbone = open_backbone("timm:test_resnet")
    assert torch.equal(next(backbone.net.parameters()), next(timms("test_resnet").parameters()))
    assert backbone.source == "timm test_resnet, timm/test_resnet.r160_in1k"


def test_timms_weights_without_a_network_say_what_to_fetch(hub):
    message = (
        r"cannot download http://127\.0\.0\.1:9/timm/test_resnet\.r160_in1k/resolve/main/model\.safetensors "
        r"\(.*Connection refused.*\); fetch that file on another machine and give it with --weights FILE"
    )
    with pytest.raises(DownloadError, match=message):
        open_backbone("timm:test_resnet")


def test_a_model_without_published_weights_is_refused(hub):
    facts = {name: timm.get_pretrained_cfg(name) for name in timm.list_models()}
    bare = next(name for name, one in facts.items() if not (one.hf_hub_id or one.url))
    with pytest.raises(
        CheckpointError, match=f"timm publishes no weights for {bare}; give a file with --weights"
    ):
        open_backbone(f"timm:{bare}")
