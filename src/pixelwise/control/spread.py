"""How far a hint reaches: to what is alike in lightness and connected with it.

A hint's way to a pixel costs by the change of lightness along it, by its length, and by how much lighter or
darker its end is; the hint's weight there is exp(-cost of the cheapest way). docs/log.md has what was tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

_CHANGE = 160.0  # of L along a way, up and down, that it costs 1
_LENGTH = 1.0  # of the photo's short side, that it costs 1
_UNLIKE = 14.0  # of L from the hint to the pixel, that it costs 1
_FARTHEST = 6.0  # exp(-6): beyond, nothing of a hint is to be seen
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))  # rows down, columns right


def spread(light: Float[ndarray, "h w"], cells: NDArray[np.int64]) -> Float[ndarray, "n h w"]:
    """The share of each pixel that each hint has, at `cells` (n, 2), rows and columns; `light` is CIE L.

    The shares of a pixel add up to 1 at the hints themselves, where the hint has all, and to 0 far from all.
    """
    height, width = light.shape
    places = cells[:, 0] * width + cells[:, 1]
    flat = light.reshape(-1)
    ways = dijkstra(_graph(light), directed=False, indices=places, limit=_FARTHEST)
    weights = np.exp(-ways - np.abs(flat - flat[places, None]) / _UNLIKE)
    together = 1 - np.prod(1 - weights, axis=0)
    # Odds: where one hint is certain, the others count for nothing.
    odds = weights / (1 - weights + 1e-6)
    return (together * odds / (odds.sum(0) + 1e-12)).reshape(-1, height, width)


def _graph(light: Float[ndarray, "h w"]) -> csr_array:
    """What each step between neighbours costs."""
    starts, ends, costs = (np.concatenate(parts) for parts in zip(*_steps(light), strict=True))
    return csr_array((costs, (starts, ends)), shape=(light.size,) * 2)


def _steps(light: Float[ndarray, "h w"]) -> Iterator[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
    height, width = light.shape
    places = np.arange(light.size).reshape(light.shape)
    for down, right in _NEIGHBOURS:
        here = np.s_[: height - down, max(0, -right) : width - max(0, right)]
        there = np.s_[down:, max(0, right) : width + min(0, right)]
        length = np.hypot(down, right) / (_LENGTH * min(light.shape))
        cost = np.abs(light[here] - light[there]) / _CHANGE + length
        yield places[here].ravel(), places[there].ravel(), cost.ravel()
