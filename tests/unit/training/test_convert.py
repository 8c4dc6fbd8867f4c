"""Networks of torch as ONNX files: equal in numbers, made once, and refused where they differ."""

import numpy as np
import onnxruntime
import pytest
import timm
import torch
from onnx import TensorProto, helper, numpy_helper

from fixtures.tiny_backbone import tiny_backbone
from fixtures.tiny_torch import tiny_torch_backbone
from pixelwise.colour.palette import Palette
from pixelwise.errors import CheckpointError, ConfigError
from pixelwise.network.backbone import Backbone, open_backbone
from pixelwise.network.config import CNNConfig, ColourNetConfig, UNetConfig
from pixelwise.network.model import model_of
from pixelwise.network.session import OnnxNetwork
from pixelwise.photos.photo import open_photo
from pixelwise.training.backbones import open_torch_backbone
from pixelwise.training.convert import backbone_content, model_content, require_equal, sample_photos
from pixelwise.training.models import build
from pixelwise.training.runs import TorchModel
from pixelwise.training.shipped import compact

PALETTE = Palette(np.array([[0.0, 0], [50, 20], [-40, 30], [10, -50], [30, 60]]), "ab", "five")


def photos(height: int, width: int) -> np.ndarray:
    codes = [open_photo(path).thumbnail(height, width) for path in sample_photos()]
    return np.stack(codes) / np.float32(255)


def pairs(backbone: Backbone, beside, images):
    """Maps of ours and of torch's."""
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
    assert require_equal("embedded", pairs(ours, theirs, photos(*size))) < 1e-4


@pytest.mark.parametrize(("fine", "most", "num_bytes"), [(False, 2e-3, 2), (True, 1e-5, 3)])
def test_large_tensors_are_kept_in_fewer_bits(fine, most, num_bytes):
    weight = np.random.default_rng(0).standard_normal((200, 300), np.float32)
    tensors = [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(weight[0], "bias")]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", None]) for name in ("x", "y")]
    nodes = [
        helper.make_node("MatMul", ["x", "weight"], ["z"]),
        helper.make_node("Add", ["z", "bias"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "one layer", values[:1], values[1:], tensors)
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    content = compact(whole.SerializeToString(), fine=fine)
    (found,) = onnxruntime.InferenceSession(content).run(["y"], {"x": np.eye(200, dtype=np.float32)})
    assert require_equal("layer", [(found, weight + weight[0])]) < most
    assert len(content) == pytest.approx(num_bytes * weight.size, abs=2500)


@pytest.mark.slow
def test_others_are_made_files_once_for_each_file_of_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("PIXELWISE_CACHE", str(tmp_path / "cache"))
    with pytest.raises(CheckpointError, match=r"there is no .*gone\.pth"):
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
    assert len(list((tmp_path / "cache" / "backbones").iterdir())) == 2


@pytest.mark.parametrize(
    "config",
    [
        CNNConfig(num_filters=4, num_colours=5, kernel=5, convolution="unfold"),
        pytest.param(UNetConfig(num_filters=4, num_colours=5, shift=-0.5), marks=pytest.mark.slow),
        pytest.param(ColourNetConfig(num_colours=5, width=8, saturation=1.3), marks=pytest.mark.slow),
    ],
    ids=lambda config: type(config).__name__,
)
def test_a_colouriser_gives_the_logits_of_torch_at_any_size(config):
    torch.manual_seed(0)
    facts = {"name": "random", "size": 64, "checksum": "", "trained_on": "folder:mine"}
    theirs = TorchModel.of(net=build(config).eval(), palette=PALETTE, **facts)
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
