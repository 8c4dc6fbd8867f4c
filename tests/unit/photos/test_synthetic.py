"""Drawn pictures: seeded, quick, and their colours follow from shape but not from grey."""

import pytest
import torch

from pixelwise.colour.spaces import lightness, mean_grey, srgb_to_lab
from pixelwise.photos.synthetic import GROUND_CHROMA, SHAPE_CHROMA, draw_shapes, load_synthetic

CHROMA = torch.tensor([*GROUND_CHROMA, *SHAPE_CHROMA])


@pytest.fixture(scope="module")
def pictures():
    return load_synthetic(seed=0)


def kinds(images):
    """Which of the five colours a pixel has, (N, H, W)."""
    chroma = srgb_to_lab(images / 255)[:, 1:].permute(0, 2, 3, 1)
    return (chroma.unsqueeze(-2) - CHROMA).square().sum(-1).argmin(-1)


def test_equal_seeds_draw_equal_pictures(pictures):
    again, other = (draw_shapes(50, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert torch.equal(draw_shapes(50, torch.Generator().manual_seed(0)), again)
    assert not torch.equal(other, again)
    assert load_synthetic(seed=0).digest == pictures.digest


@pytest.mark.parametrize("grey", [mean_grey, lightness])
def test_grey_alone_does_not_give_the_colour_away(pictures, grey):
    """The best table from 256 grey levels to colours, learnt on the very pictures it is tried on, is poor."""
    images = pictures.val / 255
    levels = (grey(images) * (255 if grey is mean_grey else 2.55)).long().flatten()
    counts = torch.zeros(256, 5).index_put_(
        (levels, kinds(pictures.val).flatten()), torch.ones(1), accumulate=True
    )
    accuracy = counts.amax(dim=1).sum() / counts.sum()
    assert accuracy < 0.5
