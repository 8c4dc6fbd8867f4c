"""Heads on disk, alone and with the parts of the backbone that learned along, and run on photos."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from PIL import Image

from fixtures.photos import make
from fixtures.tiny_backbone import about, tiny_backbone, tiny_content, tiny_head
from pixelwise.errors import CheckpointError, ConfigError
from pixelwise.labels.read import read_mask
from pixelwise.network.backbone import Certificate, open_backbone
from pixelwise.network.config import SegmentOptions
from pixelwise.photos.photo import open_photo
from pixelwise.segmenting import run as room
from pixelwise.segmenting.extraction import Extractor, read_photo
from pixelwise.segmenting.heads import HeadFacts, open_head, write_head
from pixelwise.segmenting.linear_head import EnlargedLogits, Weights
from pixelwise.segmenting.run import HeadRunner, segment_files

pytestmark = pytest.mark.core

PHOTOS = make.PHOTOS
FACTS = HeadFacts(source="tests", photos=("0123",), ridge=0.1, certificate=Certificate("a", "a", 1))


def write(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        PHOTOS[name](folder / name)
    return [str(folder / name) for name in names]


def test_the_mask_is_what_the_head_says_of_the_features(tmp_path):
    backbone = tiny_backbone()
    mine = tiny_head(backbone, seed=18, sizes=(16, 40))
    (photo,) = write(tmp_path, "colour.png")
    result = segment_files([photo], tmp_path / "out", [mine], backbone)
    assert result.failed == []
    maps = [
        one
        for size in mine.sizes
        for one in Extractor(backbone)(read_photo(Path(photo), size, backbone.multiple))
    ]
    expected = EnlargedLogits.of([mine.weights], maps, (40, 56))[0].labels(0, 40)
    assert len(np.unique(expected)) > 1
    found = read_mask(result.written[0].path)
    assert (found == expected).mean() > 0.999  # a pixel on the border of two may be either's


def test_heads_that_do_not_fit(tmp_path):
    backbone, other = tiny_backbone(), tiny_backbone(seed=1)
    with pytest.raises(CheckpointError, match="head b was learned on tiny"):
        segment_files([], tmp_path / "out", [tiny_head(backbone, "a"), tiny_head(other, "b")], backbone)
    with pytest.raises(ConfigError, match="needed a head, got none"):
        segment_files([], tmp_path / "out", [], backbone)
    with pytest.raises(ConfigError, match="needed heads of different names, got a twice"):
        alike = [tiny_head(backbone, name) for name in ("x/a.head.safetensors", "a")]
        segment_files([], tmp_path / "out", alike, backbone)


def test_a_network_that_sees_photos_whole_is_not_shown_too_large_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "_MOST_AT_ONCE", 2000)
    whole, tiled = tiny_backbone(margin=None), tiny_backbone()
    inputs = write(tmp_path / "in", "colour.png")
    Image.new("RGB", (400, 50)).save(tmp_path / "in" / "panorama.jpg")
    inputs.append(str(tmp_path / "in" / "panorama.jpg"))
    result = segment_files(inputs, tmp_path / "out", [tiny_head(whole)], whole)
    assert [one.path.name for one in result.written] == ["colour.png"]
    (failure,) = result.failed
    assert "panorama.jpg: tiny sees photos whole" in failure.error
    assert "got 16 x 128" in failure.error
    assert segment_files(inputs, tmp_path / "out", [tiny_head(tiled)], tiled).failed == []


@pytest.mark.parametrize(
    "options", [SegmentOptions(), SegmentOptions(overlay=True), SegmentOptions(probabilities=True)]
)
def test_a_disk_that_fills_up_fails_that_photo_and_leaves_nothing(options, tmp_path, short_disk):
    backbone = tiny_backbone()
    inputs = write(tmp_path / "in", "colour.png")
    with short_disk(500):
        result = segment_files(inputs, tmp_path / "out", [tiny_head(backbone)], backbone, options)
    assert result.written == []
    assert f"cannot write {tmp_path}/out/colour." in result.failed[0].error
    assert not (tmp_path / "out").exists()


def tuned_content(learned):
    model = onnx.load_from_string(learned.network.source)
    helper.set_model_props(model, {key: json.dumps(value) for key, value in about(learned).items()})
    return model.SerializeToString()


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(make.scene()).save(path)
    return open_photo(path)


def test_a_head_comes_back_from_its_file(tmp_path):
    head = tiny_head(tiny_backbone(), facts=FACTS)
    write_head(tmp_path / "mine", head)
    read = open_head(tmp_path / "mine")
    assert replace(read, weights=head.weights, name="mine") == head
    assert np.array_equal(read.weights.weight, head.weights.weight)
    assert np.array_equal(read.weights.bias, head.weights.bias)


def test_a_head_with_a_backbone_of_its_own_comes_back_and_says_the_same(tmp_path, photo):
    backbone, learned = tiny_backbone(), tiny_backbone(seed=1)
    head = tiny_head(backbone, tuned=tuned_content(learned))
    write_head(tmp_path / "mine", head)
    read = open_head(tmp_path / "mine")
    (found,) = HeadRunner([read], backbone)(photo)
    (expected,) = HeadRunner([tiny_head(learned)], learned)(photo)
    plain = tiny_head(backbone)
    assert plain.apply_weights(backbone) is backbone
    (untuned,) = HeadRunner([plain], backbone)(photo)
    assert np.array_equal(found.probs(0, 40), expected.probs(0, 40))
    assert not np.array_equal(found.probs(0, 40), untuned.probs(0, 40))
    assert read.num_bytes == head.num_bytes == 4 * 2 * 31 + len(head.tuned)


def test_a_backbone_that_is_not_its_own_is_refused():
    head = tiny_head(tiny_backbone(), tuned=b"no network")
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
    write_head(tmp_path / "other", tiny_head(tiny_backbone(), **change))
    with pytest.raises(CheckpointError, match=r"other holds no head of ours"):
        open_head(tmp_path / "other")
