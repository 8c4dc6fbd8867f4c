"""Scores of probabilities: whether of the pixels with a confidence of 80 % four in five are right.

Source: Guo, Pleiss, Sun, Weinberger 2017, On calibration of modern neural networks, arXiv:1706.04599: the
expected calibration error, over 15 equal bins of confidence.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from pixelwise.colour.arrays import Float, Float64, Int64
from pixelwise.colour.palette import IGNORE
from pixelwise.errors import LabelError, ShapeError
from pixelwise.labels.confusion import LabelArray, ratio

NUM_BINS = 15  # equal steps of confidence from 0 to 1
_TOP = 5  # classes among which the true one may be, of `top5`
_ROUNDING = 1e-3  # that bf16 may add to a probability of 1


def calibration_bins(probs: Float[ndarray, "K H W"], labels: LabelArray) -> Float64[ndarray, "3 15"]:
    """Return the number of pixels, the sum of confidences and the number of right pixels, by confidence.

    Pixels whose label is IGNORE are left out. Bins of several images add up. ShapeError where the two differ
    in height or width, LabelError where the probabilities are not between 0 and 1.
    """
    true = np.asarray(labels)
    if probs.shape[1:] != true.shape:
        raise ShapeError(f"needed probabilities for labels {true.shape}, got {probs.shape[1:]}")
    known = true != IGNORE
    confidence, right = probs.max(0)[known], (probs.argmax(0) == true)[known]
    if confidence.size and not (confidence.min() >= 0 and confidence.max() <= 1 + _ROUNDING):
        span = f"{confidence.min():g} to {confidence.max():g}"
        raise LabelError(f"needed probabilities from 0 to 1, got {span}; apply softmax to logits first")
    which = np.minimum((confidence * NUM_BINS).astype(np.uint8), NUM_BINS - 1)
    return np.stack([np.bincount(which, each, NUM_BINS).astype(float) for each in (None, confidence, right)])


def calibration_error(bins: Float64[ndarray, "*any 3 B"]) -> Float64[ndarray, "*any"]:
    """Return the expected calibration error, 0 to 1, of `calibration_bins`; NaN without any pixel."""
    number, confidence, right = np.moveaxis(bins, -2, 0)
    return ratio(np.abs(right - confidence).sum(-1), number.sum(-1))


def class_scores(logits: Float[ndarray, "n K"], labels: Int64[ndarray, " n"]) -> dict[str, float]:
    """Return `top1`, `top5` and `cross_entropy` (nats) of the logits of pixels, means over them.

    Of equal logits the lowest class is likeliest. ShapeError without pixels, or a label for each.
    """
    if not len(labels) or len(logits) != len(labels):
        raise ShapeError(f"needed a class for each of some pixels, got {len(labels)} for {len(logits)}")
    own = np.take_along_axis(logits, labels[:, None], 1)
    before = np.arange(logits.shape[1]) < labels[:, None]
    rank = ((logits > own) | ((logits == own) & before)).sum(1)
    highest = logits.max(1, keepdims=True)
    losses = np.log(np.exp(logits - highest).sum(1, keepdims=True)) + highest - own
    scores = (rank == 0).mean(), (rank < _TOP).mean(), losses.mean(dtype=np.float64)
    return dict(zip(("top1", "top5", "cross_entropy"), map(float, scores), strict=True))
