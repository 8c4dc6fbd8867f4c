"""Weights of classes in a mean loss, by how rare they are."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy import ndarray

from pixelwise.colour.arrays import Float64, UInt8
from pixelwise.colour.palette import IGNORE


def class_counts(labels: Iterable[UInt8[ndarray, "..."]], num_classes: int) -> Float64[ndarray, " K"]:
    """Return the number of pixels of each class."""
    counts = [np.bincount(part.ravel(), minlength=IGNORE + 1)[:num_classes] for part in labels]
    return np.array(counts, np.float64).sum(0)


def weights_of(counts: Float64[ndarray, " K"], rebalance: float) -> Float64[ndarray, " K"]:
    """Return weights that make rare classes count more, of mean 1 over all pixels.

    With p the frequencies of the K classes, a weight is 1 / ((1 - r) / K + r p) times a constant, r being
    `rebalance`, above 0 and at most 1. Source: R. Zhang et al., arXiv:1603.08511, equation 4, lambda = 1 - r.
    """
    freqs = counts / counts.sum()
    weights = 1 / ((1 - rebalance) / len(counts) + rebalance * freqs).clip(1e-9)
    weights[counts == 0] = 0  # or a class that is never seen would have all the weight
    scaled: ndarray = weights / (freqs * weights).sum()
    return scaled
