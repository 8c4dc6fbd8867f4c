"""What COCO's and LabelMe's files say, pixel by pixel."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from fixtures.drawn import (
    HEIGHT,
    VOID,
    WIDTH,
    coco,
    coco_packed_runs,
    coco_runs,
    drawing,
    labelme,
    write_json,
)
from pixelwise.classnames import ClassNames
from pixelwise.errors import DataError, LabelError
from pixelwise.masks.coco import read_coco
from pixelwise.masks.labelme import labelme_classes, read_labelme
from pixelwise.masks.outlines import inside_circle, inside_polygon, inside_runs, unpack_runs

BOX = [[1, 1], [4, 1], [4, 3], [1, 3]]


def coco_with(outline, **changes):
    """One image of 5 x 6 with one thing in it."""
    values = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 5, "width": 6}],
        "categories": [{"id": 3, "name": "flower"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 3, "iscrowd": 0, "segmentation": outline}],
    }
    return {**values, **changes}


def labels_of(tmp_path, values, classes=None):
    write_json(tmp_path / "annotations.json", values)
    file = read_coco(tmp_path / "annotations.json", classes)
    return file, [image.labels() for image in file.images]


def labels_of_shapes(tmp_path, shapes, height=5, width=6, classes=None):
    write_json(tmp_path / "a.json", labelme(shapes, height, width))
    file = read_labelme(tmp_path / "a.json")
    return file.labels(classes or labelme_classes([file]))


def test_polygons_both_run_lengths_and_crowds_give_what_was_drawn(tmp_path):
    drawn = {f"photos/{seed}.jpg": drawing(seed) for seed in range(3)}
    file, labels = labels_of(tmp_path, coco(drawn))
    assert file.classes.names == ("background", "flower", "leaf")  # by id, whatever the order in the file
    assert [image.file_name for image in file.images] == list(drawn)
    for ours, truth in zip(labels, drawn.values(), strict=True):
        np.testing.assert_array_equal(ours, truth)


def test_later_things_lie_on_top_and_crowds_below_all(tmp_path):
    things = [
        {"image_id": 1, "category_id": category, "iscrowd": crowd, "segmentation": [[0, 0, x, 0, x, 5, 0, 5]]}
        for category, crowd, x in ((1, 0, 4), (2, 0, 2), (2, 1, 5))
    ]
    names = [{"id": 1, "name": "leaf"}, {"id": 2, "name": "flower"}]
    _, (labels,) = labels_of(tmp_path, coco_with(None, annotations=things, categories=names))
    assert labels[0].tolist() == [2, 2, 1, 1, VOID, 0]


def test_a_category_called_background_is_class_0(tmp_path):
    names = [{"id": 1, "name": "flower"}, {"id": 3, "name": "Background"}]
    file, (labels,) = labels_of(tmp_path, coco_with([[0, 0, 6, 0, 6, 5, 0, 5]], categories=names))
    assert file.classes.names == ("background", "flower")
    assert not labels.any()


def test_given_classes_are_found_by_name(tmp_path):
    classes = ClassNames(("flower", "background"))
    _, (labels,) = labels_of(tmp_path, coco_with([[0, 0, 6, 0, 6, 5, 0, 5]]), classes)
    assert not labels.any()
    with pytest.raises(LabelError, match=r"annotations.json: needed one of the classes a, b, got 'flower'"):
        labels_of(tmp_path, coco_with([]), ClassNames(("a", "b")))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (7, 'needed a list "categories", got nothing'),
        ({"categories": [{"id": 1, "name": "a"}]}, 'needed a list "images", got nothing'),
        (coco_with(None, categories=[7]), 'a category: needed a whole number "id" from 0, got nothing'),
        (
            coco_with(None, categories=[{"id": True}]),
            'needed a whole number "id" from 0, got True',
        ),
        (coco_with(None, categories=[{"id": 1, "name": 5}]), 'a category: needed a text "name", got 5'),
        (
            coco_with(None, categories=[]),
            "the names of 2 to 255 classes, got 1; these are its categories",
        ),
        (coco_with(None, images=[{"id": 1}] * 2), "needed a different id for each image, got one twice"),
        (coco_with(None, images=[]), "an annotation: it is of image 1, which the file does not have"),
        (coco_with(None, annotations=[[]]), 'an annotation: needed a whole number "image_id"'),
        (
            coco_with(None, images=[{"id": 1, "file_name": "a", "height": 10**6, "width": 10**6}]),
            "a: needed an image of 1 pixel to 500 megapixels, got 1000000 x 1000000",
        ),
        (
            coco_with(None, images=[{"id": 1, "file_name": "a", "height": 0, "width": 5}]),
            "a: needed an image of 1 pixel to 500 megapixels, got 5 x 0",
        ),
        (coco_with(None), "a.jpg: needed polygons or run lengths, got nothing"),
        (coco_with([7]), "a.jpg: needed a list of numbers, got 7"),
        (coco_with([[1, 2, None]]), "a.jpg: needed a list of numbers, got [1, 2, None]"),
        (coco_with([[1, 2, float("nan"), 4, 5, 6]]), "needed a list of numbers, got [1, 2, nan, 4, 5, 6]"),
        (coco_with([[1, 2, 10**400, 4, 5, 6]]), "needed a list of numbers, got [1, 2, 1000"),
        (coco_with([[1, 2, 3, 4, 5]]), "needed x and y for each point, got 5 numbers"),
        (coco_with([[1, 2, 3, 4]]), "needed an outline of at least 3 points, got 2"),
        (
            coco_with({"size": [6, 5], "counts": []}),
            "run lengths of the image's size [5, 6], got [6, 5]",
        ),
        (coco_with({"size": [5, 6], "counts": 3}), "needed a list of numbers, got 3"),
        (coco_with({"size": [5, 6], "counts": [1, 2]}), "needed run lengths that add up to 6 x 5, got 3"),
        (coco_with({"size": [5, 6], "counts": [10**12]}), "add up to 6 x 5, got 1000000000000"),
        (coco_with({"size": [5, 6], "counts": [-1, 31]}), "needed run lengths that add up to 6 x 5, got 30"),
        (coco_with({"size": [5, 6], "counts": [29.5, 0.5]}), "needed whole run lengths, got 29.5"),
        (coco_with({"size": [5, 6], "counts": ""}), "needed run lengths that add up to 6 x 5, got 0"),
        (
            coco_with({"size": [5, 6], "counts": "oooo"}),
            "compressed run lengths, got some that are cut off",
        ),
        (
            coco_with({"size": [5, 6], "counts": "1\u00e9"}),
            "compressed run lengths, got '\u00e9' among them",
        ),
        (
            coco_with({"size": [5, 6], "counts": "o" * 40}),
            "compressed run lengths, got 'o' among them",
        ),
    ],
)
def test_what_is_not_cocos_is_refused_in_plain_words(tmp_path, values, message):
    with pytest.raises(LabelError, match=rf"annotations\.json: .*{re.escape(message)}"):
        labels_of(tmp_path, values)


def test_there_has_to_be_a_file(tmp_path):
    with pytest.raises(DataError, match="needed a JSON file, there is none"):
        read_coco(tmp_path / "annotations.json")


def test_packed_run_lengths_are_those_of_cocos_own_tools():
    for seed in range(20):
        inside = np.random.default_rng(seed).random((23, 37)) < seed / 20
        packed, plain = coco_packed_runs(inside), coco_runs(inside)
        assert unpack_runs(packed["counts"], "here") == plain["counts"]
        np.testing.assert_array_equal(inside_runs(plain["counts"], 23, 37, "here"), inside)


def test_a_polygon_far_outside_takes_no_memory():
    """COCO's own tools take 40 bytes for each pixel along the outline, in the image or not."""
    points = np.array([[-1e9, -1e9], [1e9, -1e9], [1e300, 1e300], [-1e9, 1e9]])
    left = np.array([[-1e9, 0], [-1e8, 9], [-1e300, 2]])
    assert inside_polygon(points, 5, 6, "here").all()
    assert not inside_polygon(left, 5, 6, "here").any()


