"""What scores come to without a network: the commonest class, colour alone, and GrabCut.

A network that does not beat these on the same photos has learned nothing worth having. The first three learn
from the same labelled photos as it does; all read one photo at a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt8
from numpy import ndarray
from scipy.ndimage import gaussian_filter

from pixelwise.errors import DataError, ShapeError
from pixelwise.labelspace import IGNORE

Codes = UInt8[ndarray, "H W 3"]
"""A photo in sRGB codes, 0 to 255."""
Labels = UInt8[ndarray, "H W"]
"""The class of each pixel, or IGNORE."""

_BINS = 32  # of each channel of Lab, so that a few photos fill the bins around their colours
_BLUR = 1.0  # bins; colours next to those seen are likely of the same class
_CODES = 256


@runtime_checkable
class Baseline(Protocol):
    """Gives each pixel of a photo a class."""

    def segment(self, photo: Codes) -> Labels:
        """The class of each pixel."""


@dataclass(frozen=True)
class Majority:
    """Every pixel has the commonest class."""

    label: int

    def segment(self, photo: Codes) -> Labels:
        """That class everywhere."""
        return np.full(photo.shape[:2], self.label, np.uint8)


@dataclass(frozen=True)
class ColourThreshold:
    """One of two classes where one channel of Lab reaches a value, the other elsewhere."""

    channel: int
    """0 for L, 1 for a, 2 for b."""
    threshold: int
    """In codes of 8 bits: L * 255 / 100, a + 128, b + 128."""
    above: int
    """The class of pixels that reach it."""

    def segment(self, photo: Codes) -> Labels:
        """The class by that channel alone."""
        reaches = _lab(photo)[..., self.channel] >= self.threshold
        return np.where(reaches, self.above, 1 - self.above).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class ColourHistogram:
    """Each pixel has the class that its colour most often had: Bayes' rule over bins of Lab."""

    table: UInt8[ndarray, "32 32 32"]
    """The class of each bin of L, a and b."""

    def segment(self, photo: Codes) -> Labels:
        """The class by colour alone."""
        return self.table.ravel()[_bins(_lab(photo))]


@dataclass(frozen=True)
class GrabCut:
    """Class 1 is what colours and edges cut out of a rectangle in the middle of the photo; 0 is the rest.

    It learns from nothing but the photo itself. Large photos are cut at a short side of `side` pixels, and
    what comes out is brought to their size.

    Source: Rother, Kolmogorov, Blake 2004, GrabCut, doi:10.1145/1015706.1015720; OpenCV's.
    """

    margin_frac: float = 0.05
    """How far the rectangle stays away from each side, as a share of it."""
    side: int = 128
    num_rounds: int = 5

    def segment(self, photo: Codes) -> Labels:
        """1 where the foreground is, 0 elsewhere."""
        height, width = photo.shape[:2]
        shrink = min(1.0, self.side / min(height, width))
        size = max(1, round(width * shrink)), max(1, round(height * shrink))
        small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
        cut = self._cut(small).astype(np.uint8)
        return cv2.resize(cut, (width, height), interpolation=cv2.INTER_NEAREST)

    def _cut(self, photo: Codes) -> Bool[ndarray, "H W"]:
        height, width = photo.shape[:2]
        top, left = (max(1, round(side * self.margin_frac)) for side in (height, width))
        marks = np.full((height, width), cv2.GC_BGD, np.uint8)
        marks[top : height - top, left : width - left] = cv2.GC_PR_FGD
        if (marks == cv2.GC_BGD).all():
            return np.ones((height, width), bool)  # too small for a rectangle with something around it
        rest, cut = np.zeros((1, 65)), np.zeros((1, 65))  # OpenCV's room for the two colour models
        cv2.setRNGSeed(0)  # its k-means draws from OpenCV's own generator
        cv2.grabCut(photo, marks, (0, 0, 1, 1), rest, cut, self.num_rounds, cv2.GC_INIT_WITH_MASK)
        return (marks == cv2.GC_FGD) | (marks == cv2.GC_PR_FGD)


