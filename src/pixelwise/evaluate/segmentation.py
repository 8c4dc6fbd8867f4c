"""All scores of a segmentation at once, from counts of each image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray

from pixelwise.colour.arrays import Bool, Float, Float32, Float64, Int64
from pixelwise.colour.palette import IGNORE
from pixelwise.errors import DataError, ShapeError
from pixelwise.evaluate.calibration import calibration_bins, calibration_error
from pixelwise.evaluate.intervals import Interval, interval, resampled_sums
from pixelwise.labels.class_names import ClassNames
from pixelwise.labels.confusion import Confusion, LabelArray, iou_of, mean_of_known, ratio, same_shape

TOLERANCE_FRAC = 0.0075  # of the image's diagonal: the distance at which outlines still agree
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
        predicted: LabelArray,
        labels: LabelArray,
        num_classes: int,
        *,
        probs: Float[ndarray, "K H W"] | None = None,
        with_boundary: bool = False,
    ) -> ImageCounts:
        """Count one image, at the size of its labels; calibration where there are probabilities.

        ShapeError where the predictions are not of the labels' size; LabelError where a label is neither a
        class nor IGNORE, or a labelled pixel was given no class.
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
    dice: dict[str, Interval]  # source: Dice 1945, doi:10.2307/1932409
    pixel_accuracy: Interval
    boundary_f1: dict[str, Interval] | None = None  # of outlines, by class, where they were counted
    calibration_error: Interval | None = None  # less is better; None where there were no probabilities

    @staticmethod
    def of(images: Sequence[ImageCounts], classes: ClassNames, seed: int = 0) -> SegmentationScores:
        """Score images together; every score is resampled over the same draws of images.

        DataError where there is no image, ShapeError where the counts are of another number of classes.
        """
        if not images:
            raise DataError("needed at least one labelled photo to score, got none")
        if (num := len(images[0].confusion.counts)) != classes.num_classes:
            raise ShapeError(f"needed counts of {classes.num_classes} classes, got {num}")

        def by_class(scores: Float64[ndarray, "draws K"]) -> dict[str, Interval]:
            return {name: interval(scores[:, number]) for number, name in enumerate(classes.names)}

        overlaps = resampled_sums(np.stack([image.confusion.overlaps for image in images]), seed)
        both, true, given = np.moveaxis(overlaps, 1, 0)
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
            dice=by_class(ratio(2 * both, true + given)),
            pixel_accuracy=interval(ratio(both.sum(-1), true.sum(-1))),
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


def boundary_f1(
    predicted: LabelArray, labels: LabelArray, num_classes: int, tolerance_frac: float = TOLERANCE_FRAC
) -> Float64[ndarray, " K"]:
    """Return the F1 of each class's outline in one image; NaN for a class that has none in either.

    An outline is where pixels of a class touch pixels of another; its precision and recall within 0.75 % of
    the image's diagonal are joined to F1. Source: Csurka, Larlus, Perronnin 2013, What is a good evaluation
    measure for semantic segmentation?, BMVC. The treatment of pixels without label is ours: between two
    classes, as in trimaps, they hide the outline, which is taken to run half way, and may be off by as much
    more as the nearest labelled pixel is far. Predictions at them, or within the tolerance of them, count
    where they agree and are left out where they do not. ShapeError where the two differ in height or width.
    """
    from scipy.ndimage import distance_transform_edt, maximum_filter  # half a second, and few ask for it

    given, true = same_shape(predicted, labels)
    known = true != IGNORE
    tolerance = tolerance_frac * float(np.hypot(*true.shape))
    whole, slack = true, np.full(true.shape, tolerance, np.float32)
    if known.any() and not known.all():
        to_known, nearest = distance_transform_edt(~known, return_indices=True)
        whole = true[tuple(nearest)]
        radius = int(tolerance)
        rows, columns = np.mgrid[-radius : radius + 1, -radius : radius + 1]
        disc = abs(columns) <= np.rint(np.sqrt(radius**2 - rows**2))
        slack = (tolerance + maximum_filter(to_known, footprint=disc, mode="constant")).astype(np.float32)
    scores = np.full(num_classes, np.nan)
    for number in np.union1d(true[known], given[known]):
        if number < num_classes:
            scores[number] = _f1(_outline(whole == number), _outline(given == number), slack, tolerance)
    return scores


def _f1(
    wanted: Int64[ndarray, "n 2"],
    found: Int64[ndarray, "m 2"],
    slack: Float32[ndarray, "H W"],
    tolerance: float,
) -> float:
    """Return the F1 of one outline, which may be off by the slack at each pixel; NaN of nothing."""
    from scipy.spatial import KDTree

    wanted_slack, certain = slack[tuple(wanted.T)], slack[tuple(found.T)] <= np.float32(tolerance)
    if not len(wanted) or not len(found):
        return 0.0 if len(wanted) or certain.any() else float("nan")
    farthest = float(wanted_slack.max()) + 1
    far, nearest = KDTree(wanted).query(found, distance_upper_bound=farthest)  # infinite beyond
    right = far.astype(np.float32) <= wanted_slack[np.minimum(nearest, len(wanted) - 1)]
    far, _ = KDTree(found).query(wanted, distance_upper_bound=farthest)
    num_met = np.count_nonzero(far.astype(np.float32) <= wanted_slack)
    if not right.any() or not num_met:
        return 0.0
    precision, recall = right.sum() / (right | certain).sum(), num_met / len(wanted)
    return 2 * precision * recall / (precision + recall)


def _outline(inside: Bool[ndarray, "H W"]) -> Int64[ndarray, "n 2"]:
    """Return the pixels inside that touch one outside by a side; the image's frame is no outline."""
    framed = np.pad(inside, 1, mode="edge")
    surrounded = framed[:-2, 1:-1] & framed[2:, 1:-1] & framed[1:-1, :-2] & framed[1:-1, 2:]
    return np.argwhere(inside & ~surrounded)
