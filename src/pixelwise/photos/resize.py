"""Small pictures and maps of numbers resized, along one axis after the other."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy import ndarray

from pixelwise.colour.arrays import Float, Float32, Int, Shaped, UInt8

_MOST_WEIGHT = 2**15  # of a neighbour, scaled to a whole number
_BAND = 32  # places made at once, which share most of their neighbours


def resize(planes: Float[ndarray, "*batch h w"], size: tuple[int, ...]) -> Float[ndarray, "*batch H W"]:
    """Return planes resized bilinearly to (H, W); where one is shrunk, the kernel is as much wider.

    Enlarged ones never leave the range of their values.
    """
    return _by_matrices(planes, size, _linear)


def pool(planes: Float[ndarray, "*batch h w"], size: tuple[int, ...]) -> Float[ndarray, "*batch H W"]:
    """Return the means over H x W areas, which share a row or column where it does not divide evenly."""
    return _by_matrices(planes, size, _areas)


def _by_matrices(
    planes: Float[ndarray, "*batch h w"],
    size: tuple[int, ...],
    matrix_of: Callable[[int, int], Float32[ndarray, "_num_out _num_in"]],
) -> Float[ndarray, "*batch H W"]:
    height, width = planes.shape[-2:]
    if (height, width) == tuple(size):
        return planes
    return matrix_of(height, size[0]) @ planes @ matrix_of(width, size[1]).T


@lru_cache(maxsize=64)
def _linear(num_in: int, num_out: int) -> Float32[ndarray, "num_out num_in"]:
    scale = num_in / num_out
    centres = (np.arange(num_out) + 0.5) * scale - 0.5
    weights = (1 - np.abs(np.arange(num_in) - centres[:, None]) / max(1.0, scale)).clip(0)
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)


@lru_cache(maxsize=64)
def _areas(num_in: int, num_out: int) -> Float32[ndarray, "num_out num_in"]:
    index, places = np.arange(num_out)[:, None], np.arange(num_in)
    inside = (index * num_in // num_out <= places) & (places < -((index + 1) * -num_in // num_out))
    return np.asarray(inside / inside.sum(1, keepdims=True), np.float32)


def channels_last(planes: Shaped[ndarray, "C H W"]) -> Shaped[ndarray, "H W C"]:
    """Return planes as one array of pixels, in memory of its own."""
    return np.ascontiguousarray(np.moveaxis(planes, 0, -1))


def resize_codes(codes: UInt8[ndarray, "h w C"], height: int, width: int) -> UInt8[ndarray, "C height width"]:
    """Return a picture resized bicubically; where it is shrunk, the kernel is as much wider.

    The numbers are those of torch's `interpolate` of bytes, antialiased, on which networks and heads were
    trained: columns first, rounded in between. Pillow differs by one code in some pixels, which networks see.
    """
    planes = np.ascontiguousarray(np.moveaxis(codes, -1, 0))
    wide = _along_rows(planes, width)
    return np.ascontiguousarray(_along_rows(wide.swapaxes(1, 2), height).swapaxes(1, 2))


def _along_rows(planes: UInt8[ndarray, "C h w"], num_out: int) -> UInt8[ndarray, "C h num_out"]:
    if planes.shape[2] == num_out:
        return planes
    weights, starts = _cubic(planes.shape[2], num_out)
    resized = np.empty((*planes.shape[:2], num_out), np.uint8)
    for first in range(0, num_out, _BAND):
        band = slice(first, min(first + _BAND, num_out))
        num = len(weights[band])
        places = starts[band, None] - starts[first] + np.arange(weights.shape[1])
        matrix = np.zeros((num, places[-1, -1] + 1), weights.dtype)
        matrix[np.arange(num)[:, None], places] = weights[band]
        near = planes[:, :, starts[first] : starts[first] + matrix.shape[1]]
        sums = near.astype(weights.dtype) @ matrix[:, : near.shape[2]].T  # exact: of whole numbers
        sums += 0.5
        resized[..., band] = sums.clip(0, 255, out=sums)  # what is assigned loses its fraction
    return resized


@lru_cache(maxsize=16)
def _cubic(num_in: int, num_out: int) -> tuple[Float[ndarray, "num_out taps"], Int[ndarray, " num_out"]]:
    """Return weights of neighbours, whole numbers over a power of 2, and each place's first neighbour.

    They are in single precision where that is exact. Neighbours beyond the end have no weight. Source: Keys
    1981, cubic convolution, a = -0.5.
    """
    scale = num_in / num_out
    wide = max(1.0, scale)
    centres = (np.arange(num_out) + 0.5) * scale
    starts = (centres - 2 * wide + 0.5).astype(np.intp).clip(0)
    stops = (centres + 2 * wide + 0.5).astype(np.intp).clip(max=num_in)
    places = starts[:, None] + np.arange((stops - starts).max())
    far = np.abs(places - centres[:, None] + 0.5) / wide
    near_weight = (1.5 * far - 2.5) * far**2 + 1
    far_weight = ((-0.5 * far + 2.5) * far - 4) * far + 2
    weights = np.where(far < 1, near_weight, np.where(far < 2, far_weight, 0)) * (places < stops[:, None])
    weights /= weights.sum(1, keepdims=True)
    unit = 1
    while int(2 * unit * weights.max() + 0.5) < _MOST_WEIGHT:
        unit *= 2
    whole = np.trunc(weights * unit + np.copysign(0.5, weights))
    largest = 255 * np.abs(whole).sum(1).max() + unit / 2
    return (whole / unit).astype(np.float32 if largest < 2**24 else np.float64), starts
