"""Calibration of a colouriser, before and after dividing its logits by a fitted temperature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from numpy import ndarray
from torch import Tensor

from pixelwise.evaluate.calibration import calibration_bins, calibration_error, class_scores, fit_temperature
from pixelwise.evaluate.intervals import Interval, interval, resampled_sums

MOST_LOGITS = 2**23
"""Numbers kept to calibrate on, 32 MB, however many photos there are."""
_FEWEST_PIXELS = 16  # of a photo

Sample = tuple[Tensor, Tensor]
"""Logits (n, K) and classes (n,) of some pixels of a photo."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibrated:
    """Calibration of a network over the pixels that were drawn."""

    temperature: float
    """The one of least cross-entropy on all photos together."""
    error_before: Interval
    """Expected calibration error, 0 to 1."""
    error_after: Interval
    cross_entropy_before: float
    """In nats a pixel."""
    cross_entropy_after: float
    """By `temperature`, which was fitted on these very pixels."""
    num_pixels: int
    before: Float64[ndarray, "3 15"]
    after: Float64[ndarray, "3 15"]
    """Each half of the photos by the temperature that was fitted on the other half."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {name: value for name, value in asdict(self).items() if name not in ("before", "after")}


def draw_pixels(
    logits: Float[Tensor, "K h w"], labels: Int64[Tensor, "h w"], num_photos: int, seed: tuple[int, int]
) -> Sample:
    """Draw one of `num_photos` equal shares of the pixels that are kept."""
    most = max(_FEWEST_PIXELS, MOST_LOGITS // (len(logits) * num_photos))
    drawn = np.random.default_rng(seed).permutation(labels.numel())[:most]
    which = torch.from_numpy(np.sort(drawn))
    return logits.flatten(1).T[which].contiguous(), labels.flatten()[which]


def calibrate(samples: Sequence[Sample], seed: int = 0) -> Calibrated:
    """Measure the calibration of these photos' pixels, and fit the temperature that mends it."""
    logits, labels = _joined(samples)
    temperature = fit_temperature(logits, labels)
    halves = samples[::2], samples[1::2]
    # a photo alone has no others to fit on
    of_others = [fit_temperature(*_joined(half)) if half else temperature for half in reversed(halves)]
    before = np.stack([_bins(one, 1.0) for one in samples])
    after = np.stack([_bins(one, of_others[index % 2]) for index, one in enumerate(samples)])
    return Calibrated(
        temperature=temperature,
        before=before.sum(0),
        after=after.sum(0),
        error_before=interval(calibration_error(resampled_sums(before, seed))),
        error_after=interval(calibration_error(resampled_sums(after, seed))),
        cross_entropy_before=class_scores(logits, labels).cross_entropy,
        cross_entropy_after=class_scores(logits / temperature, labels).cross_entropy,
        num_pixels=len(labels),
    )


def _bins(sample: Sample, temperature: float) -> Float64[ndarray, "3 15"]:
    logits, labels = sample
    probs = (logits / temperature).softmax(1).T[:, None]
    return calibration_bins(probs.contiguous(), labels.byte()[None])


def _joined(samples: Sequence[Sample]) -> Sample:
    return torch.cat([logits for logits, _ in samples]), torch.cat([labels for _, labels in samples])
