"""All scores of a segmentation at once, from counts of each image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float64
from numpy import ndarray
from torch import Tensor

from pixelwise.errors import DataError, ShapeError
from pixelwise.evaluate.boundary import boundary_f1
from pixelwise.evaluate.calibration import calibration_bins, calibration_error
from pixelwise.evaluate.intervals import Interval, interval, resampled_sums
from pixelwise.labels.class_names import ClassNames
from pixelwise.labels.confusion import (
    Confusion,
    LabelImage,
    accuracy_of,
    dice_of,
    iou_of,
    mean_of_known,
    ratio,
)

_TITLES = {
    "miou": "mean IoU",
    "iou": "IoU",
    "dice": "Dice",
    "pixel_accuracy": "pixel accuracy",
    "boundary_f1": "boundary F1",
    "calibration_error": "calibration error",
}


@dataclass(frozen=True, eq=False)
class ImageCounts:
    """Counts of one image behind its scores."""

    confusion: Confusion
    boundary: Float64[ndarray, "2 K"] | None = None  # F1 of each outline, and 1 for each there is
    calibration: Float64[ndarray, "3 15"] | None = None  # `calibration_bins`

    @staticmethod
    def of(
        predicted: LabelImage,
        labels: LabelImage,
        num_classes: int,
        *,
        probs: Float[Tensor, "K H W"] | None = None,
        with_boundary: bool = False,
    ) -> ImageCounts:
        """Count one image, at the size of its labels; calibration where there are probabilities.

        Raises:
            ShapeError: the predictions are not of the labels' size.
            LabelError: a label is neither a class nor IGNORE, or a labelled pixel was given no class.
        """
        confusion, boundary = Confusion.of(predicted, labels, num_classes), None
        if with_boundary:
            f1 = boundary_f1(predicted, labels, num_classes)
            boundary = np.stack([np.nan_to_num(f1), ~np.isnan(f1)]).astype(np.float64)
        return ImageCounts(confusion, boundary, None if probs is None else calibration_bins(probs, labels))


@dataclass(frozen=True, kw_only=True)
class SegmentationScores:
    """Scores over all labelled pixels of some images, each from 0 to 1, with intervals over images."""

    num_images: int
    iou: dict[str, Interval]  # intersection over union, by class
    miou: Interval  # mean of `iou` over the classes that some pixel has or was given
    dice: dict[str, Interval]
    pixel_accuracy: Interval
    boundary_f1: dict[str, Interval] | None = None  # of outlines, by class, where they were counted
    calibration_error: Interval | None = None  # less is better; None where there were no probabilities

    @staticmethod
    def of(images: Sequence[ImageCounts], classes: ClassNames, seed: int = 0) -> SegmentationScores:
        """Score images together; every score is resampled over the same draws of images.

        Raises:
            DataError: there is no image.
            ShapeError: the counts are of another number of classes.
        """
        if not images:
            raise DataError("needed at least one labelled photo to score, got none")
        if (num := len(images[0].confusion.counts)) != classes.num_classes:
            raise ShapeError(f"needed counts of {classes.num_classes} classes, got {num}")

        def by_class(scores: Float64[ndarray, "draws K"]) -> dict[str, Interval]:
            return {name: interval(scores[:, number]) for number, name in enumerate(classes.names)}

        overlaps = resampled_sums(np.stack([image.confusion.overlaps for image in images]), seed)
        outlines = [image.boundary for image in images if image.boundary is not None]
        bins = [image.calibration for image in images if image.calibration is not None]
        boundary = error = None
        if len(outlines) == len(images):
            sums = resampled_sums(np.stack(outlines), seed)
            boundary = by_class(ratio(sums[:, 0], sums[:, 1]))
        if len(bins) == len(images):
            error = interval(calibration_error(resampled_sums(np.stack(bins), seed)))
        return SegmentationScores(
            num_images=len(images),
            iou=by_class(iou_of(overlaps)),
            miou=interval(mean_of_known(iou_of(overlaps))),
            dice=by_class(dice_of(overlaps)),
            pixel_accuracy=interval(accuracy_of(overlaps)),
            boundary_f1=boundary,
            calibration_error=error,
        )

    def by_name(self) -> dict[str, Interval]:
        """Return every score by its name in tables."""
        named: dict[str, Interval] = {}
        for key, score in self._by_key(lambda score: score).items():
            if isinstance(score, dict):
                named |= {f"{_TITLES[key]}, {label}": value for label, value in score.items()}
            else:
                named[_TITLES[key]] = score
        return named

    def to_dict(self) -> dict[str, Any]:
        """Return the scores alone, `{"iou": {class: x}, "miou": x, ...}`; NaN for no score."""
        return self._by_key(lambda score: score.value)

    def intervals(self) -> dict[str, Any]:
        """Return the scores as `{value, low, high}`, by the keys of `to_dict`."""
        return self._by_key(Interval.to_dict)

    def _by_key(self, convert: Callable[[Interval], Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key in _TITLES:
            score = getattr(self, key)
            if isinstance(score, dict):
                found[key] = {label: convert(own) for label, own in score.items()}
            elif score is not None:
                found[key] = convert(score)
        return found
