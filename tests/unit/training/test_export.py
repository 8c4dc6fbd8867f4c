"""Exports beside what runs here: every kind of model, a head, runs of earlier versions, and what differs."""

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import timm
import torch

from fixtures.coloured_head import red_head
from fixtures.networks import THREE, linear_model, network
from fixtures.tiny_backbone import tiny_backbone
from fixtures.tiny_torch import tiny_torch_backbone
from pixelwise.colour.palette import Palette
from pixelwise.errors import CheckpointError, ConfigError
from pixelwise.network.backbone import Backbone, open_backbone
from pixelwise.network.config import CNNConfig, ColourNetConfig, UNetConfig
from pixelwise.network.model import model_of, open_model
from pixelwise.network.session import OnnxNetwork
from pixelwise.photos.photo import open_photo
from pixelwise.segmenting.heads import write_head
from pixelwise.training.backbones import open_torch_backbone
from pixelwise.training.convert import backbone_content, model_content, require_equal, sample_photos
from pixelwise.training.export import export_head, export_model, open_any_model
from pixelwise.training.models import build
from pixelwise.training.runs import TorchModel, open_torch_model, write_weights
from pixelwise.training.shipped import compact


@pytest.mark.parametrize("make", [linear_model, open_model], ids=["linear", "photo"])
def test_a_model_with_its_backbone_colours_here_as_one_file(make, tmp_path):
    model = make()
    assert export_model(model, tmp_path / "one.onnx").max_difference < 0.01
    again = open_model(tmp_path / "one.onnx")
    assert (again.backbone, again.size, again.saturation) == (None, model.size, model.saturation)
    assert again.trained_on == model.trained_on
    grey = np.random.default_rng(0).random((2, 1, 70, 100), np.float32)
    np.testing.assert_allclose(again.logits(grey), model.logits(grey), atol=0.01)
    assert again.network.about["read_by_name"] == "efficientnet_lite0"


@pytest.mark.slow
def test_a_run_of_an_earlier_version_is_converted(tmp_path):
    torch.manual_seed(0)
    config = CNNConfig(num_filters=2, num_colours=3)
    write_weights(tmp_path / "model.safetensors", build(config), config, THREE, 32)
    with pytest.raises(CheckpointError, match="pixelwise export"):
        open_model(tmp_path)
    export_model(open_any_model(str(tmp_path)), tmp_path / "model.onnx")
    grey = np.random.default_rng(0).random((1, 1, 30, 41), np.float32)
    logits = open_torch_model(tmp_path).logits(grey)
    for name in (tmp_path, tmp_path / "model.onnx"):
        np.testing.assert_allclose(open_any_model(str(name)).logits(grey), logits, atol=1e-4)


@pytest.mark.slow
def test_a_head_labels_as_it_does_here_and_one_of_another_backbone_is_refused(tmp_path):
    head, backbone = replace(red_head(), name=str(tmp_path / "red")), open_backbone()
    write_head(tmp_path / "red", head)
    assert export_head(head, backbone, tmp_path / "red.onnx").equal > 0.999
    with pytest.raises(CheckpointError, match="red was learned on"):
        export_head(replace(head, backbone_checksum="0" * 64), backbone, tmp_path / "other.onnx")


def test_an_export_that_differs_is_refused(tmp_path):
    model = replace(linear_model(), bias=np.full(3, np.nan, np.float32))
    with pytest.raises(ConfigError, match=r"mine .*nan"):
        export_model(model, tmp_path / "mine.onnx")
    with pytest.raises(ConfigError, match=r"such as .*mine\.onnx, got .*mine\.pt"):
        export_model(model, tmp_path / "mine.pt")
    assert not list(tmp_path.iterdir())


PALETTE = Palette(np.array([[0.0, 0], [50, 20], [-40, 30], [10, -50], [30, 60]]), "ab", "five")


def photos(height: int, width: int) -> np.ndarray:
    codes = [open_photo(path).thumbnail(height, width) for path in sample_photos()]
    return np.stack(codes) / np.float32(255)


def pairs(backbone: Backbone, beside, images):
    with torch.inference_mode():
        expected = [level.numpy() for level in beside(torch.from_numpy(images))]
    return zip(backbone(images), expected, strict=True)


def test_a_backbone_keeps_its_facts_and_its_maps():
    theirs = tiny_torch_backbone()
    ours = Backbone.of(OnnxNetwork(backbone_content(theirs)))
    for fact in ("name", "licence", "source", "checksum", "multiple", "sizes", "margin", "levels"):
        assert getattr(ours, fact) == getattr(theirs, fact)
    assert ours.num_tensors == len(theirs.state_dict())
    images = photos(40, 56)
    assert require_equal("tiny", pairs(ours, theirs, images)) < 1e-5
    for one, same in zip(ours(images), tiny_backbone()(images), strict=True):
        np.testing.assert_allclose(one, same, atol=1e-5)


