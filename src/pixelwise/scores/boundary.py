"""Boundary F1: how well the outlines of classes agree, within a few pixels.

It takes much longer than counting pixels, so it is asked for apart.

Source: Csurka, Larlus, Perronnin 2013, What is a good evaluation measure for semantic segmentation?, BMVC:
precision and recall of boundary pixels within 0.75 % of the image's diagonal, joined to F1 for each class and
image, then averaged over images. What pixels without label do to it is ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Float64, Shaped, UInt8
from numpy import ndarray

from pixelwise.labelspace import IGNORE
from pixelwise.scores.confusion import LabelImage, ratio, same_shape

TOLERANCE_FRAC = 0.0075
"""How far apart outlines may lie and still agree, as a share of the image's diagonal."""

_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)


@dataclass(frozen=True, eq=False)
class Boundary:
    """F1 of outlines, class by class: sums over images, and how many images had such an outline."""

    sums: Float64[ndarray, "2 K"]

    @staticmethod
    def of(predicted: LabelImage, labels: LabelImage, num_classes: int) -> Boundary:
        """Sums of one image.

        Raises:
            ShapeError: the two differ in height or width.
        """
        f1 = boundary_f1(predicted, labels, num_classes)
        return Boundary(np.stack([np.nan_to_num(f1), ~np.isnan(f1)]).astype(np.float64))

    def __add__(self, other: Boundary) -> Boundary:
        return Boundary(self.sums + other.sums)

    @property
    def f1(self) -> Float64[ndarray, " K"]:
        """Mean F1 of each class over the images that have such an outline; NaN where none has."""
        return f1_of(self.sums)


def f1_of(sums: Float64[ndarray, "*any 2 K"]) -> Float64[ndarray, "*any K"]:
    """Mean F1 of each class, of `Boundary.sums`."""
    return ratio(sums[..., 0, :], sums[..., 1, :])


def boundary_f1(
    predicted: LabelImage, labels: LabelImage, num_classes: int, tolerance_frac: float = TOLERANCE_FRAC
) -> Float64[ndarray, " K"]:
    """F1 of each class's outline in one image; NaN for a class that has none, in truth or as predicted.

    An outline is where pixels of a class touch pixels of another. Pixels without label between two classes
    hide their outline, as in trimaps: it is taken to run half way, and may be off by as much more as the
    nearest labelled pixel is far. What was predicted at pixels without label, or within the tolerance of
    them, counts where it agrees and is left out where it does not.

    Raises:
        ShapeError: the two differ in height or width.
    """
    given, true = same_shape(predicted, labels)
    known = true != IGNORE
    reach = tolerance_frac * float(np.hypot(*true.shape))
    whole, slack = _half_way(true, known, reach)
    scores = np.full(num_classes, np.nan)
    for number in np.union1d(np.unique(true[known]), np.unique(given[known])):
        if number < num_classes:
            scores[number] = _f1(_outline(whole == number), _outline(given == number), slack, reach)
    return scores


def _half_way(
    true: UInt8[ndarray, "H W"], known: Bool[ndarray, "H W"], reach: float
) -> tuple[UInt8[ndarray, "H W"], Float32[ndarray, "H W"]]:
    """Labels grown into pixels without, and how far off an outline may be that runs through each pixel."""
    if known.all() or not known.any():
        return true, np.full(true.shape, reach, np.float32)
    side = 2 * int(reach) + 1
    around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return _from_nearest(true, known), reach + cv2.dilate(_distance(known), around)


def _f1(
    wanted: Bool[ndarray, "H W"], found: Bool[ndarray, "H W"], slack: Float32[ndarray, "H W"], reach: float
) -> float:
    """Harmonic mean of precision and recall; NaN where there is nothing to find and nothing wrong."""
    right = found & (_distance(wanted) <= _from_nearest(slack, wanted))
    judged = right | found & (slack <= reach)
    num_wanted, num_judged = np.count_nonzero(wanted), np.count_nonzero(judged)
    if not num_wanted and not num_judged:
        return float("nan")
    num_right, num_met = np.count_nonzero(right), np.count_nonzero(wanted & (_distance(found) <= slack))
    if not num_right or not num_met:
        return 0.0
    precision, recall = num_right / num_judged, num_met / num_wanted
    return 2 * precision * recall / (precision + recall)


def _from_nearest(values: Shaped[ndarray, "H W"], sources: Bool[ndarray, "H W"]) -> Shaped[ndarray, "H W"]:
    """At each pixel the value of the nearest source; the values themselves where that changes nothing."""
    if not sources.any() or (values == values.flat[0]).all():
        return values
    target = (~sources).astype(np.uint8)
    _, nearest = cv2.distanceTransformWithLabels(target, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    value_of = np.zeros(nearest.max() + 1, values.dtype)
    value_of[nearest[sources]] = values[sources]
    return value_of[nearest]


def _outline(inside: Bool[ndarray, "H W"]) -> Bool[ndarray, "H W"]:
    """Pixels inside that touch one outside by a side; the image's frame is no outline."""
    return inside & (cv2.dilate((~inside).astype(np.uint8), _CROSS) > 0)


def _distance(targets: Bool[ndarray, "H W"]) -> Float32[ndarray, "H W"]:
    """Distance in pixels from each pixel to the nearest target, exact; infinite where there is none."""
    if not targets.any():
        return np.full(targets.shape, np.inf, np.float32)
    return cv2.distanceTransform((~targets).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
