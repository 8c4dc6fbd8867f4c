import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelwise.colour import spaces as colour
from pixelwise.colour.palette import Palette

SEEDS = st.integers(0, 2**32 - 1)


def random_palette(seed, space, num, spread):
    """Colours from crowded (spread near 0) to all over the space."""
    generator = torch.Generator().manual_seed(seed)
    if space == "ab":
        return Palette(
            120 * spread * (2 * torch.rand(num, 2, dtype=torch.float64, generator=generator) - 1), "ab"
        )
    middle = torch.rand(3, dtype=torch.float64, generator=generator)
    around = torch.rand(num, 3, dtype=torch.float64, generator=generator) - 0.5
    return Palette((middle + spread * around).clamp(0, 1), "rgb")


def brute_force(palette, images):
    """Every distance, in float64; numpy's argmin takes the first of equals."""
    values = images.double() / 255
    points = colour.srgb_to_lab(values)[:, 1:] if palette.space == "ab" else values
    squared = (points[:, None] - palette.colours[None, :, :, None, None]).square().sum(dim=2)
    return squared.numpy().argmin(axis=1)


def random_images(seed, side):
    return torch.randint(
        0, 256, (1, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )


@settings(max_examples=12)
@given(SEEDS, st.sampled_from(["rgb", "ab"]), st.integers(1, 255), st.floats(0.01, 1))
def test_encoding_is_the_nearest_colour(seed, space, num, spread):
    palette, images = random_palette(seed, space, num, spread), random_images(seed, side=64)
    assert np.array_equal(palette.encode(images), brute_force(palette, images))


@settings(max_examples=4)
@given(SEEDS, st.integers(2, 40), st.sampled_from([2, 8, 64]))
def test_ties_go_to_the_lowest_class(seed, num, step):
    """Colours on a coarse lattice of codes: many pixels lie exactly half way, and some colours come twice."""
    generator = torch.Generator().manual_seed(seed)
    codes = step * torch.randint(0, 256 // step, (num, 3), generator=generator)
    images = random_images(seed, side=96)
    squared = (images.long()[:, None] - codes[None, :, :, None, None]).square().sum(dim=2)  # exact integers
    palette = Palette(codes.double() / 255, "rgb")
    assert np.array_equal(palette.encode(images), squared.numpy().argmin(axis=1))
