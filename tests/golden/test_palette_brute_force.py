"""The table against the rule it stands for, on every one of the 16,777,216 colours."""

import itertools

import numpy as np
import pytest

from pixelwise.colour import spaces as colour
from pixelwise.colour.palette import Palette

pytestmark = pytest.mark.slow


def all_colours():
    """One image in which each colour occurs once, row by row of equal red and green."""
    index = np.arange(2**24).reshape(65536, 256)
    return np.stack((index >> 16, index >> 8 & 255, index & 255)).astype(np.uint8)


def nearest_by_brute_force(points, centres):
    """Index of the least squared distance, (D, n) points to (K, D) centres, the first of equals."""
    best = np.full(points.shape[1], np.inf)
    labels = np.zeros(points.shape[1], dtype=np.uint8)
    for label, centre in enumerate(centres):
        squared = sum(np.square(axis - value) for axis, value in zip(points, centre, strict=True))
        nearer = squared < best
        best[nearer], labels[nearer] = squared[nearer], label
    return labels


def assert_all_agree(palette, points_of, centres):
    images = all_colours()
    labels = palette.encode(images)
    for part, found in zip(np.split(images, 64, 1), np.split(labels, 64), strict=True):
        points = points_of(part).reshape(len(centres[0]), -1)
        assert np.array_equal(found.ravel(), nearest_by_brute_force(points, centres))


def test_handout24_agrees_in_the_handouts_own_unit():
    """There a pixel is its code over 256, and so are the centres."""
    palette = Palette.read("handout24")
    assert_all_agree(palette, lambda codes: codes / 256, palette.colours * 255 / 256)


@pytest.mark.parametrize("num", [24, 64])
def test_ab_palettes_agree_with_float64_lab(num):
    palette = Palette(30 * np.random.default_rng(num).normal(size=(num, 2)), "ab")
    assert_all_agree(palette, lambda codes: colour.srgb_to_lab(codes / 255)[1:], palette.colours)


def test_ties_on_a_lattice_agree_with_integers():
    """Primaries, secondaries, black, white, mid grey twice: half the borders run through colours."""
    codes = np.array([*itertools.product((0, 254), repeat=3), (128,) * 3, (128,) * 3])
    palette = Palette(codes / 255, "rgb")
    assert_all_agree(palette, lambda part: part.astype(int), codes)
