"""Calibration: whether of the pixels with a confidence of 80 % four in five are right.

Source: Guo, Pleiss, Sun, Weinberger 2017, On calibration of modern neural networks, arXiv:1706.04599: the
expected calibration error, over 15 equal bins of confidence, and temperature scaling.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from numpy import ndarray
from torch import Tensor

from pixelwise.colour.palette import IGNORE
from pixelwise.errors import LabelError, ShapeError
from pixelwise.labels.confusion import LabelImage, ratio

NUM_BINS = 15
"""Equal steps of confidence from 0 to 1."""
TOP = 5
"""Classes among which the true one may be, of `top5`."""

_ROUNDING = 1e-3  # that bf16 may add to a probability of 1
_BOUNDS = (1 / 16, 16.0)  # temperatures; beyond, probabilities are as good as certain, or as good as even
_TOLERANCE = 1e-4  # of the logarithm of the temperature
_AT_ONCE = 2**15  # pixels whose probabilities are held in memory


def calibration_bins(probs: Float[Tensor, "K H W"], labels: LabelImage) -> Float64[ndarray, "3 15"]:
    """Return the number of pixels, the sum of confidences and the number of right pixels, by confidence.

    Pixels whose label is IGNORE are left out. Bins of several images add up.

    Raises:
        ShapeError: the two differ in height or width.
        LabelError: the probabilities are not between 0 and 1.
    """
    true = np.asarray(labels)
    if probs.shape[1:] != true.shape:
        raise ShapeError(f"needed probabilities for labels {true.shape}, got {tuple(probs.shape[1:])}")
    known = true != IGNORE
    highest, likeliest = (each.numpy() for each in probs.detach().cpu().float().max(0))
    confidence, right = highest[known], (likeliest == true)[known]
    if confidence.size and not (confidence.min() >= 0 and confidence.max() <= 1 + _ROUNDING):
        span = f"{confidence.min():g} to {confidence.max():g}"
        raise LabelError(f"needed probabilities from 0 to 1, got {span}; apply softmax to logits first")
    which = np.minimum((confidence * NUM_BINS).astype(np.uint8), NUM_BINS - 1)
    return np.stack([np.bincount(which, each, NUM_BINS).astype(float) for each in (None, confidence, right)])


def calibration_error(bins: Float64[ndarray, "*any 3 B"]) -> Float64[ndarray, "*any"]:
    """Return the expected calibration error, 0 to 1, of `calibration_bins`; NaN without any pixel."""
    number, confidence, right = np.moveaxis(bins, -2, 0)
    return ratio(np.abs(right - confidence).sum(-1), number.sum(-1))


@dataclass(frozen=True, kw_only=True)
class ClassScores:
    """Scores of the probabilities of some pixels' classes; means over those pixels."""

    top1: float
    """Share of pixels whose class is the likeliest, 0 to 1."""
    top5: float
    """Share of pixels whose class is among the five likeliest."""
    cross_entropy: float
    """Minus the logarithm of the true class's probability, in nats."""
    entropy: float
    """The cross-entropy to expect, were the probabilities right."""


def class_scores(logits: Float[Tensor, "n K"], labels: Int64[Tensor, " n"]) -> ClassScores:
    """Score the logits of pixels by their classes; of equal logits the lowest class is likeliest.

    Raises:
        ShapeError: there is no pixel, or not one label for each.
    """
    _require_pairs(logits, labels)
    sums = torch.zeros(4, dtype=torch.float64)
    for some, true in zip(logits.split(_AT_ONCE), labels.split(_AT_ONCE), strict=True):
        logs = some.float().log_softmax(1)
        own = logs.gather(1, true[:, None])
        before = torch.arange(logs.shape[1]) < true[:, None]
        rank = ((logs > own) | ((logs == own) & before)).sum(1)
        entropy = -(logs.exp() * logs.clamp_min(-1e4)).sum()  # 0 for a class of probability 0
        sums += torch.stack([(rank == 0).sum(), (rank < TOP).sum(), -own.sum(), entropy])
    top1, top5, loss, entropy = (sums / len(labels)).tolist()
    return ClassScores(top1=top1, top5=top5, cross_entropy=loss, entropy=entropy)


def fit_temperature(logits: Float[Tensor, "n K"], labels: Int64[Tensor, " n"]) -> float:
    """Return the temperature, 1/16 to 16, by which to divide logits for the least cross-entropy.

    Fit it on pixels that were not trained on. It is not the temperature of decoding, which trades vivid
    colours for safe ones. The cross-entropy is convex in the inverse of the temperature, so its slope there
    has at most one root.

    Raises:
        ShapeError: there is no pixel, or not one label for each.
    """
    from scipy.optimize import brentq  # a quarter of a second, which all who import scores can spare

    _require_pairs(logits, labels)
    own = logits.gather(1, labels[:, None]).double().mean()

    def slope(log_temperature: float) -> float:
        """Return the mean expected logit less the mean logit of the truth."""
        inverse = math.exp(-log_temperature)
        parts = (((some * inverse).softmax(1) * some).sum().double() for some in logits.split(_AT_ONCE))
        return float(sum(parts, torch.zeros(())) / len(labels) - own)

    low, high = (math.log(bound) for bound in _BOUNDS)
    if slope(low) <= 0:  # surer is better still
        return _BOUNDS[0]
    if slope(high) >= 0:
        return _BOUNDS[1]
    return math.exp(brentq(slope, low, high, xtol=_TOLERANCE))


def _require_pairs(logits: Tensor, labels: Tensor) -> None:
    if not len(labels) or len(logits) != len(labels):
        raise ShapeError(f"needed a class for each of some pixels, got {len(labels)} for {len(logits)}")
