"""All scores of a segmentation at once, from counts of each image."""

from __future__ import annotations

import functools
import operator
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
from pixelwise.evaluate.intervals import NUM_RESAMPLES, Interval, interval, plain, resampled_sums
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


@dataclass(frozen=True, eq=False)
class ImageCounts:
    """Counts of one image, or of several added up, behind its scores."""

    confusion: Confusion
    boundary: Float64[ndarray, "2 K"] | None = None
    """F1 of each class's outline, summed over images, and the number of images that have such an outline."""
    calibration: Float64[ndarray, "3 15"] | None = None
    """As `calibration_bins` has them."""

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
        confusion = Confusion.of(predicted, labels, num_classes)
        f1 = boundary_f1(predicted, labels, num_classes) if with_boundary else None
        return ImageCounts(
            confusion,
            None if f1 is None else np.stack([np.nan_to_num(f1), ~np.isnan(f1)]).astype(np.float64),
            None if probs is None else calibration_bins(probs, labels),
        )

    def __add__(self, other: ImageCounts) -> ImageCounts:
        return ImageCounts(
            self.confusion + other.confusion,
            _sum(self.boundary, other.boundary),
            _sum(self.calibration, other.calibration),
        )


def _sum(one: ndarray | None, other: ndarray | None) -> ndarray | None:
    return None if one is None or other is None else one + other


@dataclass(frozen=True, kw_only=True)
class SegmentationScores:
    """Scores over all labelled pixels of some images, each from 0 to 1, with intervals over images."""

    num_images: int
    confusion: Confusion
    """Of all images together."""
    iou: dict[str, Interval]
    """Intersection over union, by class."""
    miou: Interval
    """Mean of `iou` over the classes that some pixel has or was given."""
    dice: dict[str, Interval]
    pixel_accuracy: Interval
    boundary_f1: dict[str, Interval] | None = None
    """F1 of the outlines, by class; None where it was not counted."""
    calibration_error: Interval | None = None
    """Expected calibration error, of which less is better; None where there were no probabilities."""

    @staticmethod
    def of(
        images: Sequence[ImageCounts], classes: ClassNames, seed: int = 0, num_resamples: int = NUM_RESAMPLES
    ) -> SegmentationScores:
        """Score images together; every score is resampled over the same draws of images.

        Raises:
            DataError: there is no image.
            ShapeError: the counts are of another number of classes.
        """
        if not images:
            raise DataError("needed at least one labelled photo to score, got none")
        whole = functools.reduce(operator.add, images)
        if (num := len(whole.confusion.counts)) != classes.num_classes:
            raise ShapeError(f"needed counts of {classes.num_classes} classes, got {num}")

        def by_class(scores: Float64[ndarray, "draws K"]) -> dict[str, Interval]:
            return {name: interval(scores[:, number]) for number, name in enumerate(classes.names)}

        def draws(by_image: list[Any]) -> Any:
            return resampled_sums(np.stack(by_image), seed, num_resamples)

        overlaps, boundary, error = draws([one.confusion.overlaps for one in images]), None, None
        if whole.boundary is not None:
            sums = draws([one.boundary for one in images])
            boundary = by_class(ratio(sums[:, 0], sums[:, 1]))
        if whole.calibration is not None:
            error = interval(calibration_error(draws([one.calibration for one in images])))
        return SegmentationScores(
            num_images=len(images),
            confusion=whole.confusion,
            iou=by_class(iou_of(overlaps)),
            miou=interval(mean_of_known(iou_of(overlaps))),
            dice=by_class(dice_of(overlaps)),
            pixel_accuracy=interval(accuracy_of(overlaps)),
            boundary_f1=boundary,
            calibration_error=error,
        )

    def by_name(self) -> dict[str, Interval]:
        """Return every score by its name in tables."""
        named = {"mean IoU": self.miou}
        for name, scores in (("IoU", self.iou), ("Dice", self.dice)):
            named |= {f"{name}, {label}": score for label, score in scores.items()}
        named["pixel accuracy"] = self.pixel_accuracy
        named |= {f"boundary F1, {label}": score for label, score in (self.boundary_f1 or {}).items()}
        return named | ({"calibration error": self.calibration_error} if self.calibration_error else {})

    def to_dict(self) -> dict[str, Any]:
        """Return the scores alone, `{"iou": {class: x}, "miou": x, ...}`, for JSON; None for no score."""
        return self._with_each(lambda score: plain(score.value))

    def intervals(self) -> dict[str, Any]:
        """Return the scores as `{value, low, high}`, by the keys of `to_dict`."""
        return self._with_each(Interval.to_dict)

    def _with_each(self, plainly: Callable[[Interval], Any]) -> dict[str, Any]:
        values = {}
        for name in ("iou", "miou", "dice", "pixel_accuracy", "boundary_f1", "calibration_error"):
            score = getattr(self, name)
            if isinstance(score, dict):
                values[name] = {label: plainly(one) for label, one in score.items()}
            elif score is not None:
                values[name] = plainly(score)
        return values


def miou_gain(
    before: Sequence[ImageCounts],
    after: Sequence[ImageCounts],
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
) -> Interval:
    """Return by how much a second segmentation's mean IoU exceeds a first one's, over paired draws.

    Raises:
        DataError: there is no image.
        ShapeError: they are of different numbers of images.
    """
    if not before:
        raise DataError("needed at least one labelled photo to score, got none")
    if len(before) != len(after):
        raise ShapeError(f"needed two counts of each photo, got {len(before)} and {len(after)}")
    pairs = [[one.confusion.overlaps for one in pair] for pair in zip(before, after, strict=True)]
    miou = mean_of_known(iou_of(resampled_sums(np.array(pairs), seed, num_resamples)))
    return interval(miou[:, 1] - miou[:, 0])
