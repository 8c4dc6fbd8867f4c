"""Folders of photos and masks, opened: which labels belong to which photo."""

import json

import numpy as np
import pytest

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
from pixelwise.errors import DataError
from pixelwise.labels.folder import open_folder

pytestmark = pytest.mark.core


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
