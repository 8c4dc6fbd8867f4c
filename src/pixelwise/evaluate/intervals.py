"""Bootstrap intervals over whole images."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy import ndarray

from pixelwise.colour.arrays import Float64, Shaped

NUM_RESAMPLES = 2000  # draws; others would move the ends of an interval by a few per cent of its width
_CONFIDENCE = (2.5, 97.5)  # per cent: 95 of 100 draws lie between


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A score and the range that 95 of 100 other draws of as many pictures would give.

    NaN for no score; the ends are NaN, too, of one picture, of which all draws are the same.

    Source: B. Efron, R. Tibshirani, An Introduction to the Bootstrap, 1993, the percentile interval; whole
    pictures are drawn, since the pixels of one picture are not independent.
    """

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float | None]:
        """Return plain values for JSON, which knows no NaN."""
        return {name: None if math.isnan(value) else value for name, value in asdict(self).items()}


def resampled_sums(
    by_image: Shaped[ndarray, "N *counts"], seed: int, num_resamples: int = NUM_RESAMPLES
) -> Float64[ndarray, "draws *counts"]:
    """Sum counts over all N images, then over each of many draws of N images with replacement; NaN of one."""
    num = len(by_image)
    counts = by_image.reshape(num, -1).astype(np.float64)
    if num == 1:
        sums = [counts[0], *np.full((num_resamples, counts.shape[1]), np.nan)]
    else:
        rng = np.random.default_rng(seed)
        taken = (np.bincount(rng.integers(num, size=num), minlength=num) for _ in range(num_resamples))
        sums = [counts.sum(0), *(each @ counts for each in taken)]
    return np.stack(sums).reshape(-1, *by_image.shape[1:])


def interval(scores: Float64[ndarray, " draws"]) -> Interval:
    """Return the first score, that of all images, with the interval of the others; NaN draws are left out."""
    known = scores[1:][~np.isnan(scores[1:])]
    low, high = np.percentile(known, _CONFIDENCE) if len(known) else (np.nan, np.nan)
    return Interval(value=float(scores[0]), low=float(low), high=float(high))
