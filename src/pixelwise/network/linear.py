"""Linear layers on the maps of a backbone: logits are computed on each map, enlarged, and added.

A linear layer and an interpolation whose weights add up to 1 commute: so the logits are those of features
that are read bilinearly at each place.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy import ndarray

from pixelwise.colour.arrays import Float, Float32, Int, Int16, Shaped
from pixelwise.errors import ShapeError

_PLACES = 2**12  # whose features are widened at once: they are still in the cache when they are multiplied
_ROWS, _COLUMNS = 64, 1024  # enlarged at once: they lie between few small ones

Maps = Sequence[Float[ndarray, "_C _h _w"] | Int16[ndarray, "_C _h _w"]]
"""The features of one photo, or whole numbers in proportion: maps of several sizes, each of all of it."""


def logits_of_maps(
    maps: Maps, weight: Float32[ndarray, "K D"], bias: Float32[ndarray, " K"], size: tuple[int, int]
) -> Float32[ndarray, "K H W"]:
    """Return the logits of a photo at `size` (height, width); ShapeError if its channels are not D."""
    small = small_logits(maps, weight)
    logits = Enlarger([level.shape[1:] for level in small], size).rows(small)
    logits += bias[:, None, None]
    return logits


def small_logits(maps: Maps, weight: Float32[ndarray, "K D"]) -> list[Float32[ndarray, "K _ _"]]:
    """Return the share of each map in the logits, at the map's size; those of equal size are added."""
    channels = [len(level) for level in maps]
    if sum(channels) != weight.shape[1]:
        raise ShapeError(f"needed maps of {weight.shape[1]} channels together, got {sum(channels)}")
    small: dict[tuple[int, ...], ndarray] = {}
    for level, part in zip(maps, np.split(weight, np.cumsum(channels)[:-1], axis=1), strict=True):
        size, pixels, weights = level.shape[1:], pixels_of(level), part.T
        logits = np.empty((len(pixels), len(weight)), np.float32)
        for start in range(0, len(pixels), _PLACES):
            rows = pixels[start : start + _PLACES].astype(np.float32, copy=False)
            np.matmul(rows, weights, out=logits[start : start + _PLACES])
        own = logits.T.reshape(-1, *size)
        small[size] = small[size] + own if size in small else own
    return list(small.values())


def pixels_of(level: Shaped[ndarray, "C h w"]) -> Shaped[ndarray, "n C"]:
    """Return the channels of each place of a map; no copy where they lie side by side in memory."""
    return np.moveaxis(level, 0, -1).reshape(-1, len(level))


def checked_layer(weight: ndarray, bias: ndarray, num_classes: int) -> tuple[ndarray, ndarray]:
    """Return a layer that a file has, float32 (K, D) and (K,); ValueError if it is no layer to K classes."""
    if weight.ndim != 2 or weight.shape[0] != num_classes or bias.shape != weight.shape[:1]:
        raise ValueError(f"weights of shape {weight.shape} for {num_classes} classes")
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise ValueError("weights that are no numbers")
    return weight.astype(np.float32), bias.astype(np.float32)


class Enlarger:
    """Enlarges maps of several sizes bilinearly to one size and adds them up, some rows at a time."""

    def __init__(self, shapes: Sequence[tuple[int, ...]], size: tuple[int, int]) -> None:
        """Prepare for maps of some heights and widths, and for results of `size` (height, width)."""
        self.size = size
        self._down = [_blocks(height, size[0], _ROWS) for height, _ in shapes]
        self._across = [_blocks(width, size[1], _COLUMNS) for _, width in shapes]

    def rows(
        self, small: Sequence[Float32[ndarray, "*batch _h _w"]], first: int = 0, num: int | None = None
    ) -> Float32[ndarray, "*batch num W"]:
        """Return the sum of enlarged maps in the rows from `first`, all of them if `num` is None."""
        stop = self.size[0] if num is None else first + num
        batch = small[0].shape[:-2]
        enlarged = np.empty((*batch, stop - first, self.size[1]), np.float32)
        used = slice(first // _ROWS, -(-stop // _ROWS))
        wide = []
        for level, down, across in zip(small, self._down, self._across, strict=True):
            top, bottom = down[used][0].near.start, down[used][-1].near.stop
            part = np.empty((*batch, bottom - top, self.size[1]), np.float32)
            for block in across:
                columns = slice(block.start, block.start + len(block.matrix))
                np.matmul(level[..., top:bottom, block.near], block.matrix.T, out=part[..., columns])
            wide.append((part, top))
        for blocks in zip(*(down[used] for down in self._down), strict=True):
            start = max(first, blocks[0].start)
            end = min(stop, blocks[0].start + _ROWS)
            left = [block.matrix[start - block.start : end - block.start] for block in blocks]
            right = [
                part[..., block.near.start - top : block.near.stop - top, :]
                for block, (part, top) in zip(blocks, wide, strict=True)
            ]
            out = enlarged[..., start - first : end - first, :]
            np.matmul(np.concatenate(left, axis=1), np.concatenate(right, axis=-2), out=out)
        return enlarged


class _Block(NamedTuple):
    """Some places of an enlarged row, and the small numbers that they lie between."""

    start: int
    near: slice
    matrix: Float32[ndarray, "places near"]


@lru_cache(maxsize=32)  # photos of one size follow each other
def _blocks(num_small: int, num_large: int, length: int) -> list[_Block]:
    """Return the matrix that enlarges a row of `num_small` numbers, without nearly all of its zeros."""
    blocks = []
    for start in range(0, num_large, length):
        places = np.arange(start, min(start + length, num_large))
        (first, second), share = neighbours(places, num_small, num_large)
        near, rows = slice(int(first[0]), int(second[-1]) + 1), np.arange(len(places))
        matrix = np.zeros((len(places), near.stop - near.start), np.float32)
        matrix[rows, first - near.start] = 1 - share
        matrix[rows, second - near.start] += share
        blocks.append(_Block(start, near, matrix))
    return blocks


def neighbours(
    places: Int[ndarray, " n"], num_small: int, num_large: int
) -> tuple[Int[ndarray, "2 n"], Float32[ndarray, " n"]]:
    """Return the two neighbours (2, n) of pixels of an enlarged row, and the weight of the second.

    Source: torch's `interpolate`, bilinear, with corners not aligned; edges repeat.
    """
    at = ((places + 0.5) * num_small / num_large - 0.5).clip(0)
    first = np.floor(at).astype(np.intp).clip(max=num_small - 1)
    return np.stack([first, (first + 1).clip(max=num_small - 1)]), (at - first).astype(np.float32)
