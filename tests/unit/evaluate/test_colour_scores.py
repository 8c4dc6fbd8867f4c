"""Scores of colours: CIEDE2000 by its published pairs, errors by hand, probabilities held to torchmetrics."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_erosion, distance_transform_edt
from skimage.color import deltaE_ciede2000
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassCalibrationError,
    MulticlassF1Score,
    MulticlassJaccardIndex,
)

from pixelwise.colour.palette import IGNORE
from pixelwise.colour.spaces import srgb_to_lab
from pixelwise.errors import DataError, LabelError, ShapeError
from pixelwise.evaluate.calibration import calibration_bins, class_scores
from pixelwise.evaluate.colour_scores import PhotoColours, ciede2000, colour_scores, colourfulness
from pixelwise.evaluate.intervals import interval, resampled_sums
from pixelwise.evaluate.segmentation import ImageCounts, SegmentationScores, boundary_f1
from pixelwise.labels.class_names import FLOWER, ClassNames
from pixelwise.labels.confusion import Confusion

PAIRS = np.loadtxt(Path(__file__).with_name("sharma2005.txt")).T
"""Pairs of Lab colours and their CIEDE2000. Source: Sharma et al. 2005, doi:10.1002/col.20070, table 1."""

GREY, RED = (np.zeros((3, 4, 6), np.uint8) for _ in range(2))
RED[0] = 255


def test_ciede2000_is_as_published_either_way_round():
    assert PAIRS.shape == (7, 34)
    for lab, other in ((PAIRS[:3], PAIRS[3:6]), (PAIRS[3:6], PAIRS[:3])):
        np.testing.assert_allclose(ciede2000(lab, other), PAIRS[6], atol=5e-5)


def test_ciede2000_of_any_colours_is_scikit_images():
    lowest, highest = np.array([[0], [-100], [-100]]), np.array([[100], [100], [100]])
    rng = np.random.default_rng(0)
    lab, other = rng.uniform(lowest, highest, (2, 3, 20_000)).astype(np.float32)
    theirs = deltaE_ciede2000(lab.T.astype(float), other.T.astype(float))
    np.testing.assert_allclose(ciede2000(lab, other), theirs, rtol=1e-3, atol=1e-3)
    assert not ciede2000(lab, lab).any()


def test_colourfulness_keeps_the_signs_of_its_axes():
    assert colourfulness(GREY) == 0
    assert colourfulness(RED) == pytest.approx(0.3 * math.hypot(255, 127.5))
    half = RED.copy()
    half[:, 2:] = np.array([0, 255, 0])[:, None, None]  # red beside green
    # red less green is 255 and -255 there: by absolute values they would not spread at all
    assert colourfulness(half) == pytest.approx(255 + 0.3 * 127.5)


def test_errors_of_ab_are_those_of_the_formulas():
    _, a, b = srgb_to_lab(RED / 255)[:, 0, 0]
    assert PhotoColours.of(GREY, RED).ab_rmse == pytest.approx(math.hypot(a, b))
    same = PhotoColours.of(RED, RED)
    assert (same.ciede2000, same.ab_rmse) == (0, 0)
    assert same.colourfulness == same.original_colourfulness == colourfulness(RED)


def photo(rmse, colour, **classes):
    return PhotoColours(
        ciede2000=rmse / 2, ab_rmse=rmse, colourfulness=colour, original_colourfulness=40.0, **classes
    )


def test_a_set_has_the_root_of_the_mean_square_and_the_ratio_of_means():
    classes = class_scores(np.array([[3.0, 0.0], [3.0, 0.0]]), np.array([0, 1]))
    scores = colour_scores([photo(6.0, 10.0, **classes), photo(8.0, 30.0, **classes)])
    values = {name: one.value for name, one in scores.items()}
    assert values == pytest.approx(
        {
            "ciede2000": 3.5,
            "ab_rmse": math.sqrt(50),
            "colourfulness": 20,
            "colourfulness_ratio": 0.5,
            "top1_accuracy": 50,
            "top5_accuracy": 100,
            "cross_entropy": classes["cross_entropy"],
        }
    )
    assert (scores["ab_rmse"].low, scores["ab_rmse"].high) == pytest.approx((6, 8))
    assert math.isnan(colour_scores([photo(6.0, 10.0)])["cross_entropy"].value)
    with pytest.raises(DataError, match="none"):
        colour_scores([])


def test_accuracies_and_cross_entropy_are_those_of_torchmetrics_and_torch():
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(4000, 12, generator=generator)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    scores = class_scores(logits.numpy(), labels.numpy())
    for name, top in (("top1", 1), ("top5", 5)):
        theirs = MulticlassAccuracy(12, top_k=top, average="micro")(logits, labels)
        assert scores[name] == pytest.approx(theirs.item(), abs=1e-6)
    loss = torch.nn.functional.cross_entropy(logits, labels)
    assert scores["cross_entropy"] == pytest.approx(loss.item(), rel=1e-5)
    with pytest.raises(ShapeError, match="0 for 0"):
        class_scores(np.zeros((0, 12)), np.zeros(0, int))


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
        insides = (labels == number, given == number)
        wanted, found = (inside & ~binary_erosion(inside, border_value=1) for inside in insides)
        reach = 0.03 * math.hypot(*labels.shape)
        precision, recall = (
            (distance_transform_edt(~other)[one] <= reach).mean()
            for one, other in ((found, wanted), (wanted, found))
        )
        assert f1[number] == pytest.approx(2 * precision * recall / (precision + recall))


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


def test_of_one_picture_there_is_no_interval():
    found = interval(resampled_sums(np.array([[3.0]]), seed=0)[:, 0])
    assert found.to_dict() == {"value": 3, "low": None, "high": None}


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
