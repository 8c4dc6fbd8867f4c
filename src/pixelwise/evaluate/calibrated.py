"""Whether a colouriser is as often right as it is sure: before, and after a temperature that mends it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from numpy import ndarray
from torch import Tensor

from pixelwise.scores import Calibration, Interval, class_scores, fit_temperature, interval, resampled_sums
from pixelwise.scores.calibration import error_of

MOST_LOGITS = 2**23
"""Numbers kept to calibrate on, 32 MB, however many photos there are."""
_LEAST_PIXELS = 16  # of a photo


@dataclass(frozen=True, eq=False)
class Sample:
    """Some pixels of one photo."""

    logits: Float[Tensor, "n K"]
    labels: Int64[Tensor, " n"]

    @staticmethod
    def draw(
        logits: Float[Tensor, "K h w"], labels: Int64[Tensor, "h w"], num_photos: int, seed: tuple[int, int]
    ) -> Sample:
        """An equal share of the pixels that are kept of so many photos; the seed draws which."""
        num_classes, num_pixels = len(logits), labels.numel()
        most = max(_LEAST_PIXELS, MOST_LOGITS // (num_classes * num_photos))
        drawn = np.random.default_rng(seed).permutation(num_pixels)[:most]
        which = torch.from_numpy(np.sort(drawn))
        return Sample(logits.flatten(1).T[which].contiguous(), labels.flatten()[which])

    def bins(self, temperature: float) -> Float64[ndarray, "3 15"]:
        """How sure and how right, as `Calibration` counts."""
        probs = (self.logits / temperature).softmax(1).T[:, None]
        return Calibration.of(probs.contiguous(), self.labels.byte()[None]).bins


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibrated:
    """How honest a network's probabilities are, over the pixels that were drawn."""

    temperature: float
    """By which the probabilities of all photos together become the likeliest."""
    before: Float64[ndarray, "3 15"]
    after: Float64[ndarray, "3 15"]
    """Each half of the photos by the temperature of the other half: no photo mends itself."""
    error_before: Interval
    """Expected calibration error, 0 to 1."""
    error_after: Interval
    cross_entropy_before: float
    """In nats a pixel."""
    cross_entropy_after: float
    """By `temperature`, so that it is what fitting found."""
    num_pixels: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "temperature": self.temperature,
            "error_before": self.error_before.to_dict(),
            "error_after": self.error_after.to_dict(),
            "cross_entropy_before": self.cross_entropy_before,
            "cross_entropy_after": self.cross_entropy_after,
            "num_pixels": self.num_pixels,
        }


def calibrate(samples: Sequence[Sample], seed: int = 0) -> Calibrated:
    """How honest the probabilities of these photos' pixels are, and by which temperature they would be."""
    halves = samples[::2], samples[1::2]
    temperature = _fit(samples)
    # a photo alone has no others to be mended by
    by_others = [_fit(half) if half else temperature for half in reversed(halves)]
    before = np.stack([one.bins(1.0) for one in samples])
    after = np.stack([one.bins(by_others[index % 2]) for index, one in enumerate(samples)])
    logits, labels = _together(samples)
    return Calibrated(
        temperature=temperature,
        before=before.sum(0),
        after=after.sum(0),
        error_before=interval(error_of(resampled_sums(before, seed))),
        error_after=interval(error_of(resampled_sums(after, seed))),
        cross_entropy_before=class_scores(logits, labels).cross_entropy,
        cross_entropy_after=class_scores(logits / temperature, labels).cross_entropy,
        num_pixels=len(labels),
    )


def _fit(samples: Sequence[Sample]) -> float:
    return fit_temperature(*_together(samples))


def _together(samples: Sequence[Sample]) -> tuple[Tensor, Tensor]:
    return torch.cat([one.logits for one in samples]), torch.cat([one.labels for one in samples])
