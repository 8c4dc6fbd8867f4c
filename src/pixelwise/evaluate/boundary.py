"""Boundary F1: how well the outlines of classes agree, within a few pixels.

Source: Csurka, Larlus, Perronnin 2013, What is a good evaluation measure for semantic segmentation?, BMVC:
precision and recall of boundary pixels within 0.75 % of the image's diagonal, joined to F1 for each class and
image, then averaged over images. The treatment of pixels without label is ours.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64
from numpy import ndarray
from scipy.ndimage import binary_erosion, distance_transform_edt, maximum_filter
from scipy.spatial import KDTree

from pixelwise.colour.palette import IGNORE
from pixelwise.labels.confusion import LabelImage, same_shape

TOLERANCE_FRAC = 0.0075  # of the image's diagonal: the distance at which outlines still agree


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
    return np.argwhere(inside & ~binary_erosion(inside, border_value=1))
