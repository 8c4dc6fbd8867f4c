"""Segmentations without a network: the commonest class, and colour alone, learned from labelled photos."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable

import numpy as np
import torch
from jaxtyping import Float64, Int64, UInt8
from numpy import ndarray
from scipy.ndimage import gaussian_filter

from pixelwise.colour.palette import IGNORE
from pixelwise.colour.spaces import srgb_to_lab
from pixelwise.errors import DataError, ShapeError

Codes = UInt8[ndarray, "H W 3"]
"""A photo in sRGB codes, 0 to 255."""
Labels = UInt8[ndarray, "H W"]
"""The class of each pixel, or IGNORE."""
Baseline = Callable[[Codes], Labels]
"""Gives each pixel of a photo a class."""

_BINS = 32  # of each channel of Lab, so that a few photos fill the bins around their colours
_BLUR = 1.0  # bins; colours next to those seen are likely of the same class
_CODES = 256


def learn_baselines(shots: Iterable[tuple[Codes, Labels]], num_classes: int) -> dict[str, Baseline]:
    """Learn baselines in one pass over labelled photos; pixels whose label is IGNORE count for nothing.

    `majority` is the commonest class; `colour histogram` the class that a colour most often had, by Bayes'
    rule over bins of Lab; `colour threshold`, for two classes, one threshold on one channel of Lab.

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
    counts = by_bin.reshape(-1, _BINS, _BINS, _BINS).astype(np.float64)
    blurred = gaussian_filter(counts, sigma=(0, _BLUR, _BLUR, _BLUR))
    # colours far from any seen get the commonest class; elsewhere this weighs next to nothing
    prior = by_bin.sum(1) / by_bin.sum()
    table = (blurred + 1e-6 * prior[:, None, None, None]).argmax(0).astype(np.uint8)
    learned: dict[str, Baseline] = {
        "majority": functools.partial(_by_majority, int(by_bin.sum(1).argmax())),
        "colour histogram": functools.partial(_by_histogram, table),
    }
    if num_classes == 2:
        learned["colour threshold"] = functools.partial(_by_threshold, *best_threshold(by_code))
    return learned


def best_threshold(by_code: Int64[ndarray, "2 3 codes"]) -> tuple[int, int, int]:
    """Return the channel, the threshold and the class above it that give the best mean IoU.

    `by_code` counts the pixels of each class by the code of each channel.
    """
    below = by_code.cumsum(-1) - by_code  # pixels of each class below each value of each channel
    at_least = by_code.sum(-1, keepdims=True) - below
    best = [
        _mean_iou(at_least[above], at_least[1 - above], below[1 - above], below[above]) for above in (0, 1)
    ]
    above, channel, threshold = (int(each) for each in np.unravel_index(np.argmax(best), np.shape(best)))
    return channel, threshold, above


def _by_majority(label: int, photo: Codes) -> Labels:
    return np.full(photo.shape[:2], label, np.uint8)


def _by_histogram(table: UInt8[ndarray, "32 32 32"], photo: Codes) -> Labels:
    return table.ravel()[_bins(_lab(photo))]


def _by_threshold(channel: int, threshold: int, above: int, photo: Codes) -> Labels:
    return np.where(_lab(photo)[..., channel] >= threshold, above, 1 - above).astype(np.uint8)


def _mean_iou(
    right: ndarray, wrong: ndarray, other_right: ndarray, other_wrong: ndarray
) -> Float64[ndarray, "..."]:
    """Return the mean over two classes, of pixels given each, rightly and wrongly."""
    errors = wrong + other_wrong
    return (right / np.maximum(1, right + errors) + other_right / np.maximum(1, other_right + errors)) / 2


def _lab(photo: Codes) -> UInt8[ndarray, "H W 3"]:
    """Return Lab in codes of 8 bits: L * 255 / 100, a + 128, b + 128."""
    light, a, b = srgb_to_lab(torch.from_numpy(photo).movedim(-1, 0).float() / 255)
    return torch.stack([light * 2.55, a + 128, b + 128], -1).round().clamp(0, 255).byte().numpy()


def _bins(lab: UInt8[ndarray, "*pixels 3"]) -> Int64[ndarray, "*pixels"]:
    """Return the number of each colour's bin."""
    steps = lab // (_CODES // _BINS)
    return np.ravel_multi_index(tuple(np.moveaxis(steps, -1, 0)), (_BINS, _BINS, _BINS))


def _joint(classes: ndarray, values: ndarray, shape: tuple[int, int]) -> Int64[ndarray, "K values"]:
    """Count the pixels that have each class and value."""
    index = classes.astype(np.int64) * shape[1] + values
    return np.bincount(index, minlength=shape[0] * shape[1]).reshape(shape)
