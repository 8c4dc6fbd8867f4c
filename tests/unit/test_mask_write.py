"""Labels to PNG, whole and in strips."""

import tracemalloc

import numpy as np
import pytest
from PIL import Image

from fixtures.drawn import VOID, drawing
from pixelwise.classnames import FLOWER, ClassNames, void_colour
from pixelwise.errors import LabelError, OutputError, ShapeError
from pixelwise.masks.read import read_mask
from pixelwise.masks.write import write_mask

CLASSES = ClassNames(("background", "flower", "leaf"))
LABELS = drawing()


def test_any_reader_of_png_gets_numbers_and_colours(tmp_path):
    write_mask(tmp_path / "mask.png", LABELS, CLASSES)
    with Image.open(tmp_path / "mask.png") as image:
        assert (image.mode, image.size) == ("P", LABELS.shape[::-1])
        np.testing.assert_array_equal(np.asarray(image), LABELS)
        shown = np.asarray(image.convert("RGB"))
    for label, colour in [*enumerate(CLASSES.colours), (VOID, void_colour())]:
        assert (shown[label == LABELS] == colour).all()


@pytest.mark.parametrize("heights", [[40], [1] * 40, [16, 16, 8], [3, 37]])
def test_strips_give_the_file_that_the_whole_gives(tmp_path, heights):
    ends = np.cumsum(heights)
    strips = (LABELS[end - height : end] for end, height in zip(ends, heights, strict=True))
    write_mask(tmp_path / "strips.png", strips, CLASSES)
    np.testing.assert_array_equal(read_mask(tmp_path / "strips.png"), LABELS)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_rows_are_stored_as_the_photos_are_and_turned_on_display(tmp_path, orientation):
    write_mask(tmp_path / "mask.png", LABELS, CLASSES, orientation)
    with Image.open(tmp_path / "mask.png") as image:
        assert image.getexif().get(0x0112, 1) == orientation
        np.testing.assert_array_equal(np.asarray(image), LABELS)
    upright = read_mask(tmp_path / "mask.png")
    assert upright.shape == (LABELS.shape if orientation < 5 else LABELS.shape[::-1])


def test_a_mask_larger_than_the_memory_it_takes(tmp_path):
    """48 megapixels in strips of one, within 8 MB."""
    strip = np.repeat(np.repeat(LABELS, 3, axis=0), 150, axis=1)[:, :8000]
    tracemalloc.start()
    write_mask(tmp_path / "large.png", (strip for _ in range(50)), CLASSES)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    with Image.open(tmp_path / "large.png") as image:
        assert image.size == (8000, 50 * 120)
    assert peak < 8e6
    assert (tmp_path / "large.png").stat().st_size < 48_000_000 / 50


@pytest.mark.parametrize(
    ("name", "strips", "error", "message"),
    [
        ("mask.png", [np.full((2, 2), 2, np.uint8)], LabelError, "needed labels 0 to 1 or 255, got 2"),
        ("mask.png", [], ShapeError, "a mask of at least one pixel, got 0 x 0"),
        (
            "mask.png",
            [np.zeros((3, 0), np.uint8)],
            ShapeError,
            "a mask of at least one pixel, got 3 x 0",
        ),
        (
            "mask.png",
            [np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8)],
            ShapeError,
            "needed strips 2 pixels wide, got one of 3",
        ),
        (
            "mask.jpg",
            [np.zeros((2, 2), np.uint8)],
            OutputError,
            r"is a PNG; choose a name that ends in \.png",
        ),
    ],
)
def test_what_is_no_mask_is_not_written(tmp_path, name, strips, error, message):
    with pytest.raises(error, match=message):
        write_mask(tmp_path / name, iter(strips), FLOWER)
    assert not list(tmp_path.iterdir())


def test_a_failure_between_strips_comes_as_it_is_and_leaves_nothing(tmp_path):
    def strips():
        yield LABELS
        raise LabelError("on the way")

    with pytest.raises(LabelError, match="on the way"):
        write_mask(tmp_path / "mask.png", strips(), CLASSES)
    assert not list(tmp_path.iterdir())