def test_a_polygon_that_winds_on_is_refused():
    points = np.tile([[0.0, 0.0], [6.0, 5.0], [0.0, 5.0]], (5000, 1))
    with pytest.raises(LabelError, match=r"here: needed an outline, got one of \d+ pixels in 6 x 5"):
        inside_polygon(points, 5, 6, "here")


def test_a_circle_has_the_pixels_whose_centres_it_holds():
    inside = inside_circle(3, 2, 1.6, 5, 6)
    np.testing.assert_array_equal(
        inside.astype(int),
        [[0, 0, 1, 1, 0, 0], [0, 1, 1, 1, 1, 0], [0, 1, 1, 1, 1, 0], [0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0]],
    )


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
    whole = [[0, 0], [6, 5]]
    shapes = [
        ("leaf", "rectangle", whole),
        ("_background_", "rectangle", [[0, 0], [6, 1]]),
        ("__ignore__", "rectangle", [[0, 0], [1, 5]]),
        ("flower", "circle", [[4, 3], [4, 3.5]]),
    ]
    labels = labels_of_shapes(tmp_path, shapes)
    assert labels[0].tolist() == [VOID, 0, 0, 0, 0, 0]
    assert labels[4].tolist() == [VOID, 2, 2, 2, 2, 2]
    assert labels[2].tolist() == [VOID, 2, 2, 2, 2, 2]
    wider = labels_of_shapes(tmp_path, [*shapes[:3], ("flower", "circle", [[4, 3], [4, 3.8]])])
    assert wider[2].tolist() == [VOID, 2, 2, 1, 1, 2]


