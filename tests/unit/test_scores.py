"""Scores of a segmentation: held to torchmetrics, quick, with intervals that mean what they say."""

import json
import math
import time

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt
from torchmetrics.classification import MulticlassCalibrationError, MulticlassF1Score, MulticlassJaccardIndex

from pixelwise.classnames import FLOWER, ClassNames
from pixelwise.errors import DataError, LabelError, ShapeError
from pixelwise.labelspace import IGNORE
from pixelwise.scores import (
    Calibration,
    Confusion,
    ImageCounts,
    Interval,
    SegmentationScores,
    boundary_f1,
    interval,
    miou_gain,
    resampled_sums,
)
from pixelwise.scores.boundary import _distance

FOUR = ClassNames(("background", "flower", "leaf", "sky"))


def some(num=6, classes=4, size=(20, 30), seed=0):
    """Labels, of which some are void, probabilities, and the likeliest classes, right half of the time."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (num, *size), generator=generator).byte()
    logits = torch.randn(num, classes, *size, generator=generator)
    logits.scatter_add_(1, labels[:, None].long(), torch.ones(num, 1, *size))
    labels[:, 3:6] = IGNORE
    return labels, logits.softmax(1), logits.argmax(1).byte()


def counts_of(labels, probabilities, given, classes=4):
    return [
        ImageCounts.of(g, y, classes, probabilities=p, with_boundary=True)
        for g, y, p in zip(given, labels, probabilities, strict=True)
    ]


@pytest.mark.parametrize("classes", [2, 4, 21])
def test_overlaps_are_those_of_torchmetrics(classes):
    labels, _, given = some(classes=classes)
    whole = sum(
        (Confusion.of(g, y, classes) for g, y in zip(given, labels, strict=True)), start=zero(classes)
    )
    options = {"num_classes": classes, "average": None, "ignore_index": IGNORE}
    iou = MulticlassJaccardIndex(**options)(given.long(), labels.long())
    dice = MulticlassF1Score(**options)(given.long(), labels.long())
    np.testing.assert_allclose(whole.iou, iou.numpy(), rtol=1e-6)
    np.testing.assert_allclose(whole.dice, dice.numpy(), rtol=1e-6)
    assert whole.miou == pytest.approx(iou.mean().item(), rel=1e-6)


def zero(classes):
    return Confusion(np.zeros((classes, classes), np.int64))


def test_the_mean_leaves_out_absent_classes_as_torchmetrics_does():
    labels, _, given = some(classes=3)
    confusion = Confusion.of(given[0], labels[0], 7)
    macro = MulticlassJaccardIndex(7, average="macro", ignore_index=IGNORE)
    assert confusion.miou == pytest.approx(macro(given[0].long(), labels[0].long()).item(), rel=1e-6)


def test_the_calibration_error_is_that_of_torchmetrics():
    labels, probabilities, _ = some()
    whole = Calibration(np.zeros((3, 15)))
    for p, y in zip(probabilities, labels, strict=True):
        whole += Calibration.of(p, y)
    flat = probabilities.movedim(1, -1).reshape(-1, 4)[labels.flatten() != IGNORE]
    theirs = MulticlassCalibrationError(4, n_bins=15, norm="l1")(flat, labels[labels != IGNORE].long())
    assert whole.error == pytest.approx(theirs.item(), rel=1e-5)


def test_distances_are_exact():
    targets = np.random.default_rng(0).random((60, 70)) > 0.99
    np.testing.assert_allclose(_distance(targets), distance_transform_edt(~targets), atol=1e-4)


def test_tensors_and_arrays_count_alike():
    labels, _, given = some()
    one = Confusion.of(given[0], labels[0], 4).counts
    assert (one == Confusion.of(given[0].numpy(), labels[0].numpy(), 4).counts).all()


def test_a_score_has_the_same_keys_with_and_without_intervals():
    scores = SegmentationScores.of(counts_of(*some()), FOUR)
    told, ranges = scores.to_dict(), scores.intervals()
    assert list(told) == ["iou", "miou", "dice", "pixel_accuracy", "boundary_f1", "calibration_error"]
    assert list(told["iou"]) == list(FOUR.names)
    for name in ("iou", "dice", "boundary_f1"):
        assert told[name] == {c: ranges[name][c]["value"] for c in FOUR.names}
    assert told["miou"] == ranges["miou"]["value"] == scores.miou.value
    assert ranges["miou"]["low"] < told["miou"] < ranges["miou"]["high"]
    assert scores.num_images == 6
    assert json.loads(json.dumps(ranges)) == ranges


def test_what_was_not_counted_is_not_told():
    labels, _, given = some()
    told = SegmentationScores.of([ImageCounts.of(given[0], labels[0], 4)], FOUR).to_dict()
    assert list(told) == ["iou", "miou", "dice", "pixel_accuracy"]
    with_and_without = counts_of(*some())[0] + ImageCounts.of(given[0], labels[0], 4)
    assert with_and_without.boundary is None
    assert with_and_without.calibration is None


def test_a_class_nobody_has_is_null_in_json():
    flower = np.ones((4, 4), np.uint8)
    scores = SegmentationScores.of([ImageCounts.of(flower, flower, 2)], FLOWER)
    assert math.isnan(scores.iou["background"].low)
    assert json.dumps(scores.to_dict()["iou"]) == '{"background": null, "flower": 1.0}'
    assert scores.intervals()["iou"]["background"] == {"value": None, "low": None, "high": None}
    assert scores.miou == Interval(value=1.0, low=1.0, high=1.0)


def test_a_class_of_one_image_keeps_its_interval_though_some_draws_miss_it():
    without, with_it = np.zeros((4, 4), np.uint8), np.eye(4, dtype=np.uint8)
    images = [ImageCounts.of(without, without, 2)] * 3 + [ImageCounts.of(with_it, with_it, 2)]
    assert SegmentationScores.of(images, FLOWER).iou["flower"] == Interval(value=1.0, low=1.0, high=1.0)


def test_sums_over_draws_are_sums_of_whole_images():
    counts = np.array([[1, 10], [2, 20], [4, 40]])
    sums = resampled_sums(counts, seed=3, num_resamples=500)
    assert sums[0].tolist() == [7, 70]
    assert (sums[:, 1] == 10 * sums[:, 0]).all()
    possible = {a + b + c for a in (1, 2, 4) for b in (1, 2, 4) for c in (1, 2, 4)}
    assert set(sums[1:, 0].astype(int)) == possible
    assert (resampled_sums(counts, 3, 500) == sums).all()
    assert (resampled_sums(counts, 4, 500) != sums).any()
    drawn = np.random.default_rng(3).integers(3, size=(500, 3))
    assert (sums[1:] == counts[drawn].sum(1)).all()


def test_many_images_are_drawn_in_pieces(monkeypatch):
    counts = np.arange(50)[:, None]
    whole = resampled_sums(counts, 0, 40)
    monkeypatch.setattr("pixelwise.scores.intervals._AT_ONCE", 500)
    assert (resampled_sums(counts, 0, 40) == whole).all()


def test_an_interval_is_as_wide_as_the_mean_of_so_many_varies():
    values = np.random.default_rng(0).normal(size=400)
    sums = resampled_sums(np.stack([values, np.ones(400)], 1), seed=0)
    found = interval(sums[:, 0] / sums[:, 1])
    assert found.value == pytest.approx(values.mean())
    half_width = 1.96 * values.std() / math.sqrt(400)
    assert (found.high - found.low) / 2 == pytest.approx(half_width, rel=0.1)


def test_intervals_over_172_photos_take_milliseconds():
    labels, _, given = some(num=172, classes=2, size=(8, 8))
    images = [ImageCounts.of(g, y, 2) for g, y in zip(given, labels, strict=True)]
    start = time.perf_counter()
    SegmentationScores.of(images, FLOWER)
    assert time.perf_counter() - start < 0.5  # 20 ms here; a loop over draws takes seconds


def test_a_gain_is_a_difference_on_the_same_images():
    labels, _, given = some(num=12, classes=3)
    random = np.random.default_rng(1)
    better = np.where(random.random(labels.shape) < 0.3, labels, given)
    before, after = (
        [ImageCounts.of(one, label, 3) for one, label in zip(those, labels, strict=True)]
        for those in (given, better.astype(np.uint8))
    )
    gain = miou_gain(before, after)
    first, second = (SegmentationScores.of(one, ClassNames(("a", "b", "c"))).miou for one in (before, after))
    assert gain.value == pytest.approx(second.value - first.value)
    assert 0 < gain.low < gain.value < gain.high
    assert gain.high - gain.low < (second.high - second.low) + (first.high - first.low)
    none = miou_gain(before, before)
    assert none.low == none.value == none.high == 0
    with pytest.raises(ShapeError, match="needed two counts of each photo, got 12 and 11"):
        miou_gain(before, after[1:])
    with pytest.raises(DataError, match="needed at least one labelled photo to score"):
        miou_gain([], [])


@pytest.mark.usefixtures("unchecked")
def test_what_cannot_be_scored_is_refused():
    labels = torch.tensor([[0, 1], [1, IGNORE]], dtype=torch.uint8)
    with pytest.raises(
        ShapeError, match=r"a class for each pixel of labels \(2, 2\), got \(3, 2\); bring what"
    ):
        Confusion.of(torch.zeros(3, 2).byte(), labels, 2)
    with pytest.raises(ShapeError, match=r"needed a class for each pixel of labels \(2, 2\), got \(3, 2\)"):
        boundary_f1(torch.zeros(3, 2).byte(), labels, 2)
    with pytest.raises(LabelError, match="needed labels 0 to 1 or 255, got 2"):
        Confusion.of(labels, torch.tensor([[0, 2], [1, 1]]).byte(), 2)
    with pytest.raises(LabelError, match="needed classes 0 to 1 for labelled pixels, got 255"):
        Confusion.of(labels, labels * 0, 2)
    with pytest.raises(ShapeError, match="needed counts of the same classes to add, got 2 and 3 classes"):
        Confusion.of(labels, labels, 2) + Confusion.of(labels, labels, 3)
    with pytest.raises(DataError, match="needed at least one labelled photo to score, got none"):
        SegmentationScores.of([], FLOWER)
    with pytest.raises(ShapeError, match="needed counts of 4 classes, got 2"):
        SegmentationScores.of([ImageCounts.of(labels, labels, 2)], FOUR)
    with pytest.raises(ShapeError, match=r"needed probabilities for labels \(2, 2\), got \(2, 3\)"):
        Calibration.of(torch.zeros(2, 2, 3), labels)
    with pytest.raises(
        LabelError, match="probabilities from 0 to 1, got 3 to 3; apply softmax to logits first"
    ):
        Calibration.of(torch.full((2, 2, 2), 3.0), labels)


def test_void_alone_has_no_calibration():
    void = torch.full((2, 2), IGNORE, dtype=torch.uint8)
    assert math.isnan(Calibration.of(torch.full((2, 2, 2), 0.5), void).error)
