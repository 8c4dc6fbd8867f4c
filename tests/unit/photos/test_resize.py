"""Resizing in numpy beside torch, whose numbers it has, and Pillow."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from fixtures.photos.make import scene
from pixelwise.photos.resize import pool, resize, resize_codes

SIZES = [(40, 56), (23, 31), (97, 130), (1, 1), (40, 200), (7, 56), (64, 3)]  # of 40 x 56


@pytest.fixture(scope="module")
def codes():
    """A photo of 40 x 56, with noise, which is sharper than any photo."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
    return np.where(np.arange(56)[:, None] < 28, scene(40, 56), noise)


@pytest.mark.parametrize("size", SIZES)
def test_codes_are_torchs_to_the_byte_and_pillows_within_one(codes, size):
    ours = resize_codes(codes, *size)
    planes = torch.from_numpy(codes).permute(2, 0, 1)[None]
    assert np.array_equal(ours, interpolate(planes, size, mode="bicubic", antialias=True)[0])
    theirs = Image.fromarray(codes).resize(size[::-1], Image.Resampling.BICUBIC)
    assert np.abs(np.moveaxis(ours, 0, -1).astype(int) - theirs).max() <= 1


@pytest.mark.parametrize("size", SIZES)
def test_numbers_are_torchs(size):
    planes = np.random.default_rng(0).random((3, 40, 56), np.float32)
    tensor = torch.from_numpy(planes)[None]
    bilinear = interpolate(tensor, size, mode="bilinear", antialias=True)[0]
    np.testing.assert_allclose(resize(planes, size), bilinear, atol=1e-5, rtol=0)
    np.testing.assert_allclose(pool(planes, size), adaptive_avg_pool2d(tensor, size)[0], atol=1e-5, rtol=0)
