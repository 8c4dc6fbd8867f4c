"""Scores as counts that merge: the score of two parts together is the sum of their counts."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import UInt8
from torch import Tensor

from pixelwise.colour.palette import IGNORE
from pixelwise.colour.shapes import Labels, Logits
from pixelwise.network.losses import cross_entropy


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelScore:
    """Cross-entropy and accuracy over labelled pixels."""

    num_pixels: int = 0
    num_right: int = 0
    loss_sum: float = 0.0
    """Cross-entropy summed over pixels, in nats."""

    @staticmethod
    def of(logits: Logits, labels: Labels | UInt8[Tensor, "N H W"]) -> PixelScore:
        """Score one batch."""
        known = labels != IGNORE
        return PixelScore(
            num_pixels=int(known.sum()),
            num_right=int(((logits.argmax(1) == labels) & known).sum()),
            loss_sum=cross_entropy(logits, labels, reduction="sum").item(),
        )

    def __add__(self, other: PixelScore) -> PixelScore:
        return PixelScore(
            num_pixels=self.num_pixels + other.num_pixels,
            num_right=self.num_right + other.num_right,
            loss_sum=self.loss_sum + other.loss_sum,
        )

    @property
    def loss(self) -> float:
        """Mean cross-entropy per pixel, in nats; NaN before any pixel."""
        return self.loss_sum / self.num_pixels if self.num_pixels else float("nan")

    @property
    def accuracy(self) -> float:
        """Share of right pixels in per cent; NaN before any pixel."""
        return 100 * self.num_right / self.num_pixels if self.num_pixels else float("nan")
