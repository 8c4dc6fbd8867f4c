"""Heads run on photos, in the library: one forward pass for all, and no more memory than there may be."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fixtures.photos import make
from fixtures.tiny_backbone import tiny_backbone
from pixelwise.errors import CheckpointError, ConfigError
from pixelwise.labels.class_names import ClassNames
from pixelwise.labels.read import read_mask
from pixelwise.network.config import SegmentOptions
from pixelwise.segmenting import run as room
from pixelwise.segmenting.extraction import Extractor, read_photo
from pixelwise.segmenting.heads import Head
from pixelwise.segmenting.linear_head import EnlargedLogits, Weights
from pixelwise.segmenting.run import segment_files

pytestmark = pytest.mark.core

PHOTOS = make.PHOTOS


def head(backbone, name="head", sizes=(16, 32), num_classes=3, seed=0):
    weight = np.random.default_rng(seed).standard_normal((num_classes, 15 * len(sizes)), np.float32)
    return Head(
        name=name,
        classes=ClassNames(tuple(f"class {n}" for n in range(num_classes))),
        weights=Weights(weight * 10, np.zeros(num_classes, np.float32)),
        backbone=backbone.name,
        backbone_checksum=backbone.checksum,
        sizes=sizes,
    )


def write(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        PHOTOS[name](folder / name)
    return [str(folder / name) for name in names]


def test_the_mask_is_what_the_head_says_of_the_features(tmp_path):
    backbone = tiny_backbone()
    mine = head(backbone, sizes=(16, 40), seed=6)
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
        segment_files([], tmp_path / "out", [head(backbone, "a"), head(other, "b")], backbone)
    with pytest.raises(ConfigError, match="needed a head, got none"):
        segment_files([], tmp_path / "out", [], backbone)
    with pytest.raises(ConfigError, match="needed heads of different names, got a twice"):
        segment_files(
            [], tmp_path / "out", [head(backbone, "x/a.head.safetensors"), head(backbone, "a")], backbone
        )


def test_a_network_that_sees_photos_whole_is_not_shown_too_large_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "_MOST_AT_ONCE", 2000)
    whole, tiled = tiny_backbone(margin=None), tiny_backbone()
    inputs = write(tmp_path / "in", "colour.png")
    Image.new("RGB", (400, 50)).save(tmp_path / "in" / "panorama.jpg")
    inputs.append(str(tmp_path / "in" / "panorama.jpg"))
    result = segment_files(inputs, tmp_path / "out", [head(whole)], whole)
    assert [one.path.name for one in result.written] == ["colour.png"]
    (failure,) = result.failed
    assert "panorama.jpg: tiny sees photos whole" in failure.error
    assert "got 16 x 128" in failure.error
    assert segment_files(inputs, tmp_path / "out", [head(tiled)], tiled).failed == []


@pytest.mark.parametrize(
    "options", [SegmentOptions(), SegmentOptions(overlay=True), SegmentOptions(probabilities=True)]
)
def test_a_disk_that_fills_up_fails_that_photo_and_leaves_nothing(options, tmp_path, short_disk):
    backbone = tiny_backbone()
    inputs = write(tmp_path / "in", "colour.png")
    with short_disk(500):
        result = segment_files(inputs, tmp_path / "out", [head(backbone)], backbone, options)
    assert result.written == []
    assert f"cannot write {tmp_path}/out/colour." in result.failed[0].error
    assert list((tmp_path / "out").iterdir()) == []
