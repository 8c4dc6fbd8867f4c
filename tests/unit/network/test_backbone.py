"""Backbones in ONNX files: what they say of themselves, what they read, and the proof that they stay."""

import hashlib

import numpy as np
import pytest

from fixtures.tiny_backbone import about, tiny_backbone, tiny_content
from pixelwise.errors import CheckpointError, ConfigError, FrozenError, ShapeError
from pixelwise.network.backbone import EMBEDDED, Backbone, certified, open_backbone
from pixelwise.network.session import OnnxNetwork

pytestmark = pytest.mark.core


def of(**changes) -> Backbone:
    """The tiny network under a changed description."""
    network = OnnxNetwork(tiny_content())
    network.about = about(tiny_backbone()) | changes
    return Backbone.of(network)


def test_a_file_says_what_it_is():
    tiny, again = tiny_backbone(), of()
    assert about(again) == about(tiny)
    assert again.levels == tiny.levels
    assert again.answer() == tiny.answer()


@pytest.mark.parametrize(
    "changes",
    [
        {"task": "colour"},
        {"levels": [{"name": "fine", "stride": 4, "channels": 7}]},
        {"levels": [{"name": "finest", "stride": 4, "channels": 6}]},
        {"levels": 3},
        {"multiple": 0},
        {"author": "unknown"},
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_a_network_that_is_no_backbone_is_refused(changes):
    with pytest.raises(CheckpointError, match="a network holds no backbone of ours"):
        of(**changes)


def test_sizes_that_do_not_divide_are_refused_with_one_that_does():
    with pytest.raises(ShapeError, match=r"tiny.* got 9 x 16; .* 16 x 16"):
        tiny_backbone()(np.zeros((1, 3, 9, 16), np.float32))
    with pytest.raises(ShapeError, match="got 0 x"):
        tiny_backbone()(np.zeros((1, 3, 0, 8), np.float32))


def test_a_certificate_is_of_the_file_and_of_what_it_computes(tmp_path):
    path = tmp_path / "tiny.onnx"
    path.write_bytes(tiny_content())
    tiny = Backbone(**vars(tiny_backbone()) | {"network": OnnxNetwork(path)})
    with certified(tiny) as certificate:
        tiny(np.zeros((1, 3, 8, 8), np.float32))
    assert certificate.before == certificate.after == hashlib.sha256(tiny_content()).hexdigest()
    assert certificate.num_tensors == 6
    assert tiny.answer() != tiny_backbone(seed=1).answer()
    with pytest.raises(FrozenError, match=str(path)), certified(tiny):
        path.write_bytes(tiny_content(seed=1))


def test_the_embedded_one_is_known_by_name():
    backbone = open_backbone()
    assert backbone.name == EMBEDDED == "efficientnet_lite0"
    assert [(one.channels, one.stride) for one in backbone.levels] == [
        (24, 4), (40, 8), (80, 16), (112, 16), (192, 32), (320, 32)
    ]  # fmt: skip
    assert backbone.checksum.startswith("923abbcf3cbadd7b178c830d8d1b6da9")  # which heads know
    with pytest.raises(ConfigError, match=r"one of the backbones efficientnet_lite0, .* got 'vgg'"):
        open_backbone("vgg")
