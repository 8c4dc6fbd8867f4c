"""Labels to PNG and probabilities to TIFF, in strips."""

import json

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image

from fixtures.drawn import VOID, drawing
from pixelwise.colour.palette import IGNORE
from pixelwise.errors import LabelError, OutputError, ShapeError
from pixelwise.labels import write
from pixelwise.labels.class_names import FLOWER, MAX_CLASSES, ClassNames, check_colour, voc_colour
from pixelwise.labels.confusion import class_counts, weights_of
from pixelwise.labels.read import read_mask
from pixelwise.labels.write import MAX_CODE, write_mask, write_probabilities

pytestmark = pytest.mark.core

CLASSES = ClassNames(("background", "flower", "Blüte"))
LABELS = drawing()
SIZE = 21, 34


def split(whole, num_rows):
    return (whole[..., row : row + num_rows, :] for row in range(0, whole.shape[-2], num_rows))


@pytest.mark.parametrize(("num_rows", "orientation"), [(40, 1), (1, 3), (16, 6)])
def test_any_reader_of_png_gets_numbers_colours_and_orientation(tmp_path, num_rows, orientation):
    write_mask(tmp_path / "mask.png", split(LABELS, num_rows), CLASSES, orientation)
    with Image.open(tmp_path / "mask.png") as image:
        assert (image.mode, image.size) == ("P", LABELS.shape[::-1])
        assert image.getexif().get(0x0112, 1) == orientation
        np.testing.assert_array_equal(np.asarray(image), LABELS)
        shown = np.asarray(image.convert("RGB"))
    for label, colour in [*enumerate(CLASSES.colours), (VOID, voc_colour(VOID))]:
        assert (shown[label == LABELS] == colour).all()
    assert read_mask(tmp_path / "mask.png").shape == (LABELS.shape if orientation < 5 else LABELS.T.shape)


@pytest.mark.parametrize(
    ("name", "shapes", "value", "error", "message"),
    [
        ("mask.png", [(2, 2)], 2, LabelError, "0 to 1 or 255, got 2"),
        ("mask.jpg", [(2, 2)], 0, OutputError, r"\.png"),
    ],
)
def test_an_impossible_mask_is_not_written(tmp_path, name, shapes, value, error, message):
    with pytest.raises(error, match=message):
        write_mask(tmp_path / name, (np.full(shape, value, np.uint8) for shape in shapes), FLOWER)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("num_rows", "is_big"), [(1, False), (8, True), (21, False)])
def test_readers_of_tiff_get_the_probabilities(tmp_path, num_rows, is_big, monkeypatch):
    if is_big:
        monkeypatch.setattr(write, "_SMALL_BYTES", 0)
    path = tmp_path / "a.tif"
    probs = np.random.default_rng(0).dirichlet([0.3] * 3, SIZE).transpose(2, 0, 1).astype(np.float32)
    write_probabilities(path, split(probs, num_rows), CLASSES, SIZE, orientation=6)
    codes = np.rint(probs * MAX_CODE)
    with tifffile.TiffFile(path) as file:
        assert file.is_bigtiff == is_big
        assert np.array_equal(file.asarray(), codes)
        assert [page.tags["PageName"].value for page in file.pages] == list(CLASSES.names)
        assert {page.tags["Orientation"].value for page in file.pages} == {6}
    for page, expected in enumerate(codes):
        image = pyvips.Image.new_from_file(str(path), page=page)
        assert image.format == "ushort"
        assert np.array_equal(image.numpy(), expected)
        with Image.open(path) as image:
            image.seek(page)
            assert np.array_equal(np.asarray(image), np.rot90(expected, -1))  # it turns TIFFs by itself
    assert abs(codes.sum(0) - MAX_CODE).max() <= 2


@pytest.mark.parametrize(
    ("strips", "message"),
    [([(3, 20, 34)], "21 rows, got 20"), ([(2, 21, 34)], r"\(3, 21, 34\), got \(2, 21, 34\)")],
)
def test_probabilities_of_another_photo_are_refused(tmp_path, strips, message):
    with pytest.raises(ShapeError, match=message):
        write_probabilities(
            tmp_path / "a.tif", [np.zeros(shape, np.float32) for shape in strips], CLASSES, SIZE
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("first", ["background", "sky"])
def test_as_many_classes_as_a_byte_holds_have_different_colours(first):
    names = ClassNames((first, *(f"class {n}" for n in range(1, MAX_CLASSES))))
    assert len(set(names.colours)) == names.num_classes == 255
    assert voc_colour(255) not in names.colours


def test_names_and_colours_come_back_from_json():
    for names in (FLOWER, ClassNames(("a", "b", "c"), ((1, 2, 3), (4, 5, 6), (7, 8, 9)))):
        assert ClassNames.from_dict(json.loads(json.dumps(names.to_dict()))) == names
    assert ClassNames.from_dict({"names": ["background", "flower"]}) == FLOWER


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("values", "message"),
    [
        (7, "got 7"),
        ({"names": "ab"}, "needed class names"),
        ({"names": [*map(str, range(256))]}, "got 256"),
        ({"names": ["a", " "]}, "got ' '"),
        ({"names": ["a", "b\n"]}, r"got 'b\\n'"),
        ({"names": ["a", "b", "a"]}, "got 'a' twice"),
        ({"names": ["a", "b"], "colours": [1, 2]}, "got 1"),
        ({"names": ["a", "b"], "colours": [[1, 2, 3]]}, "2 classes, got 1"),
        ({"names": ["a", "b"], "colours": [[1, 2, 3], [1, 2, 3]]}, r"got \(1, 2, 3\) twice"),
        ({"names": ["a", "b"], "colours": [[1, 2, 3], [1, 2, 256]]}, r"got \[1, 2, 256\]"),
    ],
)
def test_other_values_are_no_class_names(values, message):
    with pytest.raises(LabelError, match=message):
        ClassNames.from_dict(values)


@pytest.mark.parametrize("colour", [(1, 2), (1, 2, 3.0), (True, 2, 3), "abc", None, (-1, 2, 3)])
def test_other_values_are_no_colour(colour):
    with pytest.raises(LabelError, match="three whole numbers from 0 to 255"):
        check_colour(colour)


def test_a_class_that_is_not_there_is_named_beside_those_that_are():
    with pytest.raises(LabelError, match="background, flower, got 'flowr'"):
        FLOWER.index("flowr")


def test_rare_classes_weigh_what_the_formula_says_and_one_on_average():
    labels = np.zeros((10, 10), np.uint8)
    labels[0, :5], labels[1], labels[9] = 1, 2, IGNORE
    weights = weights_of(class_counts(iter((labels[:4], labels[4:])), 4), 0.5)
    shares = np.array([75, 5, 10]) / 90
    by_hand = 1 / (0.5 / 4 + 0.5 * shares)
    assert weights.tolist() == pytest.approx([*(by_hand / (by_hand @ shares)), 0])
    assert weights[:3] @ shares == pytest.approx(1)
    assert weights_of(class_counts([labels], 3), 1.0) * shares == pytest.approx([1 / 3] * 3)
