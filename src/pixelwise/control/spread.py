"""How several hints share the pixels that each of them reaches."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from numpy.typing import NDArray

from pixelwise.confidence.ways import reach


def spread(light: Float[ndarray, "h w"], cells: NDArray[np.int64]) -> Float[ndarray, "n h w"]:
    """The share of each pixel that each hint has, at `cells` (n, 2), rows and columns; `light` is CIE L.

    The shares of a pixel add up to 1 at the hints themselves, where the hint has all, and to 0 far from all.
    """
    height, width = light.shape
    weights = reach(light, cells[:, 0] * width + cells[:, 1])
    together = 1 - np.prod(1 - weights, axis=0)
    # Odds: where one hint is certain, the others count for nothing.
    odds = weights / (1 - weights + 1e-6)
    return (together * odds / (odds.sum(0) + 1e-12)).reshape(-1, height, width)
