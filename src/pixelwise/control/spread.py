"""How far a hint reaches: to what is alike in lightness and connected with it.

A hint's way to a pixel costs by the change of lightness along it, by its length, and by how much lighter or
darker its end is; the hint's weight there is exp(-cost of the cheapest way). docs/log.md has what was tried.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from numpy.typing import NDArray

from pixelwise.confidence.ways import ways

_CHANGE = 160.0  # of L along a way, up and down, that it costs 1
_LENGTH = 1.0  # of the photo's short side, that it costs 1
_UNLIKE = 14.0  # of L from the hint to the pixel, that it costs 1
_FARTHEST = 6.0  # exp(-6): beyond, nothing of a hint is to be seen


def spread(light: Float[ndarray, "h w"], cells: NDArray[np.int64]) -> Float[ndarray, "n h w"]:
    """The share of each pixel that each hint has, at `cells` (n, 2), rows and columns; `light` is CIE L.

    The shares of a pixel add up to 1 at the hints themselves, where the hint has all, and to 0 far from all.
    """
    height, width = light.shape
    places = cells[:, 0] * width + cells[:, 1]
    flat = light.reshape(-1)
    costs = ways(light, places, change=_CHANGE, length=_LENGTH, farthest=_FARTHEST)
    weights = np.exp(-costs - np.abs(flat - flat[places, None]) / _UNLIKE)
    together = 1 - np.prod(1 - weights, axis=0)
    # Odds: where one hint is certain, the others count for nothing.
    odds = weights / (1 - weights + 1e-6)
    return (together * odds / (odds.sum(0) + 1e-12)).reshape(-1, height, width)
