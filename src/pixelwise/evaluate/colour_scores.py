"""Scores of coloured photos beside their originals: of each photo, and of a set with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from pixelwise.colour.spaces import srgb_to_lab
from pixelwise.errors import DataError, ShapeError
from pixelwise.evaluate.calibration import ClassScores
from pixelwise.evaluate.intervals import Interval, interval, resampled_sums
from pixelwise.labels.confusion import ratio

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
"""Names of the scores in tables, by key."""

_PEAK = 255.0  # of a and b, each of which spans about as much; as papers have it
_BEST_PSNR = 100.0  # dB, of equal pictures
_CHROMA_7 = 25.0**7  # where chroma begins to count as much as its size says
_HALF_TURN = math.pi + 1e-6  # opposite hues are not to be parted by rounding
_STEEPEST = math.radians(275)  # of the rotation among the blues


@dataclass(frozen=True, eq=False)
class Original:
    """A picture to measure others by."""

    codes: UInt8[Tensor, "3 H W"]
    lab: Float[Tensor, "3 H W"]
    colourfulness: float

    @staticmethod
    def of(codes: UInt8[Tensor, "3 H W"]) -> Original:
        """Return the original of sRGB codes."""
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
    """None for a method that gives no probabilities."""

    @staticmethod
    def of(
        codes: UInt8[Tensor, "3 H W"], original: Original, classes: ClassScores | None = None
    ) -> PhotoColours:
        """Score a picture of sRGB codes.

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
        """10 log10(255^2 / the mean squared error of a and of b), dB; 100 for equal pictures."""
        error = self.ab_rmse**2 / 2
        return min(_BEST_PSNR, 10 * math.log10(_PEAK**2 / error)) if error else _BEST_PSNR


def colour_scores(photos: Sequence[PhotoColours], seed: int = 0) -> dict[str, Interval]:
    """Return means over photos, every photo counting the same, with intervals, by the keys of `SCORES`.

    `ab_rmse` is the root of the mean of photos' squared errors, `ab_rmse_by_photo` the mean of their roots;
    `colourfulness_ratio` is the ratio of the means. Accuracies are in per cent. NaN without probabilities.

    Raises:
        DataError: there is no photo.
    """
    if not photos:
        raise DataError("needed at least one photo to score, got none")
    nothing = ClassScores(top1=math.nan, top5=math.nan, cross_entropy=math.nan, entropy=math.nan)
    classes = [one.classes or nothing for one in photos]
    columns = {
        "ciede2000": [one.ciede2000 for one in photos],
        "ab_mse": [one.ab_rmse**2 for one in photos],
        "ab_rmse_by_photo": [one.ab_rmse for one in photos],
        "ab_psnr": [one.ab_psnr for one in photos],
        "colourfulness": [one.colourfulness for one in photos],
        "original": [one.original_colourfulness for one in photos],
        "top1_accuracy": [100 * one.top1 for one in classes],
        "top5_accuracy": [100 * one.top5 for one in classes],
        "cross_entropy": [one.cross_entropy for one in classes],
        "": [1.0] * len(photos),
    }
    sums = resampled_sums(np.array(list(columns.values())).T, seed)
    means = dict(zip(columns, (sums / sums[:, -1:]).T, strict=True))
    means["ab_rmse"] = np.sqrt(means["ab_mse"])
    means["ab_rmse_per_axis"] = np.sqrt(means["ab_mse"] / 2)
    means["colourfulness_ratio"] = ratio(means["colourfulness"], means["original"])
    return {name: interval(means[name]) for name in SCORES}


def ciede2000(
    lab: Float[Tensor, "3 *points"], other: Float[Tensor, "3 *points"]
) -> Float[Tensor, " *points"]:
    """Return the CIEDE2000 of pairs of Lab colours: about 1 is just noticed, black and white are 100 apart.

    Parametric weights are 1; in float32 it is right to 0.001 in 1.

    Source: G. Sharma, W. Wu, E. Dalal 2005, "The CIEDE2000 color-difference formula: implementation notes,
    supplementary test data, and mathematical observations", doi:10.1002/col.20070.
    """
    (light1, a1, b1), (light2, a2, b2) = lab, other
    more = 1.5 - 0.5 * _saturating((torch.hypot(a1, b1) + torch.hypot(a2, b2)) / 2)  # of a, near grey
    (chroma1, hue1), (chroma2, hue2) = (_polar(a * more, b) for a, b in ((a1, b1), (a2, b2)))
    grey = (chroma1 == 0) | (chroma2 == 0)  # which has no hue, and takes the other's
    turn = hue2 - hue1
    turn = torch.where(turn.abs() > _HALF_TURN, turn - turn.sign() * (2 * math.pi), turn)
    hue = torch.where(grey, hue1 + hue2, (hue1 + turn / 2) % (2 * math.pi))
    chroma = (chroma1 + chroma2) / 2
    by_hue = 2 * (chroma1 * chroma2).sqrt() * torch.sin(torch.where(grey, 0, turn) / 2)

    from_middle = ((light1 + light2) / 2 - 50).square()
    in_light = (light2 - light1) / (1 + 0.015 * from_middle / (20 + from_middle).sqrt())
    in_chroma = (chroma2 - chroma1) / (1 + 0.045 * chroma)
    in_hue = by_hue / (1 + 0.015 * chroma * _hue_weight(hue))
    bend = math.radians(60) * torch.exp(-((hue - _STEEPEST) / math.radians(25)).square())
    rotation = -2 * _saturating(chroma) * bend.sin()
    squared = in_light.square() + in_chroma.square() + in_hue.square() + rotation * in_chroma * in_hue
    return squared.clamp_min(0).sqrt()


def colourfulness(codes: UInt8[Tensor, "3 *points"]) -> float:
    """Return the colourfulness of sRGB codes: 0 for greys, about 33 "moderately", 109 "extremely".

    Source: D. Hasler, S. Suesstrunk 2003, "Measuring colourfulness in natural images", doi:10.1117/12.477378.
    """
    red, green, blue = codes.flatten(1).float()
    axes = torch.stack([red - green, (red + green) / 2 - blue])
    spread, mean = axes.var(1, correction=0).sum().sqrt(), axes.mean(1).norm()
    return float(spread + 0.3 * mean)


def _polar(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return chroma, and hue from 0 to 2 pi."""
    return torch.hypot(a, b), torch.atan2(b, a) % (2 * math.pi)


def _saturating(chroma: Tensor) -> Tensor:
    """Return 0 for greys to 1 for vivid colours, steep about a chroma of 25."""
    power = chroma**7
    return (power / (power + _CHROMA_7)).sqrt()


def _hue_weight(hue: Tensor) -> Tensor:
    """Return the weight of a difference in hue at each hue."""
    return (
        1
        - 0.17 * torch.cos(hue - math.radians(30))
        + 0.24 * torch.cos(2 * hue)
        + 0.32 * torch.cos(3 * hue + math.radians(6))
        - 0.20 * torch.cos(4 * hue - math.radians(63))
    )
