"""The cheapest ways over a photo: what is alike in lightness and connected is near, across an edge is far.

A way goes from pixel to neighbour, eight of them. Each step costs by what lightness changes on it, and by its
length. It is a geodesic distance, as in A. Levin et al., "Colorization using Optimization", 2004, and in
L. Yatziv and G. Sapiro, "Fast Image and Video Colorization using Chrominance Blending", 2006.
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

_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))  # rows down, columns right; the others are these backwards
_Steps = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]


def ways(
    light: Float[ndarray, "h w"], sources: NDArray[np.int64], change: float, length: float, farthest: float
) -> Float[ndarray, "n pixels"]:
    """What the cheapest way costs from each source to each pixel; infinite beyond `farthest`.

    `light` is CIE L, `sources` (n,) are places in it, row by row. A way costs 1 for each `change` of L on it,
    up and down, and 1 for each `length` of the short side.
    """
    starts, ends, costs = (
        np.concatenate(parts) for parts in zip(*_steps(light, change, length), strict=True)
    )
    graph = csr_array((costs, (starts, ends)), shape=(light.size,) * 2)
    return dijkstra(graph, directed=False, indices=sources, limit=farthest)


def _steps(light: Float[ndarray, "h w"], change: float, length: float) -> Iterator[_Steps]:
    """Starts, ends and costs of all steps in one direction after the other."""
    height, width = light.shape
    places = np.arange(light.size).reshape(light.shape)
    for down, right in _NEIGHBOURS:
        here = np.s_[: height - down, max(0, -right) : width - max(0, right)]
        there = np.s_[down:, max(0, right) : width + min(0, right)]
        cost = np.abs(light[here] - light[there]) / change
        cost = cost + np.hypot(down, right) / (length * min(light.shape))
        yield places[here].ravel(), places[there].ravel(), cost.ravel()
