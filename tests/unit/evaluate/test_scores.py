"""Scores of a segmentation: held to torchmetrics, with intervals that mean what they say."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt
from torchmetrics.classification import MulticlassCalibrationError, MulticlassF1Score, MulticlassJaccardIndex

from pixelwise.colour.palette import IGNORE
from pixelwise.errors import DataError, LabelError, ShapeError
from pixelwise.evaluate.calibration import calibration_bins
from pixelwise.evaluate.intervals import interval, resampled_sums
from pixelwise.evaluate.segmentation import ImageCounts, SegmentationScores, boundary_f1
from pixelwise.labels.class_names import FLOWER, ClassNames
from pixelwise.labels.confusion import Confusion

FOUR = ClassNames(("background", "flower", "leaf", "sky"))


def some(num=6, classes=4, size=(20, 30), seed=0):
    """Labels, of which some are void, probabilities, and the likeliest classes, right half of the time."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (num, *size), generator=generator).byte()
    logits = torch.randn(num, classes, *size, generator=generator)
    logits.scatter_add_(1, labels[:, None].long(), torch.ones(num, 1, *size))
    labels[:, 3:6] = IGNORE
    return labels, logits.softmax(1), logits.argmax(1).byte()


@pytest.mark.parametrize("classes", [2, 4, 21])
def test_scores_are_those_of_torchmetrics(classes):
    labels, probs, given = some(classes=classes)
    arrays = zip(given.numpy(), labels.numpy(), probs.numpy(), strict=True)
    images = [ImageCounts.of(own, true, classes, probs=shares) for own, true, shares in arrays]
    scores = SegmentationScores.of(images, ClassNames(tuple(f"c{i}" for i in range(classes))))
    options = {"num_classes": classes, "average": None, "ignore_index": IGNORE}
    iou = MulticlassJaccardIndex(**options)(given.long(), labels.long()).numpy()
    dice = MulticlassF1Score(**options)(given.long(), labels.long()).numpy()
    np.testing.assert_allclose([one.value for one in scores.iou.values()], iou, rtol=1e-6)
    np.testing.assert_allclose([one.value for one in scores.dice.values()], dice, rtol=1e-6)
    assert scores.miou.value == pytest.approx(iou.mean(), rel=1e-6)
    known = labels.flatten() != IGNORE
    flat = probs.movedim(1, -1).reshape(-1, classes)[known]
    theirs = MulticlassCalibrationError(classes, n_bins=15, norm="l1")(flat, labels.flatten()[known].long())
    assert scores.calibration_error.value == pytest.approx(theirs.item(), rel=1e-5)


def test_outlines_agree_within_exact_distances():
    """Against distance transforms of the whole picture."""
    rng = np.random.default_rng(0)
    labels, given = (np.kron(rng.random((12, 15)) > 0.6, np.ones((5, 5))).astype(np.uint8) for _ in range(2))
    f1 = boundary_f1(given, labels, 2, tolerance_frac=0.03)
    for number in range(2):
        wanted, found = (_outline(one == number) for one in (labels, given))
        reach = 0.03 * math.hypot(*labels.shape)
        precision, recall = (
            (distance_transform_edt(~other)[one] <= reach).mean()
            for one, other in ((found, wanted), (wanted, found))
        )
        assert f1[number] == pytest.approx(2 * precision * recall / (precision + recall))


def _outline(inside):
    touches = np.zeros_like(inside)
    touches[1:] |= ~inside[:-1]
    touches[:-1] |= ~inside[1:]
    touches[:, 1:] |= ~inside[:, :-1]
    touches[:, :-1] |= ~inside[:, 1:]
    return inside & touches


def test_sums_over_draws_are_sums_of_whole_images():
    counts = np.array([[1, 10], [2, 20], [4, 40]])
    sums = resampled_sums(counts, seed=3, num_resamples=500)
    assert sums[0].tolist() == [7, 70]
    assert (sums[1:] == counts[np.random.default_rng(3).integers(3, size=(500, 3))].sum(1)).all()
    assert (resampled_sums(counts, 4, 500) != sums).any()


def test_an_interval_is_as_wide_as_the_mean_of_so_many_varies():
    values = np.random.default_rng(0).normal(size=400)
    sums = resampled_sums(np.stack([values, np.ones(400)], 1), seed=0)
    found = interval(sums[:, 0] / sums[:, 1])
    assert found.value == pytest.approx(values.mean())
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * values.std() / math.sqrt(400), rel=0.1)


LABELS = np.array([[0, 1], [1, IGNORE]], np.uint8)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("refused", "error", "value"),
    [
        (lambda: Confusion.of(np.zeros((3, 2), np.uint8), LABELS, 2), ShapeError, r"\(3, 2\)"),
        (lambda: boundary_f1(np.zeros((3, 2), np.uint8), LABELS, 2), ShapeError, r"\(3, 2\)"),
        (lambda: Confusion.of(LABELS, np.array([[0, 2], [1, 1]], np.uint8), 2), LabelError, "labels.* 2"),
        (lambda: Confusion.of(LABELS, LABELS * 0, 2), LabelError, "classes.* 255"),
        (lambda: Confusion.of(LABELS, LABELS, 2) + Confusion.of(LABELS, LABELS, 3), ShapeError, "2 and 3"),
        (lambda: SegmentationScores.of([], FLOWER), DataError, "none"),
        (lambda: SegmentationScores.of([ImageCounts.of(LABELS, LABELS, 2)], FOUR), ShapeError, "4 .* 2"),
        (lambda: calibration_bins(np.zeros((2, 2, 3)), LABELS), ShapeError, r"\(2, 3\)"),
        (lambda: calibration_bins(np.full((2, 2, 2), 3.0), LABELS), LabelError, "3 to 3"),
    ],
)
def test_what_cannot_be_scored_is_refused(refused, error, value):
    with pytest.raises(error, match=value):
        refused()
