"""Scores of coloured photos beside their originals: of each photo, and of a set with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from pixelwise.colour import srgb_to_lab
from pixelwise.errors import DataError, ShapeError
from pixelwise.scores.confusion import ratio
from pixelwise.scores.difference import ciede2000, colourfulness
from pixelwise.scores.intervals import Interval, interval, resampled_sums
from pixelwise.scores.probs import ClassScores

_PEAK = 255.0  # of a and b, each of which spans about as much; what papers take
_BEST_PSNR = 100.0  # dB, of equal pictures


@dataclass(frozen=True, eq=False)
class Original:
    """A picture to measure others by."""

    codes: UInt8[Tensor, "3 H W"]
    lab: Float[Tensor, "3 H W"]
    colourfulness: float

    @staticmethod
    def of(codes: UInt8[Tensor, "3 H W"]) -> Original:
        """Of sRGB codes."""
        return Original(codes, srgb_to_lab(codes.float() / 255), colourfulness(codes))


@dataclass(frozen=True, kw_only=True)
class PhotoColours:
    """How far the colours of one photo are from the original's."""

    ciede2000: float
    """Mean over pixels."""
    ab_rmse: float
    """Root of the mean over pixels of the squared distance in the plane of a and b, both axes added up."""
    colourfulness: float
    original_colourfulness: float
    classes: ClassScores | None = None
    """None for what gives no probabilities to classes."""

    @staticmethod
    def of(
        codes: UInt8[Tensor, "3 H W"], original: Original, classes: ClassScores | None = None
    ) -> PhotoColours:
        """Scores of a picture of sRGB codes.

        Raises:
            ShapeError: it differs from the original in height or width.
        """
        if codes.shape != original.codes.shape:
            found = f"{tuple(codes.shape)} and {tuple(original.codes.shape)}"
            raise ShapeError(f"needed a picture of the original's size, got {found}")
        lab = srgb_to_lab(codes.float() / 255)
        squared = (lab[1:] - original.lab[1:]).square().sum(0).mean()
        return PhotoColours(
            ciede2000=float(ciede2000(original.lab, lab).mean()),
            ab_rmse=float(squared.sqrt()),
            colourfulness=colourfulness(codes),
            original_colourfulness=original.colourfulness,
            classes=classes,
        )

    @property
    def ab_psnr(self) -> float:
        """10 log10(255^2 / the mean squared error of a and of b), dB; equal pictures have 100."""
        error = self.ab_rmse**2 / 2
        return min(_BEST_PSNR, 10 * math.log10(_PEAK**2 / error)) if error else _BEST_PSNR


def colour_scores(photos: Sequence[PhotoColours], seed: int = 0) -> dict[str, Interval]:
    """Means over photos, every photo counting the same, with intervals; by name.

    `ab_rmse` is the root of the mean of photos' squared errors, `ab_rmse_by_photo` the mean of their roots;
    `colourfulness_ratio` is the ratio of the means. Accuracies are in per cent. NaN where there are
    no probabilities.

    Raises:
        DataError: there is no photo.
    """
    if not photos:
        raise DataError("needed at least one photo to score, got none")
    each = np.array([_row(one) for one in photos])
    sums = resampled_sums(np.concatenate([each, np.ones((len(each), 1))], axis=1), seed)
    of = dict(zip(_COLUMNS, (sums[:, :-1] / sums[:, -1:]).T, strict=True))
    of["ab_rmse"] = np.sqrt(of["ab_mse"])
    of["ab_rmse_per_axis"] = np.sqrt(of["ab_mse"] / 2)
    of["colourfulness_ratio"] = ratio(of["colourfulness"], of["original_colourfulness"])
    return {name: interval(of[name]) for name in SCORES}


SCORES = {
    "ciede2000": "CIEDE2000",
    "ab_rmse": "RMSE of ab, both axes",
    "ab_rmse_per_axis": "RMSE of ab, per axis",
    "ab_rmse_by_photo": "RMSE of ab, mean of photos'",
    "ab_psnr": "PSNR of ab, dB",
    "colourfulness": "colourfulness",
    "colourfulness_ratio": "colourfulness, ratio",
    "top1_accuracy": "top-1 accuracy, %",
    "top5_accuracy": "top-5 accuracy, %",
    "cross_entropy": "cross-entropy, nats",
}
"""What scores are called where people read them."""

_COLUMNS = (
    *("ciede2000", "ab_mse", "ab_rmse_by_photo", "ab_psnr", "colourfulness", "original_colourfulness"),
    *("top1_accuracy", "top5_accuracy", "cross_entropy"),
)


def _row(one: PhotoColours) -> tuple[float, ...]:
    """The scores of one photo, in the order of the columns."""
    classes = one.classes
    told = (100 * classes.top1, 100 * classes.top5, classes.cross_entropy) if classes else (math.nan,) * 3
    return (
        *(one.ciede2000, one.ab_rmse**2, one.ab_rmse, one.ab_psnr),
        *(one.colourfulness, one.original_colourfulness),
        *told,
    )


__all__ = ["SCORES", "Original", "PhotoColours", "colour_scores"]
