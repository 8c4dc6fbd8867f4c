"""Maps of numbers resized by a matrix for each of the two axes."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float, Float32
from numpy import ndarray


def resize(planes: Float[ndarray, "*batch h w"], size: tuple[int, ...]) -> Float[ndarray, "*batch H W"]:
    """Return planes resized bilinearly to (H, W); where one is shrunk, the kernel is as much wider.

    Enlarged ones never leave the range of their values.
    """
    return _along_both(planes, size, _linear)


def pool(planes: Float[ndarray, "*batch h w"], size: tuple[int, ...]) -> Float[ndarray, "*batch H W"]:
    """Return the means over H x W areas, which share a row or column where it does not divide evenly."""
    return _along_both(planes, size, _areas)


def _along_both(planes, size, matrix_of):  # type: ignore[no-untyped-def]
    height, width = planes.shape[-2:]
    if (height, width) == tuple(size):
        return planes
    rows, columns = matrix_of(height, size[0]), matrix_of(width, size[1])
    return (rows @ planes @ columns.T).astype(planes.dtype, copy=False)


@lru_cache(maxsize=64)
def _linear(num_in: int, num_out: int) -> Float32[ndarray, "num_out num_in"]:
    scale = num_in / num_out
    centres = (np.arange(num_out) + 0.5) * scale - 0.5
    weights = (1 - np.abs(np.arange(num_in) - centres[:, None]) / max(1.0, scale)).clip(0)
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)


@lru_cache(maxsize=64)
def _areas(num_in: int, num_out: int) -> Float32[ndarray, "num_out num_in"]:
    index, places = np.arange(num_out)[:, None], np.arange(num_in)
    first, stop = index * num_in // num_out, -((index + 1) * -num_in // num_out)
    inside = (first <= places) & (places < stop)
    return np.asarray(inside / inside.sum(1, keepdims=True), np.float32)
