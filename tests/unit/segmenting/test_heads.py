"""Heads on disk, alone and with the parts of the backbone that learned along."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import helper
from PIL import Image

from fixtures.drawn import scene
from fixtures.tiny_backbone import about, tiny_backbone, tiny_content
from pixelwise.errors import CheckpointError
from pixelwise.labels.class_names import ClassNames
from pixelwise.network.backbone import Certificate, open_backbone
from pixelwise.photos.photo import open_photo
from pixelwise.segmenting.heads import Head, HeadFacts, open_head, write_head
from pixelwise.segmenting.linear_head import Weights
from pixelwise.segmenting.run import HeadRunner

pytestmark = pytest.mark.core


def head_on(backbone, **changes):
    weight = np.random.default_rng(0).standard_normal((2, 30), np.float32)
    head = Head(
        name="mine",
        classes=ClassNames(("background", "flower")),
        weights=Weights(weight, np.zeros(2, np.float32)),
        backbone=backbone.name,
        backbone_checksum=backbone.checksum,
        sizes=(16, 32),
        facts=HeadFacts(source="tests", photos=("0123",), ridge=0.1, certificate=Certificate("a", "a", 1)),
    )
    return replace(head, **changes)


def tuned_content(learned):
    """The file of a backbone that learned along, which says what it is."""
    model = onnx.load_from_string(learned.network.source)
    helper.set_model_props(model, {key: json.dumps(value) for key, value in about(learned).items()})
    return model.SerializeToString()


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(scene()).save(path)
    return open_photo(path)


def test_a_head_comes_back_from_its_file(tmp_path):
    head = head_on(tiny_backbone())
    write_head(tmp_path / "mine", head)
    read = open_head(tmp_path / "mine")
    assert replace(read, weights=head.weights, name="mine") == head
    assert np.array_equal(read.weights.weight, head.weights.weight)
    assert np.array_equal(read.weights.bias, head.weights.bias)


def test_a_head_with_a_backbone_of_its_own_comes_back_and_says_the_same(tmp_path, photo):
    backbone, learned = tiny_backbone(), tiny_backbone(seed=1)
    head = head_on(backbone, tuned=tuned_content(learned))
    write_head(tmp_path / "mine", head)
    read = open_head(tmp_path / "mine")
    (found,) = HeadRunner([read], backbone)(photo)
    (expected,) = HeadRunner([head_on(learned)], learned)(photo)
    plain = head_on(backbone)
    assert plain.apply_weights(backbone) is backbone
    (untuned,) = HeadRunner([plain], backbone)(photo)
    assert np.array_equal(found.probs(0, 40), expected.probs(0, 40))
    assert not np.array_equal(found.probs(0, 40), untuned.probs(0, 40))
    assert read.num_bytes == head.num_bytes == 4 * 2 * 31 + len(head.tuned)


def test_a_backbone_that_is_not_its_own_is_refused():
    head = head_on(tiny_backbone(), tuned=b"no network")
    with pytest.raises(CheckpointError, match="cannot be read as a network"):
        head.apply_weights(tiny_backbone())
    with pytest.raises(CheckpointError, match="holds no backbone of ours"):
        replace(head, tuned=tiny_content()).apply_weights(tiny_backbone())
    with pytest.raises(CheckpointError, match=r"mine was learned on tiny with weights"):
        head.apply_weights(tiny_backbone(seed=1))
    with pytest.raises(CheckpointError, match="efficientnet_lite0"):
        head.apply_weights(open_backbone())


@pytest.mark.parametrize(
    "change",
    [
        {"weights": Weights(np.zeros((3, 30), np.float32), np.zeros(3, np.float32))},
        {"weights": Weights(np.full((2, 30), np.nan, np.float32), np.zeros(2, np.float32))},
        {"sizes": ()},
        {"facts": HeadFacts(ridge=-1.0)},
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path, change):
    write_head(tmp_path / "other", head_on(tiny_backbone(), **change))
    with pytest.raises(CheckpointError, match=r"other holds no head of ours"):
        open_head(tmp_path / "other")
