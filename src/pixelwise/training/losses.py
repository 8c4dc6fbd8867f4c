"""Losses that training minimises."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pixelwise.colour.arrays import Float, Float32, Int64, UInt8
from pixelwise.colour.palette import IGNORE, Palette
from pixelwise.labels.confusion import class_counts, weights_of
from pixelwise.training.shapes import Labels, Logits


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


def class_weights(
    labels: Iterable[UInt8[Tensor, "..."]], num_classes: int, rebalance: float, device: torch.device
) -> Float[Tensor, " K"] | None:
    """Return the weights of classes, rare ones counting more, as `weights_of` has them; None for 0."""
    if not rebalance:
        return None
    counts = class_counts((part.cpu().numpy() for part in labels), num_classes)
    return torch.from_numpy(weights_of(counts, rebalance)).float().to(device)


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