@pytest.mark.parametrize(("left", "top"), [(2, 1), (-1, -1), (5, 4), (40, 40), (-40, 2)])
def test_a_shape_that_is_a_picture_lies_where_it_was_put(tmp_path, left, top):
    picture = np.array([[1, 0, 1], [1, 1, 0]], np.uint8) * 255
    png = io.BytesIO()
    Image.fromarray(picture).save(png, "PNG")
    values = labelme([("flower", "mask", [[left, top], [left + 3, top + 2]])], 5, 6)
    values["shapes"][0]["mask"] = base64.b64encode(png.getvalue()).decode()
    write_json(tmp_path / "a.json", values)
    file = read_labelme(tmp_path / "a.json")
    room = np.zeros((105, 106), np.uint8)
    room[50 + top : 52 + top, 50 + left : 53 + left] = picture > 0
    np.testing.assert_array_equal(file.labels(labelme_classes([file])), room[50:55, 50:56])


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (
            ("flower", "line", [[0, 0], [1, 1]]),
            "a shape with an area .*, got a line; draw it as a polygon",
        ),
        (("flower", "circle", [[0, 0]]), "a.json: flower: needed 2 points for a circle, got 1"),
        (("flower", "rectangle", [[0, 0]] * 3), "a.json: flower: needed 2 points for a rectangle, got 3"),
        (("flower", "polygon", [[0, 0], [1, 1]]), "needed an outline of at least 3 points, got 2"),
        (("flower", "polygon", [[0, 0, 0]]), r"needed x and y for each point, got \[\[0.0, 0.0, 0.0\]\]"),
        (("flower", "polygon", [5]), "a.json: flower: needed a list of numbers, got 5"),
        (("flower", "polygon", 5), 'a.json: flower: needed a list "points", got 5'),
        (("flower", "mask", [[0, 0], [1, 1]]), "needed a mask as PNG in base64, got something else"),
        ((7, "polygon", BOX), 'a.json: a shape: needed a text "label", got 7'),
    ],
)
def test_a_shape_that_cannot_be_filled_is_named(tmp_path, shape, message):
    with pytest.raises(LabelError, match=message):
        labels_of_shapes(tmp_path, [shape])


def test_labels_beyond_the_given_classes_are_named(tmp_path):
    with pytest.raises(LabelError, match=r"a\.json: needed one of the classes a, b, got 'flower'"):
        labels_of_shapes(tmp_path, [("flower", "polygon", BOX)], classes=ClassNames(("a", "b")))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shapes": None}, 'a.json: needed a list "shapes", got nothing'),
        ({"imageHeight": None}, 'a.json: needed a whole number "imageHeight" from 0, got nothing'),
        ({"imageWidth": 10**9}, "a.json: needed an image of 1 pixel to 500 megapixels, got 1000000000 x 40"),
    ],
)
def test_what_is_not_labelmes_is_refused(tmp_path, changes, message):
    write_json(tmp_path / "a.json", labelme([], HEIGHT, WIDTH) | changes)
    with pytest.raises(LabelError, match=message):
        read_labelme(tmp_path / "a.json")
