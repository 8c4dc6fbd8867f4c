import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.colour import spaces as colour
from pixelwise.colour.palette import Palette

pytestmark = pytest.mark.core

SEEDS = st.integers(0, 2**32 - 1)


def random_palette(seed, space, num, spread):
    """Colours from crowded (spread near 0) to all over the space."""
    rng = np.random.default_rng(seed)
    if space == "ab":
        return Palette(120 * spread * rng.uniform(-1, 1, (num, 2)), "ab")
    return Palette((rng.random(3) + spread * (rng.random((num, 3)) - 0.5)).clip(0, 1), "rgb")


def brute_force(palette, images):
    """Every distance, in float64; numpy's argmin takes the first of equals."""
    values = images / 255
    points = colour.srgb_to_lab(values)[:, 1:] if palette.space == "ab" else values
    return np.square(points[:, None] - palette.colours[..., None, None]).sum(axis=2).argmin(axis=1)


def random_images(seed, side):
    return np.random.default_rng(seed).integers(0, 256, (1, 3, side, side), np.uint8)


@settings(max_examples=12)
@given(SEEDS, st.sampled_from(["rgb", "ab"]), st.integers(1, 255), st.floats(0.01, 1))
def test_encoding_is_the_nearest_colour(seed, space, num, spread):
    palette, images = random_palette(seed, space, num, spread), random_images(seed, side=64)
    assert np.array_equal(palette.encode(images), brute_force(palette, images))


@settings(max_examples=4)
@given(SEEDS, st.integers(2, 40), st.sampled_from([2, 8, 64]))
def test_ties_go_to_the_lowest_class(seed, num, step):
    """Colours on a coarse lattice of codes: many pixels lie exactly half way, and some colours come twice."""
    codes = step * np.random.default_rng(seed).integers(0, 256 // step, (num, 3))
    images = random_images(seed, side=96)
    squared = np.square(images[:, None].astype(int) - codes[..., None, None]).sum(axis=2)  # exact integers
    palette = Palette(codes / 255, "rgb")
    assert np.array_equal(palette.encode(images), squared.argmin(axis=1))
