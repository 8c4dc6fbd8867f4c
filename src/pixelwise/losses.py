"""What training makes small."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, UInt8
from torch import Tensor

from pixelwise.labelspace import IGNORE, SoftLabels
from pixelwise.shapes import Labels, Logits


def cross_entropy(
    logits: Logits,
    labels: Labels | UInt8[Tensor, "N H W"],
    *,
    weights: Float[Tensor, " K"] | None = None,
    reduction: str = "mean",
) -> Float[Tensor, ""]:
    """Mean (or sum) over the labelled pixels of minus the log probability of each pixel's class, in nats.

    Pixels labelled IGNORE count for nothing, others as much as the `weights` of their classes say. The
    classes are brought last before the softmax: beside each other in memory they are summed several times
    as fast, and with channels-last logits that costs no copy.
    """
    flat = logits.permute(0, 2, 3, 1).flatten(0, 2)
    flat = flat if flat.dtype == torch.float64 else flat.float()
    target = labels.flatten().long()
    return F.cross_entropy(
        flat,
        target,
        None if weights is None else weights.to(flat.dtype),
        ignore_index=IGNORE,
        reduction=reduction,
    )


def soft_cross_entropy(
    logits: Logits, labels: SoftLabels, *, weights: Float[Tensor, " K"] | None = None
) -> Float[Tensor, ""]:
    """Mean over the pixels of the cross-entropy between their shares of the classes and the logits, in nats.

    A pixel counts as much as the `weights` of its classes say, each by its share. Source: R. Zhang, P. Isola,
    A. Efros, arXiv:1603.08511, equation 2.
    """
    log_chances = logits.float().log_softmax(1).gather(1, labels.classes)
    each = -(labels.shares * log_chances).sum(1)
    if weights is not None:
        each = each * (labels.shares * weights.to(each)[labels.classes]).sum(1)
    return each.mean()


def class_weights(
    labels: Iterable[UInt8[Tensor, "..."]], num_classes: int, rebalance: float
) -> Float[Tensor, " K"] | None:
    """Weights that make rare classes count more, of mean 1 over the labelled pixels; None for all equal.

    With p the shares of the K classes, a weight is 1 / ((1 - r) / K + r p) times a constant, r being
    `rebalance`. Left alone, most pixels of photographs are nearly grey, and so is the safest guess. Labels
    are asked for one tensor after the other, and not kept.

    Source: R. Zhang, P. Isola, A. Efros, arXiv:1603.08511, equation 4, whose lambda is 1 - r.
    """
    if rebalance == 0:
        return None
    return weights_of(class_counts(labels, num_classes), rebalance)


def class_counts(labels: Iterable[UInt8[Tensor, "..."]], num_classes: int) -> Float64[Tensor, " K"]:
    """How many pixels each class has."""
    each = [torch.bincount(one.flatten(), minlength=IGNORE + 1)[:num_classes] for one in labels]
    return torch.stack(each).sum(0).double()


def weights_of(counts: Float64[Tensor, " K"], rebalance: float) -> Float[Tensor, " K"]:
    """As `class_weights`, of classes with so many pixels; `rebalance` above 0."""
    num_classes = len(counts)
    shares = counts / counts.sum()
    weights = 1 / ((1 - rebalance) / num_classes + rebalance * shares).clamp_min(1e-9)
    weights[counts == 0] = 0  # what is never seen has no weight; a share of nothing would have all
    return (weights / (shares * weights).sum()).float()
