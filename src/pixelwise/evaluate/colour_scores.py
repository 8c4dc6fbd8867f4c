"""Scores of coloured photos beside their originals: of each photo, and of a set with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy import ndarray

from pixelwise.colour.arrays import Float, UInt8
from pixelwise.colour.spaces import srgb_to_lab
from pixelwise.errors import DataError
from pixelwise.evaluate.intervals import Interval, interval, resampled_sums
from pixelwise.labels.confusion import ratio

SCORES = {  # names in tables, by key
    "ciede2000": "CIEDE2000",
    "ab_rmse": "RMSE of ab",
    "colourfulness": "colourfulness",
    "colourfulness_ratio": "colourfulness, ratio",
    "top1_accuracy": "top-1 accuracy, %",
    "top5_accuracy": "top-5 accuracy, %",
    "cross_entropy": "cross-entropy, nats",
}
_CHROMA_7 = 25.0**7  # where chroma begins to count as much as its size says
_HALF_TURN = math.pi + 1e-6  # opposite hues are not to be parted by rounding
_STEEPEST = math.radians(275)  # of the rotation among the blues


@dataclass(frozen=True, kw_only=True)
class PhotoColours:
    """Differences of the colours of one photo from the original's."""

    ciede2000: float  # mean over pixels
    ab_rmse: float  # root of the mean over pixels of the squared distance in the plane of a and b
    colourfulness: float
    original_colourfulness: float
    top1: float = math.nan  # share of pixels whose true class is the likeliest; NaN without classes
    top5: float = math.nan  # share of pixels whose true class is among the five likeliest
    cross_entropy: float = math.nan  # minus the logarithm of the true class's probability, in nats

    @staticmethod
    def of(codes: UInt8[ndarray, "3 H W"], original: UInt8[ndarray, "3 H W"]) -> PhotoColours:
        """Score a picture of sRGB codes, without classes."""
        lab, true = (srgb_to_lab(each / np.float32(255)) for each in (codes, original))
        return PhotoColours(
            ciede2000=float(ciede2000(true, lab).mean()),
            ab_rmse=float(np.sqrt(np.square(lab[1:] - true[1:]).sum(0).mean())),
            colourfulness=colourfulness(codes),
            original_colourfulness=colourfulness(original),
        )


def colour_scores(photos: Sequence[PhotoColours], seed: int = 0) -> dict[str, Interval]:
    """Return means over photos, every photo counting the same, with intervals, by the keys of `SCORES`.

    `ab_rmse` is the root of the mean of photos' squared errors; `colourfulness_ratio` is the ratio of the
    means. Accuracies are in per cent. NaN without classes; DataError without photos.
    """
    if not photos:
        raise DataError("needed at least one photo to score, got none")
    rows = np.array([(*astuple(photo), 1.0) for photo in photos])  # in the order of the fields
    rows[:, 1] **= 2  # of RMSE
    rows[:, 4:6] *= 100  # accuracies
    *sums, num = resampled_sums(rows, seed).T
    error, squared, strength, original, top1, top5, loss = (total / num for total in sums)
    means = (error, np.sqrt(squared), strength, ratio(strength, original), top1, top5, loss)
    return {name: interval(mean) for name, mean in zip(SCORES, means, strict=True)}


def ciede2000(
    lab: Float[ndarray, "3 *points"], other: Float[ndarray, "3 *points"]
) -> Float[ndarray, " *points"]:
    """Return the CIEDE2000 of pairs of Lab colours: about 1 is just noticed, black and white are 100 apart.

    Parametric weights are 1; in float32 it is right to 0.001 in 1. Source: G. Sharma, W. Wu, E. Dalal 2005,
    "The CIEDE2000 color-difference formula", doi:10.1002/col.20070.
    """
    (light1, a1, b1), (light2, a2, b2) = lab, other
    more = 1.5 - 0.5 * _saturating((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2)  # of a, near grey
    chroma1, chroma2 = np.hypot(a1 * more, b1), np.hypot(a2 * more, b2)
    hue1, hue2 = (np.arctan2(b, a * more) % (2 * math.pi) for a, b in ((a1, b1), (a2, b2)))
    grey = (chroma1 == 0) | (chroma2 == 0)  # which has no hue, and takes the other's
    turn = hue2 - hue1
    turn = np.where(np.abs(turn) > _HALF_TURN, turn - np.sign(turn) * (2 * math.pi), turn)
    hue = np.where(grey, hue1 + hue2, (hue1 + turn / 2) % (2 * math.pi))
    chroma = (chroma1 + chroma2) / 2
    by_hue = 2 * np.sqrt(chroma1 * chroma2) * np.sin(np.where(grey, 0, turn) / 2)

    from_middle = np.square((light1 + light2) / 2 - 50)
    in_light = (light2 - light1) / (1 + 0.015 * from_middle / np.sqrt(20 + from_middle))
    in_chroma = (chroma2 - chroma1) / (1 + 0.045 * chroma)
    hue_weight = (
        1
        - 0.17 * np.cos(hue - math.radians(30))
        + 0.24 * np.cos(2 * hue)
        + 0.32 * np.cos(3 * hue + math.radians(6))
        - 0.20 * np.cos(4 * hue - math.radians(63))
    )
    in_hue = by_hue / (1 + 0.015 * chroma * hue_weight)
    bend = math.radians(60) * np.exp(-np.square((hue - _STEEPEST) / math.radians(25)))
    rotation = -2 * _saturating(chroma) * np.sin(bend)
    squared = in_light**2 + in_chroma**2 + in_hue**2 + rotation * in_chroma * in_hue
    return np.sqrt(squared.clip(0))


def colourfulness(codes: UInt8[ndarray, "3 *points"]) -> float:
    """Return the colourfulness of sRGB codes: 0 for greys, about 33 "moderately", 109 "extremely".

    Source: D. Hasler, S. Suesstrunk 2003, "Measuring colourfulness in natural images", doi:10.1117/12.477378.
    """
    red, green, blue = codes.reshape(3, -1).astype(np.float32)
    axes = np.stack([red - green, (red + green) / 2 - blue])
    spread, mean = np.sqrt(axes.var(1).sum()), np.linalg.norm(axes.mean(1))
    return float(spread + 0.3 * mean)


def _saturating(chroma: Float[ndarray, "*points"]) -> Float[ndarray, "*points"]:
    power = chroma**7
    return np.sqrt(power / (power + _CHROMA_7))
