"""Calibration: whether of the pixels a network is 80 % sure of, 80 % are right.

Source: Guo, Pleiss, Sun, Weinberger 2017, On calibration of modern neural networks, arXiv:1706.04599: the
expected calibration error, over 15 equal bins of confidence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64
from numpy import ndarray
from torch import Tensor

from pixelwise.errors import LabelError, ShapeError
from pixelwise.labelspace import IGNORE
from pixelwise.scores.confusion import LabelImage, ratio

NUM_BINS = 15
"""Equal steps of confidence from 0 to 1."""

_SLACK = 1e-3  # that rounding to bf16 may put on a probability of 1


@dataclass(frozen=True, eq=False)
class Calibration:
    """How sure a network was of labelled pixels, and how often it was right."""

    bins: Float64[ndarray, "3 15"]
    """By confidence in the likeliest class: number of pixels, sum of confidences, number of right ones."""

    @staticmethod
    def of(probabilities: Float[Tensor, "K H W"], labels: LabelImage) -> Calibration:
        """Bins of one image; pixels whose label is IGNORE are left out.

        Raises:
            ShapeError: the two differ in height or width.
            LabelError: what should be probabilities is not between 0 and 1.
        """
        true = np.asarray(labels)
        if probabilities.shape[1:] != true.shape:
            found = tuple(probabilities.shape[1:])
            raise ShapeError(f"needed probabilities for labels {true.shape}, got {found}")
        known = true != IGNORE
        highest, likeliest = (each.numpy() for each in probabilities.detach().cpu().float().max(0))
        sure, right = highest[known], (likeliest == true)[known]
        if sure.size and not (sure.min() >= 0 and sure.max() <= 1 + _SLACK):
            span = f"{sure.min():g} to {sure.max():g}"
            raise LabelError(f"needed probabilities from 0 to 1, got {span}; apply softmax to logits first")
        which = np.minimum((sure * NUM_BINS).astype(np.uint8), NUM_BINS - 1)
        weights = (None, sure, right)
        return Calibration(np.stack([np.bincount(which, each, NUM_BINS).astype(float) for each in weights]))

    def __add__(self, other: Calibration) -> Calibration:
        return Calibration(self.bins + other.bins)

    @property
    def error(self) -> float:
        """Expected calibration error, 0 to 1: the gap between sure and right; NaN without any pixel."""
        return float(error_of(self.bins))


def error_of(bins: Float64[ndarray, "*any 3 B"]) -> Float64[ndarray, "*any"]:
    """Expected calibration error, of `Calibration.bins`."""
    number, sure, right = np.moveaxis(bins, -2, 0)
    return ratio(np.abs(right - sure).sum(-1), number.sum(-1))
