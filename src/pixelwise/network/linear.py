"""Linear layers on the maps of a backbone: logits are computed on each map, enlarged, and added.

A linear layer and an interpolation whose weights add up to 1 commute: so the logits are those of features
that are read bilinearly at each place.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy import ndarray

from pixelwise.colour.arrays import Float, Float32, Int
from pixelwise.errors import ShapeError

Maps = Sequence[Float[ndarray, "_C _h _w"]]
"""The features of one photo: maps of several sizes, each over the whole photo."""


def logits_of_maps(
    maps: Maps, weight: Float32[ndarray, "K D"], bias: Float32[ndarray, " K"], size: tuple[int, int]
) -> Float32[ndarray, "K H W"]:
    """Return the logits of a photo at `size` (height, width); ShapeError if its channels are not D."""
    down, rows = [], []
    for small in small_logits(maps, weight):
        down.append(_matrix(small.shape[1], size[0]))
        rows.append(small @ _matrix(small.shape[2], size[1]).T)
    logits = np.concatenate(down, axis=1) @ np.concatenate(rows, axis=1)  # of all maps at once
    logits += bias[:, None, None]
    return logits


def small_logits(maps: Maps, weight: Float32[ndarray, "K D"]) -> list[Float32[ndarray, "K _ _"]]:
    """Return the share of each map in the logits, at the map's size; those of equal size are added."""
    channels = [len(level) for level in maps]
    if sum(channels) != weight.shape[1]:
        raise ShapeError(f"needed maps of {weight.shape[1]} channels together, got {sum(channels)}")
    small: dict[tuple[int, ...], ndarray] = {}
    for level, part in zip(maps, np.split(weight, np.cumsum(channels)[:-1], axis=1), strict=True):
        size = level.shape[1:]
        logits = (pixels_of(level).astype(np.float32, copy=False) @ part.T).T.reshape(-1, *size)
        small[size] = small[size] + logits if size in small else logits
    return list(small.values())


def pixels_of(level: Float[ndarray, "C h w"]) -> Float[ndarray, "n C"]:
    """Return the channels of each place of a map; no copy where they lie side by side in memory."""
    return np.moveaxis(level, 0, -1).reshape(-1, len(level))


def checked_layer(weight: ndarray, bias: ndarray, num_classes: int) -> tuple[ndarray, ndarray]:
    """Return a layer that a file has, float32 (K, D) and (K,); ValueError if it is no layer to K classes."""
    if weight.ndim != 2 or weight.shape[0] != num_classes or bias.shape != weight.shape[:1]:
        raise ValueError(f"weights of shape {weight.shape} for {num_classes} classes")
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise ValueError("weights that are no numbers")
    return weight.astype(np.float32), bias.astype(np.float32)


def _matrix(num_small: int, num_large: int) -> Float32[ndarray, "L s"]:
    """Return the matrix that enlarges a row of `num_small` numbers."""
    (first, second), share = neighbours(np.arange(num_large), num_small, num_large)
    matrix, rows = np.zeros((num_large, num_small), np.float32), np.arange(num_large)
    matrix[rows, first] = 1 - share
    matrix[rows, second] += share
    return matrix


def neighbours(
    places: Int[ndarray, " n"], num_small: int, num_large: int
) -> tuple[Int[ndarray, "2 n"], Float32[ndarray, " n"]]:
    """Return the two neighbours (2, n) of pixels of an enlarged row, and the weight of the second.

    Source: torch's `interpolate`, bilinear, with corners not aligned; edges repeat.
    """
    at = ((places + 0.5) * num_small / num_large - 0.5).clip(0)
    first = np.floor(at).astype(np.intp).clip(max=num_small - 1)
    return np.stack([first, (first + 1).clip(max=num_small - 1)]), (at - first).astype(np.float32)
