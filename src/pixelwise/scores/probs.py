"""Whether the probabilities that a network gives to classes are right, and a temperature that mends them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from pixelwise.errors import ShapeError

TOP = 5
"""Classes among which the true one may be, of `top5`."""

_BOUNDS = (1 / 16, 16.0)  # beyond, probabilities are as good as certain, or as good as even
_TOLERANCE = 1e-4  # of the logarithm of the temperature
_AT_ONCE = 2**15  # pixels whose probabilities are held in memory


@dataclass(frozen=True, kw_only=True)
class ClassScores:
    """How right the probabilities are that some pixels' classes were given; means over those pixels."""

    top1: float
    """Share of pixels whose class is the likeliest, 0 to 1."""
    top5: float
    """Share of pixels whose class is among the five likeliest."""
    cross_entropy: float
    """Minus the logarithm of the chance of the true class, in nats."""
    entropy: float
    """What the cross-entropy would be, were the probabilities right."""


def class_scores(logits: Float[Tensor, "n K"], labels: Int64[Tensor, " n"]) -> ClassScores:
    """Scores of pixels by their logits and their classes; of equal logits the lowest class is likeliest.

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
        entropy = -(logs.exp() * logs.clamp_min(-1e4)).sum()  # 0 for a class without any chance
        sums += torch.stack([(rank == 0).sum(), (rank < TOP).sum(), -own.sum(), entropy])
    top1, top5, loss, entropy = (sums / len(labels)).tolist()
    return ClassScores(top1=top1, top5=top5, cross_entropy=loss, entropy=entropy)


def fit_temperature(logits: Float[Tensor, "n K"], labels: Int64[Tensor, " n"]) -> float:
    """The temperature by which to divide logits so that the cross-entropy of these pixels is least.

    It makes probabilities honest and keeps the order of classes; fit it on pixels that were not learned from.
    It is not the temperature of decoding, which trades vivid colours for safe ones: those decoded at 1
    after division by this one are the network's honest mean. From 1/16 to 16.

    The cross-entropy is convex in the inverse of the temperature, so its slope there has at most one root.

    Raises:
        ShapeError: there is no pixel, or not one label for each.

    Source: Guo, Pleiss, Sun, Weinberger 2017, On calibration of modern neural networks, arXiv:1706.04599.
    """
    from scipy.optimize import brentq  # a quarter of a second, which all who import scores can spare

    _require_pairs(logits, labels)
    own = logits.gather(1, labels[:, None]).double().mean()

    def slope(log_temperature: float) -> float:
        """Of the cross-entropy by the inverse of the temperature: the mean logit less that of the truth."""
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
