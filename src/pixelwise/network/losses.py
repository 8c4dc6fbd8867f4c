"""Losses that training minimises, and the weights of classes in them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Float64, Int64, UInt8
from torch import Tensor

from pixelwise.colour.palette import IGNORE, Palette
from pixelwise.colour.shapes import Labels, Logits


@dataclass(frozen=True)
class SoftLabels:
    """Pixels that belong to several classes, to each with its share."""

    classes: Int64[Tensor, "N n H W"]  # the nearest first
    shares: Float32[Tensor, "N n H W"]  # they add up to 1 over the classes of a pixel


def soft_labels(
    palette: Palette, colours: Float[Tensor, "N D H W"], num_near: int = 5, sigma: float = 5.0
) -> SoftLabels:
    """Return the nearest colours of each pixel and its shares in them: exp(-d^2 / 2 sigma^2), scaled.

    Pixels and `sigma` are in the palette's units. Source: Zhang et al., arXiv:1603.08511, section 2.2.
    """
    points = colours.movedim(1, -1)
    own = torch.from_numpy(palette.colours).to(points)
    squares = (points.square().sum(-1, keepdim=True) - 2 * points @ own.T + own.square().sum(1)).clamp(0)
    nearest = squares.topk(min(num_near, palette.num_classes), largest=False)
    shares = (-nearest.values / (2 * sigma**2)).softmax(-1)
    return SoftLabels(nearest.indices.movedim(-1, 1), shares.movedim(-1, 1).float())


def cross_entropy(
    logits: Logits,
    labels: Labels | UInt8[Tensor, "N H W"],
    *,
    weights: Float[Tensor, " K"] | None = None,
    reduction: str = "mean",
) -> Float[Tensor, ""]:
    """Return the mean (or sum) cross-entropy of the labelled pixels, in nats.

    Pixels labelled IGNORE count for nothing, others by the `weights` of their classes.
    """
    flat = logits.permute(0, 2, 3, 1).flatten(0, 2)  # classes last: their sums are several times as fast
    flat = flat if flat.dtype == torch.float64 else flat.float()
    weights = None if weights is None else weights.to(flat.dtype)
    targets = labels.flatten().long()
    return F.cross_entropy(flat, targets, weights, ignore_index=IGNORE, reduction=reduction)


def soft_cross_entropy(
    logits: Logits, labels: SoftLabels, *, weights: Float[Tensor, " K"] | None = None
) -> Float[Tensor, ""]:
    """Return the mean cross-entropy between the pixels' shares of the classes and the logits, in nats.

    A pixel counts as much as the `weights` of its classes, by share. Source: arXiv:1603.08511, equation 2.
    """
    log_probs = logits.float().log_softmax(1).gather(1, labels.classes)
    loss = -(labels.shares * log_probs).sum(1)
    if weights is not None:
        loss = loss * (labels.shares * weights.to(loss)[labels.classes]).sum(1)
    return loss.mean()


def class_weights(
    labels: Iterable[UInt8[Tensor, "..."]], num_classes: int, rebalance: float
) -> Float[Tensor, " K"] | None:
    """Return `weights_of` the pixels of some labels, read one after another; None for `rebalance` 0."""
    return weights_of(class_counts(labels, num_classes), rebalance) if rebalance else None


def class_counts(labels: Iterable[UInt8[Tensor, "..."]], num_classes: int) -> Float64[Tensor, " K"]:
    """Return the number of pixels of each class."""
    counts = [torch.bincount(part.flatten(), minlength=IGNORE + 1)[:num_classes] for part in labels]
    return torch.stack(counts).sum(0).double()


def weights_of(counts: Float64[Tensor, " K"], rebalance: float) -> Float[Tensor, " K"]:
    """Return weights that make rare classes count more, of mean 1 over all pixels.

    With p the frequencies of the K classes, a weight is 1 / ((1 - r) / K + r p) times a constant, r being
    `rebalance`, above 0 and at most 1. Source: R. Zhang et al., arXiv:1603.08511, equation 4, lambda = 1 - r.
    """
    freqs = counts / counts.sum()
    weights = 1 / ((1 - rebalance) / len(counts) + rebalance * freqs).clamp_min(1e-9)
    weights[counts == 0] = 0  # or a class that is never seen would have all the weight
    return (weights / (freqs * weights).sum()).float()
