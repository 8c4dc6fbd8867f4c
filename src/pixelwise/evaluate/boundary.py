"""Boundary F1: how well the outlines of classes agree, within a few pixels.

Source: Csurka, Larlus, Perronnin 2013, What is a good evaluation measure for semantic segmentation?, BMVC:
precision and recall of boundary pixels within 0.75 % of the image's diagonal, joined to F1 for each class and
image, then averaged over images. The treatment of pixels without label is ours.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64
from numpy import ndarray
from scipy.ndimage import distance_transform_edt
from scipy.spatial import KDTree

from pixelwise.colour.palette import IGNORE
from pixelwise.labels.confusion import LabelImage, same_shape

TOLERANCE_FRAC = 0.0075
"""How far apart outlines may lie and still agree, as a share of the image's diagonal."""


def boundary_f1(
    predicted: LabelImage, labels: LabelImage, num_classes: int, tolerance_frac: float = TOLERANCE_FRAC
) -> Float64[ndarray, " K"]:
    """Return the F1 of each class's outline in one image; NaN for a class that has none in either.

    An outline is where pixels of a class touch pixels of another. Pixels without label between two classes
    hide their outline, as in trimaps: it is taken to run half way, and may be off by as much more as the
    nearest labelled pixel is far. Predictions at pixels without label, or within the tolerance of them, count
    where they agree and are left out where they do not.

    Raises:
        ShapeError: the two differ in height or width.
    """
    given, true = same_shape(predicted, labels)
    known = true != IGNORE
    tolerance = tolerance_frac * float(np.hypot(*true.shape))
    whole, to_known = true, np.zeros(true.shape)
    if known.any() and not known.all():
        to_known, nearest = distance_transform_edt(~known, return_indices=True)
        whole = true[tuple(nearest)]
    scores = np.full(num_classes, np.nan)
    for number in np.union1d(np.unique(true[known]), np.unique(given[known])):
        if number < num_classes:
            wanted, found = _outline(whole == number), _outline(given == number)
            scores[number] = _f1(wanted, found, to_known, tolerance)
    return scores


def _f1(
    wanted: Int64[ndarray, "n 2"],
    found: Int64[ndarray, "m 2"],
    to_known: Float64[ndarray, "H W"],
    tolerance: float,
) -> float:
    """Return the F1 of one outline; NaN where nothing is to be found and nothing is wrong."""
    wanted_slack, found_slack = (_slack(points, to_known, tolerance) for points in (wanted, found))
    certain = found_slack <= np.float32(tolerance)
    if not len(wanted) or not len(found):
        return 0.0 if len(wanted) or certain.any() else float("nan")
    farthest = float(wanted_slack.max()) + 1
    far, nearest = KDTree(wanted).query(found, distance_upper_bound=farthest)  # infinite beyond
    right = far.astype(np.float32) <= wanted_slack[np.minimum(nearest, len(wanted) - 1)]
    far, _ = KDTree(found).query(wanted, distance_upper_bound=farthest)
    num_met, num_right = np.count_nonzero(far.astype(np.float32) <= wanted_slack), np.count_nonzero(right)
    if not num_right or not num_met:
        return 0.0
    precision, recall = num_right / np.count_nonzero(right | certain), num_met / len(wanted)
    return 2 * precision * recall / (precision + recall)


def _outline(inside: Bool[ndarray, "H W"]) -> Int64[ndarray, "n 2"]:
    """Return the pixels inside that touch one outside by a side; the image's frame is no outline."""
    padded = np.pad(inside, 1, mode="edge")
    surrounded = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.argwhere(inside & ~surrounded)


def _slack(
    points: Int64[ndarray, "n 2"], to_known: Float64[ndarray, "H W"], tolerance: float
) -> Float32[ndarray, " n"]:
    """Return how far off an outline may be at each point: more where pixels without label are near."""
    slack = np.full(len(points), tolerance, np.float32)
    if to_known.any():
        radius = int(tolerance)
        rows, columns = np.mgrid[-radius : radius + 1, -radius : radius + 1]
        around = np.argwhere(abs(columns) <= np.rint(np.sqrt(radius**2 - rows**2)))
        padded = np.pad(to_known, radius)
        for row, column in around:
            slack = np.maximum(slack, tolerance + padded[points[:, 0] + row, points[:, 1] + column])
    return slack.astype(np.float32)
