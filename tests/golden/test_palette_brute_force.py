"""The table against the rule it stands for, on every one of the 16,777,216 colours."""

import numpy as np
import pytest
import torch

from pixelwise.colour import spaces as colour
from pixelwise.colour.palette import Palette

pytestmark = pytest.mark.slow


def all_colours():
    """One image in which each colour occurs once, row by row of equal red and green."""
    index = torch.arange(2**24).view(65536, 256)
    return torch.stack((index >> 16, index >> 8 & 255, index & 255)).to(torch.uint8)


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
    for rows in torch.arange(65536).split(1024):
        part = images[:, rows]
        expected = nearest_by_brute_force(points_of(part).flatten(1).numpy(), centres)
        assert np.array_equal(labels[rows].flatten(), expected)


def test_handout24_agrees_in_the_handouts_own_unit():
    """There a pixel is its code over 256, and so are the centres."""
    palette = Palette.read("handout24")
    assert_all_agree(palette, lambda codes: codes.double() / 256, (palette.colours * 255 / 256).numpy())


@pytest.mark.parametrize("num", [24, 64])
def test_ab_palettes_agree_with_float64_lab(num):
    generator = torch.Generator().manual_seed(num)
    colours = 30 * torch.randn(num, 2, dtype=torch.float64, generator=generator)
    palette = Palette(colours, "ab")
    assert_all_agree(palette, lambda codes: colour.srgb_to_lab(codes.double() / 255)[1:], colours.numpy())


def test_ties_on_a_lattice_agree_with_integers():
    """Primaries, secondaries, black, white, mid grey twice: half the borders run through colours."""
    codes = torch.cartesian_prod(*[torch.tensor([0, 254])] * 3)
    codes = torch.cat((codes, torch.full((2, 3), 128)))
    palette = Palette(codes.double() / 255, "rgb")
    assert_all_agree(palette, lambda part: part.long(), codes.numpy())