def learn_baselines(shots: Iterable[tuple[Codes, Labels]], num_classes: int) -> dict[str, Baseline]:
    """What there is to compare with, by name, learned in one pass over labelled photos.

    `majority` and `colour histogram` for any number of classes; `colour threshold` and `grabcut` for two.
    Pixels whose label is IGNORE teach nothing.

    Raises:
        DataError: no pixel has a label.
        ShapeError: a photo and its labels differ in height or width.
    """
    by_bin = np.zeros((num_classes, _BINS**3), np.int64)
    by_code = np.zeros((num_classes, 3, _CODES), np.int64)
    for photo, labels in shots:
        if photo.shape[:2] != labels.shape:
            raise ShapeError(f"needed labels for a photo of {photo.shape[:2]}, got {labels.shape}")
        known = labels != IGNORE
        lab, classes = _lab(photo)[known], labels[known]
        by_bin += _joint(classes, _bins(lab), by_bin.shape)
        for channel in range(3):
            by_code[:, channel] += _joint(classes, lab[:, channel], (num_classes, _CODES))
    if not by_bin.any():
        raise DataError("needed labelled pixels to learn baselines from, got none")
    learned: dict[str, Baseline] = {
        "majority": Majority(int(by_bin.sum(1).argmax())),
        "colour histogram": _learn_histogram(by_bin),
    }
    if num_classes == 2:
        learned["colour threshold"] = _learn_threshold(by_code)
    return learned | unlearned_baselines(num_classes)


def unlearned_baselines(num_classes: int) -> dict[str, Baseline]:
    """What there is to compare with where there is nothing to learn from: `grabcut`, for two classes."""
    return {"grabcut": GrabCut()} if num_classes == 2 else {}


def _learn_histogram(by_bin: Int64[ndarray, "K bins"]) -> ColourHistogram:
    counts = by_bin.reshape(-1, _BINS, _BINS, _BINS).astype(np.float64)
    blurred = gaussian_filter(counts, sigma=(0, _BLUR, _BLUR, _BLUR))
    # colours far from any seen get the commonest class; elsewhere this weighs next to nothing
    prior = by_bin.sum(1) / by_bin.sum()
    return ColourHistogram((blurred + 1e-6 * prior[:, None, None, None]).argmax(0).astype(np.uint8))


def _learn_threshold(by_code: Int64[ndarray, "2 3 codes"]) -> ColourThreshold:
    """The channel, value and side that give the best mean intersection over union."""
    below = by_code.cumsum(-1) - by_code  # pixels of each class below each value of each channel
    at_least = by_code.sum(-1, keepdims=True) - below
    best = [
        _mean_iou(at_least[above], at_least[1 - above], below[1 - above], below[above]) for above in (0, 1)
    ]
    above, channel, threshold = (int(each) for each in np.unravel_index(np.argmax(best), np.shape(best)))
    return ColourThreshold(channel, threshold, above)


def _mean_iou(
    right: ndarray, wrong: ndarray, other_right: ndarray, other_wrong: ndarray
) -> Float64[ndarray, "..."]:
    """Mean over two classes, of pixels given each, rightly and wrongly; at least one pixel has a label."""
    errors = wrong + other_wrong
    return (right / np.maximum(1, right + errors) + other_right / np.maximum(1, other_right + errors)) / 2


def _lab(photo: UInt8[ndarray, "..."]) -> UInt8[ndarray, "..."]:
    """Lab in codes of 8 bits: exact enough for bins and thresholds, in a millisecond a photo."""
    return cv2.cvtColor(photo, cv2.COLOR_RGB2LAB)


def _bins(lab: UInt8[ndarray, "*pixels 3"]) -> Int64[ndarray, "*pixels"]:
    """Number of each colour's bin."""
    steps = lab // (_CODES // _BINS)
    return np.ravel_multi_index(tuple(np.moveaxis(steps, -1, 0)), (_BINS, _BINS, _BINS))


def _joint(classes: ndarray, values: ndarray, shape: tuple[int, int]) -> Int64[ndarray, "K values"]:
    """How many pixels have each class and value."""
    index = classes.astype(np.int64) * shape[1] + values
    return np.bincount(index, minlength=shape[0] * shape[1]).reshape(shape)
