"""Reach of a known colour: to what is alike in lightness and connected with its point.

A path goes from pixel to neighbour, eight of them. Each step costs by the change of lightness on it, and by
its length; the whole also by how much lighter or darker its end is. What a point settles of a pixel is
exp(-cost of the cheapest path). docs/log.md has what was tried.

Source: geodesic distances as in A. Levin et al., "Colorization using Optimization", 2004, and in L. Yatziv
and G. Sapiro, "Fast Image and Video Colorization using Chrominance Blending", 2006.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))  # rows down, columns right; the others are these backwards
_CHANGE = 160.0  # of L along a path, up and down, that it costs 1
_LENGTH = 1.0  # of the photo's short side, that it costs 1
_UNLIKE = 14.0  # of L from the point to the pixel, that it costs 1
_FARTHEST = 6.0  # exp(-6): beyond, nothing of a hint is to be seen


def geodesic_weights(light: Float[ndarray, "h w"], points: NDArray[np.int64]) -> Float[ndarray, "n pixels"]:
    """Return how much of each pixel each point settles by itself: 1 at the point, 0 far away.

    `light` is CIE L, `points` (n,) are places in it, row by row, as the pixels are.
    """
    flat = light.reshape(-1)
    costs = geodesic_distance(light, points) + np.abs(flat - flat[points, None]) / _UNLIKE
    weights: Float[ndarray, "n pixels"] = np.exp(-costs)
    return weights


def geodesic_distance(light: Float[ndarray, "h w"], points: NDArray[np.int64]) -> Float[ndarray, "n pixels"]:
    """Return the cost of the cheapest path from each point to each pixel; infinite where that is too far."""
    height, width = light.shape
    places = np.arange(light.size).reshape(light.shape)
    starts, ends, costs = [], [], []
    for down, right in _NEIGHBOURS:
        here = np.s_[: height - down, max(0, -right) : width - max(0, right)]
        there = np.s_[down:, max(0, right) : width + min(0, right)]
        cost = np.abs(light[here] - light[there]) / _CHANGE
        cost = cost + np.hypot(down, right) / (_LENGTH * min(light.shape))
        starts.append(places[here].ravel())
        ends.append(places[there].ravel())
        costs.append(cost.ravel())
    steps = np.concatenate(costs), (np.concatenate(starts), np.concatenate(ends))
    graph = csr_array(steps, shape=(light.size,) * 2)
    return dijkstra(graph, directed=False, indices=points, limit=_FARTHEST)
