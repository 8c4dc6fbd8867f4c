"""Folders of photos and masks as data sets: parts that share no photo, labels of the photo's size."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from fixtures.drawn import (
    NAMES,
    drawing,
    folder_of_coco,
    folder_of_labelme,
    folder_of_masks,
    write_json,
    write_photo,
    write_voc,
)
from pixelwise.errors import ConfigError, DataError, LabelError
from pixelwise.labels.folder import open_folder
from pixelwise.labels.sources import load_labelled

pytestmark = pytest.mark.core


def add(folder, stem, seed=0, size=(12, 9), labels=None, orientation=1):
    """A photo of noise and a mask beside it; (width, height)."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "images" / f"{stem}.png", exif=exif)
    if labels is None:
        labels = rng.integers(0, 2, (size[1], size[0]), dtype=np.uint8)
    Image.fromarray(labels).save(folder / "masks" / f"{stem}.png")
    return labels


@pytest.fixture
def folder(tmp_path):
    for seed in range(10):
        add(tmp_path / "set", f"photo{seed}", seed)
    return tmp_path / "set"


def load(folder, seed=0):
    return load_labelled(f"folder:{folder}", seed=seed)


def stems(photos):
    return {one.stem for one in photos}


def test_a_fifth_is_kept_apart_by_the_seed(folder):
    found = load(folder)
    assert (len(found.train), len(found.val), len(found.test)) == (8, 2, 0)
    assert not stems(found.train) & stems(found.val)
    assert load(folder).digest == found.digest
    assert len({load(folder, seed).digest for seed in range(8)}) > 4


def test_splits_json_deals_the_photos(folder):
    splits = {"train": ["photo4", "photo1"], "val": ["photo2"], "test": ["photo9", "photo8"]}
    (folder / "splits.json").write_text(json.dumps(splits))
    found = load(folder)
    assert {part: [one.stem for one in getattr(found, part)] for part in splits} == splits
    first = folder / "images" / "photo0.png"
    names_nowhere = f"{folder / 'splits.json'} names them nowhere"
    assert found.notes == (f"left out 5 labelled photos, {first} the first: {names_nowhere}",)
    assert load(folder, seed=1).digest == found.digest


def test_photos_in_two_parts_are_refused_by_name_and_by_content(folder):
    (folder / "splits.json").write_text(json.dumps({"train": ["photo1"], "val": ["photo1"], "test": []}))
    with pytest.raises(DataError, match=r"photo1\.png of train and .*photo1\.png of val"):
        load(folder)
    for copy in ("copy", "other copy"):
        add(folder, copy, seed=1)
    splits = {"train": ["photo1"], "val": ["photo2"], "test": ["copy", "other copy"]}
    (folder / "splits.json").write_text(json.dumps(splits))
    with pytest.raises(DataError, match=r"photo1\.png of train and .*copy\.png of test .*2 such"):
        load(folder)


def test_a_photo_that_is_turned_needs_a_mask_as_it_is_displayed(tmp_path):
    upright = np.arange(9 * 12).reshape(12, 9).astype(np.uint8) % 2
    add(tmp_path, "turned", orientation=6, labels=upright)
    assert (load(tmp_path).train[0].read_labels() == upright).all()
    add(tmp_path, "turned", orientation=6, labels=np.ascontiguousarray(upright.T))
    with pytest.raises(DataError, match="is displayed in, 9 x 12, got 12 x 9"):
        load(tmp_path).train[0].read_labels()


@pytest.mark.parametrize(
    "source", ["", "flowers", "cifar10:horse", "folder", "folder:", "flowers17:", "nothing"]
)
def test_unknown_sources_are_told_what_there_is(source):
    there_is = "there is flowers17, flowers17:classes, or folder:PATH"
    with pytest.raises(ConfigError, match=f"needed a source of labelled photos, got '{source}'; {there_is}"):
        load_labelled(source)


def test_names_change_nothing_and_copies_stay_together(folder):
    before = {one.photo.read_bytes() for one in load(folder).val}
    for kind in ("images", "masks"):
        for path in sorted((folder / kind).iterdir()):
            path.rename(path.with_stem(f"a{9 - int(path.stem[5:])}"))
        for path in sorted((folder / kind).iterdir()):
            shutil.copy(path, path.with_stem(f"copy of {path.stem}"))
    assert {one.photo.read_bytes() for one in load(folder).val} == before


@pytest.mark.parametrize(
    ("splits", "value"),
    [
        ({"train": ["photo1", "photo77"]}, "photo77"),
        ({"train": []}, "got none"),
        ({"train": [1]}, "got 1"),
        ({"train": "photo1"}, "got 'photo1'"),
        ({}, "got nothing"),
    ],
)
def test_splits_that_name_no_photos_are_refused(folder, splits, value):
    (folder / "splits.json").write_text(json.dumps(splits))
    with pytest.raises((DataError, LabelError), match=value):
        load(folder)


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (folder_of_masks, ("background", "class 1", "class 2")),
        (lambda folder: folder_of_masks(folder, write_voc), ("background", "class 1", "class 2")),
        (folder_of_coco, ("background", "flower", "leaf")),
    ],
)
def test_each_photo_has_its_labels(tmp_path, make, names):
    folder = make(tmp_path / "folder")
    write_photo(folder / "images/new.jpg", 9)
    (folder / "images/.hidden.jpg").write_bytes(b"")
    classes, photos, unlabelled = open_folder(folder)
    assert classes.names == names
    assert [path.name for path in unlabelled] == ["new.jpg"]
    for number, one in enumerate(photos):
        assert one.photo.name == f"photo{number}.jpg"
        np.testing.assert_array_equal(one.read_labels(), drawing(number))
    assert set(np.unique(drawing())) == {*range(len(NAMES)), 255}


@pytest.mark.parametrize("make", [folder_of_coco, folder_of_labelme])
def test_classes_json_decides_the_order_of_classes_in_outlines_too(tmp_path, make):
    usual, ordered, alone = (make(tmp_path / name) for name in ("usual", "ordered", "alone"))
    write_json(ordered / "classes.json", {"names": ["leaf", "background", "flower"]})
    write_json(alone / "classes.json", {"names": ["leaf", "flower"]})
    as_usual, in_order, without = (open_folder(f)[1][0].read_labels() for f in (usual, ordered, alone))
    np.testing.assert_array_equal(in_order, np.array([1, 2, 0, *[255] * 253])[as_usual])
    # what no outline covers is without class where no class is called background
    np.testing.assert_array_equal(without, np.array([255, 1, 0, *[255] * 253])[as_usual])


@pytest.mark.parametrize("folders", [("a/", "b/"), ("", "")])
def test_a_photo_that_a_coco_file_has_twice_is_refused(tmp_path, folders):
    """Photos of two folders that were thrown together under one name would contradict each other."""
    folder = folder_of_coco(tmp_path)
    values = json.loads((folder / "annotations.json").read_text())
    values["images"].append({**values["images"][0], "id": 77, "file_name": f"{folders[1]}photo0.jpg"})
    values["images"][0]["file_name"] = f"{folders[0]}photo0.jpg"
    write_json(folder / "annotations.json", values)
    message = rf"annotations\.json: .* got {folders[0]}photo0\.jpg and {folders[1]}photo0\.jpg"
    with pytest.raises(DataError, match=message):
        open_folder(folder)
