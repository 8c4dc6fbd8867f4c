"""Masks: what is written is read; what is drawn is filled; whatever a file holds, it is read or refused."""

import contextlib
import io
import json

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pycocotools import mask as coco_mask

from fixtures.drawn import coco, drawing, labelme
from fixtures.hostile import any_json, spoilt
from pixelwise.errors import DataError, LabelError
from pixelwise.labels.class_names import ClassNames
from pixelwise.labels.legend import Legend, read_legend
from pixelwise.labels.outlines import labelme_classes, read_coco, read_labelme, unpack_runs
from pixelwise.labels.read import read_mask
from pixelwise.labels.write import write_mask

pytestmark = pytest.mark.core

CLASSES = ClassNames(("background", "flower", "leaf"))
PLAIN = Legend(CLASSES, {0: 0, 1: 1, 2: 2, 255: 255})

sides = st.integers(1, 12)
labels = st.tuples(sides, sides).flatmap(
    lambda size: arrays(np.uint8, size, elements=st.sampled_from([0, 1, 2, 255]))
)


@given(labels, st.integers(1, 5))
def test_what_is_written_in_strips_of_any_height_is_read(tmp_path, drawn, height):
    strips = (drawn[row : row + height] for row in range(0, len(drawn), height))
    write_mask(tmp_path / "mask.png", strips, CLASSES)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png", PLAIN), drawn)


near = st.floats(-20, 40, width=32)


@given(st.lists(st.tuples(near, near), min_size=3, max_size=12))
def test_polygons_are_filled_as_by_cocos_own_tools(tmp_path, points):
    flat = [value for point in points for value in point]
    (runs,) = coco_mask.frPyObjects([flat], 17, 23)
    (tmp_path / "a.json").write_text(json.dumps(labelme([("a", "polygon", points)], 17, 23)))
    ours = read_labelme(tmp_path / "a.json").labels(ClassNames(("background", "a")))
    assert int(ours.sum()) == int(coco_mask.area(runs))
    lengths = unpack_runs(runs["counts"].decode(), "here")
    inside = np.repeat(np.arange(len(lengths)) % 2, lengths).reshape(23, 17).T
    np.testing.assert_array_equal(ours, inside)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=30))
def test_packed_lengths_are_unpacked(lengths):
    num = sum(lengths)
    assume(num)
    packed = coco_mask.frPyObjects({"size": [num, 1], "counts": lengths}, num, 1)["counts"].decode()
    assert unpack_runs(packed, "here") == lengths


def picture(kind) -> bytes:
    file = io.BytesIO()
    Image.fromarray(drawing()).save(file, kind)
    return file.getvalue()


PICTURES = [picture(kind) for kind in ("PNG", "TIFF", "GIF", "BMP", "PPM", "JPEG")]


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # of damage: where that matters it is an error as well
@given(st.sampled_from(PICTURES), st.integers(0, 2**14), st.binary(min_size=1, max_size=8), st.booleans())
def test_spoilt_and_cut_pictures_are_read_or_refused(tmp_path, whole, at, other, cut):
    where = at % len(whole)
    (tmp_path / "mask.png").write_bytes(whole[:where] + other + (b"" if cut else whole[where + len(other) :]))
    with contextlib.suppress(LabelError, DataError):
        read_mask(tmp_path / "mask.png")


plain = any_json(
    ["polygon", "rectangle", "mask", "names", ""],
    ["images", "annotations", "categories", "names", "ignore", "shapes", "points", "colours"],
)
COCO = coco({"a.jpg": drawing()})
LABELME = labelme([("a", "polygon", [[0, 0], [9, 0], [9, 9]]), ("b", "rectangle", [[5, 5], [7, 7]])])
LEGEND = {"names": ["a", "b"], "colours": [[0, 0, 0], [1, 2, 3]], "ignore": 9}


whole = st.sampled_from([COCO, LABELME, LEGEND]).flatmap(lambda one: spoilt(one, plain))


@pytest.mark.usefixtures("unchecked")
@given(st.binary(max_size=200) | (plain | whole).map(lambda values: json.dumps(values).encode()))
def test_any_content_is_read_or_refused(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    with contextlib.suppress(LabelError, DataError):
        read_mask(path)
    with contextlib.suppress(LabelError, DataError):
        read_legend(path)
    with contextlib.suppress(LabelError, DataError):
        classes, photos = read_coco(path)
        for photo in photos:
            if np.prod(photo.size) < 1e6:
                photo.labels(classes)
    with contextlib.suppress(LabelError, DataError):
        photo = read_labelme(path)
        if np.prod(photo.size) < 1e6:
            photo.labels(labelme_classes([photo]))
