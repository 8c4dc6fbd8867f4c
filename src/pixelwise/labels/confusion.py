"""Counts of classes, and what follows: weights of rare ones, intersection over union and its kin."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from pixelwise.colour.arrays import Float64, Int64, Integer, Shaped, UInt8
from pixelwise.colour.palette import IGNORE
from pixelwise.errors import LabelError, ShapeError

LabelArray = UInt8[ndarray, "H W"]  # the class of each pixel, or IGNORE


@dataclass(frozen=True, eq=False)
class Confusion:
    """Counts of labelled pixels by the class they have and the class they were given."""

    counts: Int64[ndarray, "K K"]  # row: the class a pixel has; column: the class it was given

    @staticmethod
    def of(predicted: LabelArray, labels: LabelArray, num_classes: int) -> Confusion:
        """Count the pixels of one image, without those whose label is IGNORE.

        ShapeError where the two differ in height or width; LabelError where a label is neither a class nor
        IGNORE, or a labelled pixel was given no class.
        """
        given, true = same_shape(predicted, labels)
        # both bytes in one number: a single pass, with no branch on what is ignored
        pairs = count_values(given.astype(np.uint16) << 8 | true, 256 * num_classes)
        counts = np.append(pairs, np.zeros(-len(pairs) % 256, np.int64)).reshape(-1, 256).T
        known = counts[:num_classes, :num_classes]
        if known.sum() + counts[IGNORE].sum() != true.size:
            last, labelled = num_classes - 1, counts[:IGNORE]
            if len(foreign := np.flatnonzero(labelled[num_classes:].any(1))):
                raise LabelError(f"needed labels 0 to {last} or {IGNORE}, got {num_classes + foreign[0]}")
            foreign = np.flatnonzero(labelled[:, num_classes:].any(0))
            raise LabelError(f"needed classes 0 to {last} for labels, got {num_classes + foreign[0]}")
        return Confusion(known.copy())  # without the rows of labels that there are not

    def __add__(self, other: Confusion) -> Confusion:
        ours, theirs = len(self.counts), len(other.counts)
        if ours != theirs:
            raise ShapeError(f"needed counts of as many classes, got {ours} and {theirs}")
        return Confusion(self.counts + other.counts)

    @property
    def overlaps(self) -> Int64[ndarray, "3 K"]:
        """For each class: pixels that have it and were given it, that have it, that were given it."""
        return np.stack([self.counts.diagonal(), self.counts.sum(1), self.counts.sum(0)])

    @property
    def iou(self) -> Float64[ndarray, " K"]:
        """Intersection over union of each class; NaN for one that no pixel has and none was given."""
        return iou_of(self.overlaps)

    @property
    def miou(self) -> float:
        """Mean intersection over union of the classes that have one; NaN where none has."""
        return float(mean_of_known(self.iou))


def count_values(values: Integer[ndarray, "*shape"], num: int) -> Int64[ndarray, " num"]:
    """Return how often each of `num` numbers, or more if there are larger ones, is among values."""
    flat = values.ravel()
    begins = np.ones(flat.shape, bool)  # of runs of equal ones, which are counted at once
    np.not_equal(flat[1:], flat[:-1], out=begins[1:])
    starts = np.flatnonzero(begins)
    if len(starts) > len(flat) // 4:
        return np.bincount(flat, minlength=num)
    lengths = np.diff(starts, append=len(flat))
    return np.bincount(flat[starts], lengths, num).astype(np.int64)  # exact below 2^53


def iou_of(overlaps: Shaped[ndarray, "*any 3 K"]) -> Float64[ndarray, "*any K"]:
    """Return the intersection over union of each class, from `Confusion.overlaps`."""
    both, true, given = np.moveaxis(overlaps, -2, 0)
    return ratio(both, true + given - both)


def mean_of_known(scores: Float64[ndarray, "*any K"]) -> Float64[ndarray, "*any"]:
    """Return the mean over the classes that have a score; NaN where none has."""
    known = ~np.isnan(scores)
    return ratio(scores.sum(-1, where=known), known.sum(-1))


def ratio(part: ndarray | np.generic, whole: ndarray | np.generic) -> Float64[ndarray, "*any"]:
    """Return part over whole; NaN where the whole is nothing."""
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=np.asarray(whole) > 0)


def class_counts(labels: Iterable[UInt8[ndarray, "..."]], num_classes: int) -> Float64[ndarray, " K"]:
    """Return the number of pixels of each class."""
    counts = [count_values(part, IGNORE + 1)[:num_classes] for part in labels]
    return np.array(counts, np.float64).sum(0)


def weights_of(counts: Float64[ndarray, " K"], rebalance: float) -> Float64[ndarray, " K"]:
    """Return weights that make rare classes count more, of mean 1 over all pixels.

    With p the frequencies of the K classes, a weight is 1 / ((1 - r) / K + r p) times a constant, r being
    `rebalance`, above 0 and at most 1. Source: R. Zhang et al., arXiv:1603.08511, equation 4, lambda = 1 - r.
    """
    freqs = counts / counts.sum()
    weights = 1 / ((1 - rebalance) / len(counts) + rebalance * freqs).clip(1e-9)
    weights[counts == 0] = 0  # or a class that is never seen would have all the weight
    return np.asarray(weights / (freqs * weights).sum())


def same_shape(predicted: LabelArray, labels: LabelArray) -> tuple[ndarray, ndarray]:
    """Return both as arrays; ShapeError if they differ in height or width."""
    given, true = np.asarray(predicted), np.asarray(labels)
    if given.shape != true.shape:
        remedy = "bring predictions to the labels' size, and leave the labels as they are"
        raise ShapeError(f"needed a class for each pixel of labels {true.shape}, got {given.shape}; {remedy}")
    return given, true
