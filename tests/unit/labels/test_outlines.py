"""COCO's and LabelMe's files, pixel by pixel."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from fixtures.drawn import VOID, coco, drawing, labelme, write_json
from pixelwise.errors import LabelError
from pixelwise.labels.class_names import ClassNames
from pixelwise.labels.outlines import labelme_classes, read_coco, read_labelme

pytestmark = pytest.mark.core

BOX = [[1, 1], [4, 1], [4, 3], [1, 3]]
ALL = [[0, 0, 6, 0, 6, 5, 0, 5]]
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
    found, photos = read_coco(tmp_path / "annotations.json", classes)
    return found.names, [photo.labels(found) for photo in photos]


def labels_of_shapes(tmp_path, shapes, **changes):
    values = labelme(shapes, 5, 6)
    values["shapes"][0].update(changes)
    write_json(tmp_path / "a.json", values)
    photo = read_labelme(tmp_path / "a.json")
    return photo.labels(labelme_classes([photo]))


def test_polygons_both_run_lengths_and_crowds_give_the_drawing(tmp_path):
    drawn = {f"photos/{seed}.jpg": drawing(seed) for seed in range(3)}
    names, labels = labels_of(tmp_path, coco(drawn))
    assert names == ("background", "flower", "leaf")  # by id, whatever the order in the file
    np.testing.assert_array_equal(labels, [*drawn.values()])


def test_later_things_lie_on_top_and_crowds_below_all(tmp_path):
    things = [
        {"image_id": 1, "category_id": category, "iscrowd": crowd, "segmentation": [[0, 0, x, 0, x, 5, 0, 5]]}
        for category, crowd, x in ((1, 0, 4), (2, 0, 2), (2, 1, 5))
    ]
    names = [{"id": 1, "name": "leaf"}, {"id": 2, "name": "flower"}]
    _, (labels,) = labels_of(tmp_path, coco_with(None, annotations=things, categories=names))
    assert labels[0].tolist() == [2, 2, 1, 1, VOID, 0]


def test_given_classes_are_found_by_name(tmp_path):
    _, (labels,) = labels_of(tmp_path, coco_with(ALL), ClassNames(("flower", "background")))
    assert not labels.any()
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


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (("flower", "line", [[0, 0], [1, 1]]), "got a line of 2"),
        (("flower", "circle", [[0, 0]]), "got a circle of 1"),
        (("flower", "rectangle", [[0, 0]] * 3), "got a rectangle of 3"),
        (("flower", "polygon", [[0, 0], [1, 1]]), "at least 3 points, got 4"),
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
