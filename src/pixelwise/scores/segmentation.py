"""All scores of a segmentation at once, from what each image counts."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float
from torch import Tensor

from pixelwise.classnames import ClassNames
from pixelwise.errors import DataError, ShapeError
from pixelwise.scores.boundary import Boundary, f1_of
from pixelwise.scores.calibration import Calibration, error_of
from pixelwise.scores.confusion import (
    Confusion,
    LabelImage,
    accuracy_of,
    dice_of,
    iou_of,
    mean_of_known,
)
from pixelwise.scores.intervals import NUM_RESAMPLES, Interval, interval, plain, resampled_sums


@dataclass(frozen=True, eq=False)
class ImageCounts:
    """What one image adds to each score; those of several images add up."""

    confusion: Confusion
    boundary: Boundary | None = None
    calibration: Calibration | None = None

    @staticmethod
    def of(
        predicted: LabelImage,
        labels: LabelImage,
        num_classes: int,
        *,
        probabilities: Float[Tensor, "K H W"] | None = None,
        with_boundary: bool = False,
    ) -> ImageCounts:
        """Counts of one image, at the size of its labels; calibration where there are probabilities.

        A photo of 500 x 660 takes half a millisecond, boundaries some thirty more, probabilities some six.

        Raises:
            ShapeError: what was predicted is not of the labels' size.
            LabelError: a label is neither a class nor IGNORE, or a labelled pixel was given no class.
        """
        return ImageCounts(
            Confusion.of(predicted, labels, num_classes),
            Boundary.of(predicted, labels, num_classes) if with_boundary else None,
            Calibration.of(probabilities, labels) if probabilities is not None else None,
        )

    def __add__(self, other: ImageCounts) -> ImageCounts:
        return ImageCounts(
            self.confusion + other.confusion,
            _sum(self.boundary, other.boundary),
            _sum(self.calibration, other.calibration),
        )


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
    """Dice coefficient, by class."""
    pixel_accuracy: Interval
    boundary_f1: dict[str, Interval] | None = None
    """F1 of the outlines, by class; none where it was not counted."""
    calibration_error: Interval | None = None
    """Expected calibration error, of which less is better; none where there were no probabilities."""

    @staticmethod
    def of(
        images: Sequence[ImageCounts], classes: ClassNames, seed: int = 0, num_resamples: int = NUM_RESAMPLES
    ) -> SegmentationScores:
        """Scores of images together, and how they vary when as many images are drawn from them.

        Raises:
            DataError: there is no image.
            ShapeError: the counts are of another number of classes.
        """
        if not images:
            raise DataError("needed at least one labelled photo to score, got none")
        whole = functools.reduce(operator.add, images)
        if (num := len(whole.confusion.counts)) != classes.num_classes:
            raise ShapeError(f"needed counts of {classes.num_classes} classes, got {num}")

        def draws(by_image: list[Any]) -> Any:
            # the same seed draws the same images for every score
            return resampled_sums(np.stack(by_image), seed, num_resamples)

        def by_class(scores: Any) -> dict[str, Interval]:
            return {name: interval(scores[:, number]) for number, name in enumerate(classes.names)}

        overlaps = draws([image.confusion.overlaps for image in images])
        boundary = draws([i.boundary.sums for i in images if i.boundary]) if whole.boundary else None
        bins = draws([i.calibration.bins for i in images if i.calibration]) if whole.calibration else None
        return SegmentationScores(
            num_images=len(images),
            confusion=whole.confusion,
            iou=by_class(iou_of(overlaps)),
            miou=interval(mean_of_known(iou_of(overlaps))),
            dice=by_class(dice_of(overlaps)),
            pixel_accuracy=interval(accuracy_of(overlaps)),
            boundary_f1=None if boundary is None else by_class(f1_of(boundary)),
            calibration_error=None if bins is None else interval(error_of(bins)),
        )

    def by_name(self) -> dict[str, Interval]:
        """Every score under the name that people read it by, the telling ones first."""

        def of(what: str, scores: dict[str, Interval] | None) -> dict[str, Interval]:
            return {f"{what}, {name}": score for name, score in (scores or {}).items()}

        named = {"mean IoU": self.miou} | of("IoU", self.iou) | of("Dice", self.dice)
        named |= {"pixel accuracy": self.pixel_accuracy} | of("boundary F1", self.boundary_f1)
        return named | ({"calibration error": self.calibration_error} if self.calibration_error else {})

    def to_dict(self) -> dict[str, Any]:
        """Scores alone, `{"iou": {class: x}, "miou": x, ...}`, for JSON; None where there is no score."""
        return self._told(lambda score: plain(score.value))

    def intervals(self) -> dict[str, Any]:
        """The same with `{value, low, high}` in place of each score."""
        return self._told(Interval.to_dict)

    def _told(self, tell: Callable[[Interval], Any]) -> dict[str, Any]:
        def by_class(scores: dict[str, Interval]) -> dict[str, Any]:
            return {name: tell(score) for name, score in scores.items()}

        told = {
            "iou": by_class(self.iou),
            "miou": tell(self.miou),
            "dice": by_class(self.dice),
            "pixel_accuracy": tell(self.pixel_accuracy),
        }
        if self.boundary_f1 is not None:
            told["boundary_f1"] = by_class(self.boundary_f1)
        if self.calibration_error is not None:
            told["calibration_error"] = tell(self.calibration_error)
        return told


def miou_gain(
    before: Sequence[ImageCounts],
    after: Sequence[ImageCounts],
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
) -> Interval:
    """By how much a second segmentation's mean intersection over union exceeds a first one's.

    Both are of the same images, and so is each draw: what makes an image hard for both cancels out.

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


Counts = TypeVar("Counts", Boundary, Calibration)


def _sum(one: Counts | None, other: Counts | None) -> Counts | None:
    """The sum, where both were counted."""
    return None if one is None or other is None else one + other
