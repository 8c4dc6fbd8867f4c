"""Drawn pictures: seeded, quick, and their colours follow from shape but not from grey."""

import numpy as np
import pytest
import torch

from pixelwise.colour.spaces import lightness, srgb_to_lab
from pixelwise.training.data.synthetic import GROUND_CHROMA, SHAPE_CHROMA, draw_shapes, load_synthetic

CHROMA = np.array([*GROUND_CHROMA, *SHAPE_CHROMA])


@pytest.fixture(scope="module")
def pictures():
    return load_synthetic(seed=0)


def kinds(images):
    """Which of the five colours a pixel has, (N, H, W)."""
    chroma = np.moveaxis(srgb_to_lab(images / 255)[:, 1:], 1, -1)
    return np.square(chroma[..., None, :] - CHROMA).sum(-1).argmin(-1)


def test_equal_seeds_draw_equal_pictures(pictures):
    again, other = (draw_shapes(50, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert torch.equal(draw_shapes(50, torch.Generator().manual_seed(0)), again)
    assert not torch.equal(other, again)
    assert load_synthetic(seed=0).digest == pictures.digest


@pytest.mark.parametrize(
    "grey", [lambda images: 255 * images.mean(1), lambda images: 2.55 * lightness(images)]
)
def test_grey_alone_does_not_give_the_colour_away(pictures, grey):
    """The best table from 256 grey levels to colours, learnt on the very pictures it is tried on, is poor."""
    images = pictures.val.numpy()
    levels, counts = grey(images / 255).astype(int).ravel(), np.zeros((256, 5))
    np.add.at(counts, (levels, kinds(images).ravel()), 1)
    assert counts.max(axis=1).sum() / counts.sum() < 0.5