@pytest.mark.parametrize("size", [(192, 256), pytest.param((512, 768), marks=pytest.mark.slow)])
def test_the_embedded_file_gives_what_torch_gives(size):
    ours, theirs = open_backbone(), open_torch_backbone()
    assert (ours.checksum, ours.levels, ours.margin) == (theirs.checksum, theirs.levels, theirs.margin)
    assert require_equal("embedded", pairs(ours, theirs, photos(*size))) < 3e-4  # of 16 bits


def test_large_tensors_are_kept_in_16_bit():
    weight = np.random.default_rng(0).standard_normal((200, 300), np.float32)
    text = "layer (float[n, m] x) => (float[n, l] y) { z = MatMul (x, weight) y = Add (z, bias) }"
    content = compact(network(text, {"weight": weight, "bias": weight[0]}))
    (found,) = onnxruntime.InferenceSession(content).run(["y"], {"x": np.eye(200, dtype=np.float32)})
    assert require_equal("layer", [(found, weight + weight[0])]) < 2e-5
    assert len(content) == pytest.approx(2 * weight.size, abs=2500)


@pytest.mark.slow
def test_others_are_made_files_once_for_each_file_of_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("PIXELWISE_CACHE", str(tmp_path / "cache"))
    with pytest.raises(CheckpointError, match=r"cannot read weights from .*gone\.pth"):
        open_backbone("timm:test_resnet", tmp_path / "gone.pth")
    for seed in range(2):
        torch.manual_seed(seed)
        path = tmp_path / f"{seed}.pth"
        torch.save(timm.create_model("test_resnet").state_dict(), path)
        backbone, theirs = (
            open_backbone("timm:test_resnet", path),
            open_torch_backbone("timm:test_resnet", path),
        )
        assert (backbone.checksum, backbone.implementation) == (theirs.checksum, f"timm {timm.__version__}")
        assert require_equal("test_resnet", pairs(backbone, theirs, photos(160, 192))) < 1e-4
        made = backbone.network.source.stat()
        assert open_backbone("timm:test_resnet", path).network.source.stat() == made
    assert len(list((tmp_path / "cache" / "backbones").glob("*.onnx"))) == 2


@pytest.mark.parametrize(
    "config",
    [
        CNNConfig(num_filters=4, num_colours=5, kernel=5, convolution="unfold"),
        pytest.param(
            UNetConfig(num_filters=4, num_colours=5, shift=0.5, grey_table=True), marks=pytest.mark.slow
        ),
        pytest.param(ColourNetConfig(num_colours=5, width=8, saturation=1.3), marks=pytest.mark.slow),
    ],
    ids=lambda config: type(config).__name__,
)
def test_a_colouriser_gives_the_logits_of_torch_at_any_size(config):
    torch.manual_seed(0)
    net = build(config).eval()
    for weights in net.parameters():
        if not weights.any():  # zeros would hide what is added
            torch.nn.init.normal_(weights)
    facts = {"name": "random", "size": 64, "checksum": "", "trained_on": "folder:mine"}
    theirs = TorchModel.of(net=net, palette=PALETTE, **facts)
    ours = model_of("random", OnnxNetwork(model_content(theirs)))
    for fact in ("size", "stride", "out_stride", "saturation", "trained_on"):
        assert getattr(ours, fact) == getattr(theirs, fact)
    assert np.array_equal(ours.palette.colours, PALETTE.colours)
    for size in ((96, 128), (37, 70)):
        grey = PALETTE.read_grey((photos(*size) * 255).round().astype(np.uint8))
        assert require_equal("random", [(ours.logits(grey), theirs.logits(grey))]) < 1e-4


class Deciding(torch.nn.Module):
    """A network that computes something else for dark photos, which a graph cannot say."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x) if x.mean() > 0 else self.net(-x)


def test_what_cannot_be_said_or_differs_is_refused():
    backbone = tiny_torch_backbone()
    backbone.net = Deciding(backbone.net)
    with pytest.raises(ConfigError, match="tiny cannot be exported for photos of every size"):
        backbone_content(backbone)
    backbone = tiny_torch_backbone()
    backbone.net.layers[2].weight[0] = torch.nan
    with pytest.raises(ConfigError, match=r"tiny gives other numbers .* nan"):
        backbone_content(backbone)
    same, other = np.array([1.0, -2]), np.array([1.0, -2.01])
    assert require_equal("pair", [(same, same)]) == 0
    with pytest.raises(ConfigError, match=r"by 0\.005 of the largest"):
        require_equal("pair", [(same, same), (other, same)])
