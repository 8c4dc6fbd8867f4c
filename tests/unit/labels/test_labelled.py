"""Folders of photos and masks or outlines as data sets: parts that share no photo, labels of its size."""

import base64
import io
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from fixtures.drawn import (
    NAMES,
    VOID,
    drawing,
    folder_of_coco,
    folder_of_labelme,
    folder_of_masks,
    labelme,
    write_json,
    write_numbers,
    write_photo,
    write_voc,
)
from pixelwise.errors import ConfigError, DataError, LabelError
from pixelwise.labels.class_names import ClassNames
from pixelwise.labels.folder import open_folder
from pixelwise.labels.outlines import labelme_classes, read_coco, read_labelme
from pixelwise.labels.sources import load_labelled

pytestmark = pytest.mark.core


def add(folder, stem, seed=0, labels=None, orientation=1):
    """A photo and a mask beside it."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    write_photo(folder / "images" / f"{stem}.png", seed, orientation)
    write_numbers(folder / "masks" / f"{stem}.png", drawing(seed) if labels is None else labels)


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
    upright = np.ascontiguousarray(drawing().T)
    add(tmp_path, "turned", orientation=6, labels=upright)
    assert (load(tmp_path).train[0].read_labels() == upright).all()
    add(tmp_path, "turned", orientation=6)
    with pytest.raises(DataError, match="is displayed in, 40 x 56, got 56 x 40"):
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
        (folder_of_coco, ("background", "flower", "leaf")),  # by id, whatever the order in the file
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


BOX = [[1, 1], [4, 1], [4, 3], [1, 3]]
ITS_CATEGORY = {"id": 3, "name": "flower"}


def coco_with(outline, **changes):
    values = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 5, "width": 6}],
        "categories": [ITS_CATEGORY],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 3, "iscrowd": 0, "segmentation": outline}],
    }
    return {**values, **changes}


def runs(counts, size=(5, 6)):
    return coco_with({"size": [*size], "counts": counts})


def image_of(height, width):
    return coco_with(None, images=[{"id": 1, "file_name": "a", "height": height, "width": width}])


def labels_of(tmp_path, values, classes=None):
    write_json(tmp_path / "annotations.json", values)
    found, (photo,) = read_coco(tmp_path / "annotations.json", classes)
    return photo.labels(found)


def labels_of_shapes(tmp_path, shapes, **changes):
    values = labelme(shapes, 5, 6)
    values["shapes"][0].update(changes)
    write_json(tmp_path / "a.json", values)
    photo = read_labelme(tmp_path / "a.json")
    return photo.labels(labelme_classes([photo]))


def test_later_things_lie_on_top_and_crowds_below_all(tmp_path):
    things = [
        {"image_id": 1, "category_id": category, "iscrowd": crowd, "segmentation": [[0, 0, x, 0, x, 5, 0, 5]]}
        for category, crowd, x in ((1, 0, 4), (2, 0, 2), (2, 1, 5))
    ]
    names = [{"id": 1, "name": "leaf"}, {"id": 2, "name": "flower"}]
    labels = labels_of(tmp_path, coco_with(None, annotations=things, categories=names))
    assert labels[0].tolist() == [2, 2, 1, 1, VOID, 0]


def test_a_category_that_is_none_of_the_given_classes_is_refused(tmp_path):
    with pytest.raises(LabelError, match=r"annotations.json: .* got 'flower'"):
        labels_of(tmp_path, coco_with([]), ClassNames(("a", "b")))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (7, '"categories", got nothing'),
        ({"categories": [ITS_CATEGORY]}, '"images", got nothing'),
        (coco_with(None, categories=[]), "got 1; these are its categories"),
        (coco_with(None, images=[{"id": 1}] * 2), "got one twice"),
        (coco_with(None, images=[]), "it is of image 1, which"),
        (image_of(10**6, 10**6), "got 1000000 x 1000000"),
        (coco_with([[1, 2, float("nan"), 4, 5, 6]]), "got [1, 2, nan, 4, 5, 6]"),
        (coco_with([[1, 2, 10**400, 4, 5, 6]]), "got [1, 2, 1000"),
        (coco_with([[1, 2, 3, 4, 5]]), "got 5 numbers"),
        (coco_with([[1, 2, 3, 4]]), "at least 3 points, got 4"),
        (coco_with([[1, 2, 3, 4, 5, 1e9]]), "got a point at 1e+09"),
        (runs([], (6, 5)), "[5, 6], got [6, 5]"),
        (runs([1, 2]), "6 x 5, got 3"),
        (runs([-1, 31]), "6 x 5, got 30"),
        (runs([29.5, 0.5]), "got 29.5"),
        (runs("oooo"), "cut off"),
        (runs("1\u00e9"), "got '\u00e9' among"),
    ],
)
def test_a_damaged_coco_file_is_refused_with_the_value(tmp_path, values, message):
    with pytest.raises(LabelError, match=rf"annotations\.json: .*{re.escape(message)}"):
        labels_of(tmp_path, values)


@pytest.mark.parametrize(
    ("kind", "points"),
    [
        ("polygon", BOX),
        (None, BOX),
        ("rectangle", [BOX[0], BOX[2]]),
        ("rectangle", [BOX[2], BOX[0]]),
        ("rectangle", BOX),
    ],
)
def test_polygons_and_rectangles_fill_their_pixels(tmp_path, kind, points):
    labels = labels_of_shapes(tmp_path, [("flower", kind, points)])
    assert np.argwhere(labels).tolist() == [[r, c] for r in (1, 2) for c in (1, 2, 3)]


def test_labels_are_classes_by_the_alphabet_and_later_shapes_lie_on_top(tmp_path):
    shapes = [
        ("leaf", "rectangle", [[0, 0], [6, 5]]),
        ("_background_", "rectangle", [[0, 0], [6, 1]]),
        ("__ignore__", "rectangle", [[0, 0], [1, 5]]),
        ("flower", "rectangle", [[3, 2], [5, 4]]),
    ]
    labels = labels_of_shapes(tmp_path, shapes)
    assert labels[0].tolist() == [VOID, 0, 0, 0, 0, 0]
    assert labels[2].tolist() == [VOID, 2, 2, 1, 1, 2]
    assert labels[4].tolist() == [VOID, 2, 2, 2, 2, 2]


def test_a_circle_has_the_pixels_whose_centres_it_holds(tmp_path):
    labels = labels_of_shapes(tmp_path, [("flower", "circle", [[3, 2], [3, 3.6]])])
    assert labels.tolist() == [
        [0, 0, 1, 1, 0, 0],
        [0, 1, 1, 1, 1, 0],
        [0, 1, 1, 1, 1, 0],
        [0, 0, 1, 1, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ]


@pytest.mark.parametrize(("left", "top"), [(2, 1), (-1, -1), (5, 4), (20, 20), (-9, 2)])
@pytest.mark.parametrize("value", [1, 255])
def test_a_shape_that_is_a_picture_lies_where_it_was_put(tmp_path, left, top, value):
    picture = np.array([[1, 0, 1], [1, 1, 0]], np.uint8)
    png = io.BytesIO()
    Image.fromarray(picture * np.uint8(value)).save(png, "PNG")
    shape = ("flower", "mask", [[left, top], [left + 2, top + 1]])
    labels = labels_of_shapes(tmp_path, [shape], mask=base64.b64encode(png.getvalue()).decode())
    room = np.zeros((105, 106), np.uint8)
    room[50 + top : 52 + top, 50 + left : 53 + left] = picture
    np.testing.assert_array_equal(labels, room[50:55, 50:56])


def test_shapes_without_an_area_are_left_out_and_named(tmp_path, caplog):
    useless = [
        ("centre", "point", [[1, 1]]),
        ("stem", "linestrip", [[0, 0], [1, 1], [2, 2]]),
        ("flower", "polygon", [[0, 0], [1, 1]]),
    ]
    labels = labels_of_shapes(tmp_path, [("flower", "rotation", [[1, 1], [4, 1], [4, 4], [1, 4]]), *useless])
    assert labels[2, 2] == 1
    assert labels.max() == 1
    told = [f"left out {kind}, which" for kind in ("a point of centre", "a linestrip of stem")]
    assert all(any(one in message for message in caplog.messages) for one in told)
    assert any("a polygon of 2 points of flower" in message for message in caplog.messages)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (("flower", "circle", [[0, 0]]), "got a circle of 1"),
        (("flower", "rectangle", [[0, 0]] * 3), "got a rectangle of 3"),
        (("flower", "polygon", 5), '"points", got 5'),
        (("flower", "mask", [[0, 0], [1, 1]]), "PNG in base64, got something else"),
        (("flower", "mask", [[0, 0]]), "got a mask of 1"),
        (("flower", "circle", [[0, 0], [1, 1e9]]), r"got a point at 1e\+09"),
        ((7, "polygon", BOX), '"label", got 7'),
    ],
)
def test_a_shape_that_cannot_be_filled_is_named(tmp_path, shape, message):
    with pytest.raises(LabelError, match=f"a.json: (flower|a shape): .*{message}"):
        labels_of_shapes(tmp_path, [shape])


@pytest.mark.parametrize(
    "place", ["annotations/instances_default.json", "_annotations.coco.json", "result.json"]
)
def test_a_file_of_coco_is_found_where_tools_put_it(tmp_path, place):
    folder = folder_of_coco(tmp_path / "coco")
    usual, photos, _ = open_folder(folder)
    (folder / place).parent.mkdir(exist_ok=True)
    (folder / "annotations.json").rename(folder / place)
    found = open_folder(folder)
    assert (found[0], len(found[1])) == (usual, len(photos))
    shutil.copy(folder / place, folder / "annotations.json")
    with pytest.raises(DataError, match="needed one file of COCO's"):
        open_folder(folder)


@pytest.mark.parametrize("content", ["{}", "[{}]", "no JSON"])
def test_beside_other_labels_a_file_called_as_coco_calls_its_own_may_be_anything(tmp_path, folder, content):
    for labelled in (folder, folder_of_labelme(tmp_path / "labelme")):
        usual = open_folder(labelled)
        (labelled / "result.json").write_text(content)
        assert [photo.photo for photo in open_folder(labelled)[1]] == [photo.photo for photo in usual[1]]
    shutil.copy(folder_of_coco(tmp_path / "coco") / "annotations.json", folder / "result.json")
    with pytest.raises(DataError, match="found masks and coco"):
        open_folder(folder)
