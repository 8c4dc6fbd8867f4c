"""What training makes small."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from pixelwise.labelspace import IGNORE
from pixelwise.shapes import Labels, Logits


def cross_entropy(
    logits: Logits, labels: Labels | UInt8[Tensor, "N H W"], *, reduction: str = "mean"
) -> Float[Tensor, ""]:
    """Mean (or sum) over the labelled pixels of minus the log probability of each pixel's class, in nats.

    Pixels labelled IGNORE count for nothing. The classes are brought last before the softmax: beside each
    other in memory they are summed several times as fast, and with channels-last logits that costs no copy.
    """
    flat = logits.permute(0, 2, 3, 1).flatten(0, 2).float()
    return F.cross_entropy(flat, labels.flatten().long(), ignore_index=IGNORE, reduction=reduction)
