"""Scores counted by hand, pixel by pixel, on pictures small enough to look at."""

import math

import numpy as np
import pytest

from pixelwise.colour.palette import IGNORE
from pixelwise.evaluate.calibration import calibration_bins, calibration_error
from pixelwise.evaluate.segmentation import ImageCounts, SegmentationScores, boundary_f1
from pixelwise.labels.class_names import FLOWER, ClassNames
from pixelwise.labels.confusion import Confusion

V = IGNORE
CLASSES = ClassNames(("background", "flower", "leaf"))


def image(*rows):
    return np.array(rows, np.uint8)


def test_every_score_of_a_picture_of_twelve_pixels():
    labels = image([0, 0, 1, 1], [0, 0, 1, V], [2, 2, 1, V])
    given = image([0, 1, 1, 1], [0, 0, 0, 1], [2, 1, 1, 0])
    confusion = Confusion.of(given, labels, 3)
    # background: 3 of 4 found, 1 false; flower: 3 of 4 found, 2 false; leaf: 1 of 2 found
    assert confusion.counts.tolist() == [[3, 1, 0], [1, 3, 0], [0, 1, 1]]
    assert confusion.counts.sum() == 10
    assert confusion.iou.tolist() == pytest.approx([3 / 5, 3 / 6, 1 / 2])
    assert confusion.miou == pytest.approx((3 / 5 + 3 / 6 + 1 / 2) / 3)
    scores = SegmentationScores.of([ImageCounts(confusion)], CLASSES).to_dict()
    assert list(scores["dice"].values()) == pytest.approx([6 / 8, 6 / 9, 2 / 3])
    assert scores["pixel_accuracy"] == pytest.approx(7 / 10)


def test_a_class_in_neither_is_left_out_of_the_mean_and_one_wrongly_given_is_not():
    labels = image([0, 0, 1, 1])
    assert Confusion.of(labels, labels, 5).miou == 1
    given = image([0, 0, 1, 4])
    assert Confusion.of(given, labels, 5).iou.tolist()[:2] == [1, 0.5]
    assert Confusion.of(given, labels, 5).miou == pytest.approx((1 + 0.5 + 0) / 3)


def test_void_alone_has_no_score():
    nothing = Confusion.of(image([0, 1, 1]), image([V, V, V]), 2)
    assert nothing.counts.sum() == 0
    assert np.isnan(nothing.iou).all()
    assert math.isnan(nothing.miou)
    assert math.isnan(SegmentationScores.of([ImageCounts(nothing)], FLOWER).pixel_accuracy.value)


def test_void_is_no_background():
    """The originals took pixels without label for background."""
    labels = image([1, 1, V, V, 0, 0])
    flower_over_void, rest_over_void = image([1, 1, 1, 1, 0, 0]), image([1, 1, 0, 0, 0, 0])
    assert Confusion.of(flower_over_void, labels, 2).iou.tolist() == [1, 1]
    assert Confusion.of(rest_over_void, labels, 2).iou.tolist() == [1, 1]


def square(side, row, column, height, width):
    """A picture of zeros with a rectangle of ones."""
    labels = np.zeros((side, side), np.uint8)
    labels[row : row + height, column : column + width] = 1
    return labels


def test_an_outline_moved_within_the_tolerance_agrees_and_beyond_it_does_not():
    labels = square(100, 30, 30, 20, 20)  # diagonal 141.4, so the tolerance is 1.06 pixels
    assert boundary_f1(labels, labels, 2).tolist() == [1, 1]
    assert boundary_f1(square(100, 30, 31, 20, 20), labels, 2).tolist() == [1, 1]
    assert boundary_f1(square(100, 30, 30, 20, 20), labels, 3).tolist()[:2] == [1, 1]
    # two columns on, exactly: of 76 boundary pixels each, the two outlines share
    moved = boundary_f1(square(100, 30, 32, 20, 20), labels, 2, tolerance_frac=0.5 / 141.4)
    both = 2 * 18  # columns 32 to 49 of the first row, and of the last
    assert moved[1] == pytest.approx(both / 76)


def test_precision_and_recall_of_an_outline_by_hand():
    """A line of 10 pixels, of which 4 were found, beside 2 that are nowhere near one."""
    labels, given = np.zeros((21, 21), np.uint8), np.zeros((21, 21), np.uint8)
    labels[5, 5:15] = 1
    given[5, 5:9] = 1
    given[15, 15:17] = 1
    precision, recall = 4 / 6, 4 / 10
    f1 = boundary_f1(given, labels, 2, tolerance_frac=0.0)[1]
    assert f1 == pytest.approx(2 * precision * recall / (precision + recall))


def test_an_outline_in_a_band_without_labels_may_be_anywhere_in_it():
    """A flower of 20 x 20 in a band of 6 pixels without label; the tolerance is 0.64 pixels."""
    labels = square(60, 20, 20, 20, 20)
    band = square(60, 14, 14, 32, 32) - labels
    labels[band == 1] = V
    for grown in range(7):  # from the band's inner edge to its outer one
        given = square(60, 20 - grown, 20 - grown, 20 + 2 * grown, 20 + 2 * grown)
        assert boundary_f1(given, labels, 2)[1] > 0.98
    assert boundary_f1(square(60, 9, 9, 42, 42), labels, 2)[1] == 0
    assert boundary_f1(square(60, 27, 27, 6, 6), labels, 2)[1] == 0
    assert boundary_f1(square(60, 0, 0, 0, 0), labels, 2).tolist() == [0, 0]  # there is one somewhere


def test_an_outline_where_nobody_knows_of_any_is_left_out():
    labels = np.zeros((60, 60), np.uint8)
    labels[:, 20:] = V
    assert np.isnan(boundary_f1(square(60, 30, 30, 20, 20), labels, 2)).all()
    known = boundary_f1(square(60, 30, 5, 20, 10), labels, 2)
    assert known.tolist() == [0, 0]


def test_the_calibration_error_is_the_gap_between_sure_and_right():
    # two pixels 90 % sure, one of them right; two 60 % sure, both right; one without label
    sure = np.array([[[0.9, 0.9, 0.6, 0.6, 0.9]]])
    probabilities = np.concatenate([sure, 1 - sure])
    labels = image([0, 1, 0, 0, V])
    bins = calibration_bins(probabilities, labels)
    assert calibration_error(bins) == pytest.approx((2 * abs(0.5 - 0.9) + 2 * abs(1 - 0.6)) / 4)
    assert bins[0].nonzero()[0].tolist() == [9, 13]
    certain = calibration_bins(np.array([[[1.0]], [[0.0]]]), image([0]))
    assert calibration_error(certain) == 0
    assert certain[0, -1] == 1
    assert math.isnan(calibration_error(calibration_bins(np.full((2, 1, 1), 0.5), image([V]))))
