"""Classes laid over strips of a photo."""

import numpy as np
import pytest
from scipy import ndimage

from pixelwise.photos.overlay import Tint, overlay

pytestmark = pytest.mark.core

COLOURS = ((0, 0, 0), (255, 0, 0), (0, 100, 200))
HEIGHT, WIDTH = 24, 30
LABELS = np.zeros((HEIGHT, WIDTH), np.uint8)
LABELS[6:18, 5:15] = 1
LABELS[6:18, 15:25] = 2


def photo(bands=3, dtype=np.uint8):
    numbers = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (HEIGHT, WIDTH, bands), endpoint=True)
    return numbers.astype(dtype)


def laid_over(pixels, tint, *, num_rows=HEIGHT, alpha=False, labels=LABELS):
    def rows(first, num):
        return labels[first : first + num]

    strips = (pixels[row : row + num_rows] for row in range(0, len(pixels), num_rows))
    return np.concatenate(list(overlay(strips, rows, pixels.shape[:2], alpha, tint)))


def test_inside_the_colour_is_mixed_and_outlines_are_opaque_and_the_background_is_clear():
    pixels = photo()
    whole = laid_over(pixels, Tint(COLOURS, 0.5, first_is_clear=True))
    assert np.array_equal(whole[LABELS == 0], pixels[LABELS == 0])
    inside = (slice(8, 16), slice(7, 13))
    mixed = (pixels[inside].astype(float) + np.array([255, 0, 0])) / 2
    assert abs(whole[inside] - mixed).max() <= 0.5
    assert (whole[6, 5:15] == 255).all()
    assert (whole[6:18, 14:16] == 255).all()
    assert (whole[7, 6:14] == [255, 0, 0]).all()
    assert (whole[7:17, 13] == [255, 0, 0]).all()
    assert (whole[7:17, 16] == [0, 100, 200]).all()


def test_a_first_class_that_is_a_thing_is_drawn():
    whole = laid_over(photo(), Tint(COLOURS, 1.0, first_is_clear=False))
    lines = (whole == 255).all(2)
    assert lines[5, 5:25].all()
    assert lines[6, 5:25].all()
    assert np.array_equal(whole[~lines], np.array(COLOURS)[LABELS[~lines]])


@pytest.mark.parametrize(("size", "line"), [((1, 40), 1), ((40, 1), 1), ((23, 31), 1), ((1500, 1510), 2)])
def test_lines_are_where_another_class_is_near(size, line):
    labels = np.random.default_rng(3).choice(3, size, p=[0.01, 0.01, 0.98]).astype(np.uint8)
    whole = laid_over(np.zeros((*size, 3), np.uint8), Tint(COLOURS, 0.0, False), num_rows=19, labels=labels)
    inner, outer = (
        ndimage.maximum_filter(labels, side) > ndimage.minimum_filter(labels, side)
        for side in (2 * line + 1, 4 * line + 1)
    )
    expected = np.array(COLOURS, np.uint8)[labels] * outer[..., None]
    assert np.array_equal(whole, np.where(inner[..., None], 255, expected))


@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("alpha", [False, True])
def test_strips_of_any_kind_are_the_whole(bands, dtype, alpha):
    pixels = photo(bands + alpha, dtype)
    tint = Tint(COLOURS, 0.3, first_is_clear=True)
    whole = laid_over(pixels, tint, alpha=alpha)
    assert (whole.shape, whole.dtype) == ((HEIGHT, WIDTH, 3 + alpha), dtype)
    for num_rows in (1, 4, 5):
        strips = laid_over(pixels, tint, num_rows=num_rows, alpha=alpha)
        assert np.array_equal(strips, whole)
    if alpha:
        assert np.array_equal(whole[..., 3], pixels[..., -1])
    assert np.array_equal(whole[0, :, 0], pixels[0, :, 0])
