"""How overlap grows with photos: the ladder, the intervals, and when there is no ground for a forecast."""

import numpy as np
import pytest
import torch

from fixtures.discs import folder_of_discs
from fixtures.tiny_backbone import tiny_backbone
from pixelwise.config import FinetuneConfig
from pixelwise.errors import ConfigError
from pixelwise.features import FeatureCache
from pixelwise.finetune import finetune
from pixelwise.finetune.curve import (
    LearningCurve,
    curve_of,
    forecast,
    ladder,
    learning_curve,
    num_draws,
    rungs,
)
from pixelwise.finetune.score import count
from pixelwise.scores import Confusion, ImageCounts, Interval


def image(num_right: int) -> ImageCounts:
    """A photo of 200 pixels, of each class as many, and of each as many right."""
    wrong = 100 - num_right
    return ImageCounts(Confusion(np.array([[num_right, wrong], [wrong, num_right]])))


def head(*num_right: int) -> list[ImageCounts]:
    return [image(num) for num in num_right]


def iou(num_right: int) -> float:
    return num_right / (200 - num_right)


def test_the_ladder_has_few_and_all_and_none_twice():
    assert rungs(416) == [2, 5, 10, 20, 50, 100, 200, 416]
    assert rungs(20) == [2, 5, 10, 20]
    assert rungs(3) == [2, 3]
    with pytest.raises(ConfigError, match="needed at least 3 photos to learn from for a curve, got 2"):
        rungs(2)
    assert [num_draws(num, 416) for num in rungs(416)] == [5, 5, 5, 5, 3, 3, 3, 1]


def test_a_row_is_the_mean_over_draws_and_its_band_holds_single_ones():
    shots = [2, 2, 5]
    found = curve_of(shots, [head(60, 60), head(80, 80), head(90, 90)])
    assert [(row.shots, row.draws) for row in found.rows] == [(2, 2), (5, 1)]
    first, last = (row.miou for row in found.rows)
    assert first.value == pytest.approx((iou(60) + iou(80)) / 2)
    assert (first.low, first.high) == pytest.approx((iou(60), iou(80)))
    assert (last.low, last.value, last.high) == pytest.approx((iou(90),) * 3)


def test_photos_that_differ_widen_the_band():
    found = curve_of([2, 5], [head(60, 95, 90, 60), head(75, 75, 75, 75)])
    assert found.rows[0].miou.low < found.rows[0].miou.value < found.rows[0].miou.high
    assert found.rows[1].miou.low == pytest.approx(found.rows[1].miou.high)


def test_the_gain_of_a_power_law_is_told():
    shots = np.array([2, 5, 10, 20, 50])
    errors = 0.3 * shots[:, None] ** -0.5 * np.ones((1, 100))
    gain = forecast(shots, errors)
    assert gain.value == pytest.approx(0.3 * (50**-0.5 - 60**-0.5))
    assert gain.low == pytest.approx(gain.high)


def test_a_curve_that_flattens_promises_no_more_than_its_end():
    shots = np.array([2, 5, 10, 20])
    errors = np.array([0.4, 0.1, 0.05, 0.045])[:, None] * np.ones((1, 9))
    steep = forecast(shots[:3], errors[:3]).value
    assert 0 < forecast(shots, errors).value < 0.005 < steep


@pytest.mark.parametrize(
    ("shots", "errors"),
    [
        ([2, 5], [[0.3] * 3, [0.2] * 3]),  # too short
        ([2, 5, 10], [[0.1] * 3] * 3),  # does not fall
        ([2, 5, 10], [[0.1] * 3, [0.2] * 3, [0.3] * 3]),  # rises
        ([2, 5, 10], [[0.3] * 3, [0.2] * 3, [0.15, 0.25, 0.1]]),  # other draws would not have fallen
    ],
)
def test_where_there_is_no_ground_nothing_is_told(shots, errors):
    assert forecast(np.array(shots), np.array(errors)) is None
    told = LearningCurve(rows=(), gain=None)
    assert told.to_dict() == {"curve": [], "forecast": None}
    assert "cannot be told" in told.sentence


def test_the_sentence_has_the_gain_and_its_interval():
    told = LearningCurve(rows=(), gain=Interval(value=0.0123, low=0.004, high=0.02))
    assert told.sentence.startswith(
        "10 more photos would bring at most about +0.012 of mean IoU (+0.004 to +0.020)"
    )
    assert told.to_dict()["forecast"] == {
        "more": 10,
        "at_most": {"value": 0.0123, "low": 0.004, "high": 0.02},
    }


def test_a_perfect_head_has_a_logarithm():
    errors = np.array([[0.1], [0.01], [0.0]]) * np.ones((1, 9))
    assert forecast(np.array([2, 5, 10]), errors).value < 1e-3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return folder_of_discs(tmp_path_factory.mktemp("curve") / "discs", num_train=6, num_test=2)


def test_a_rung_learns_what_finetune_learns_from_its_photos(folder, tmp_path, monkeypatch):
    """The last rung is all photos: the same head to the last bit, ridge, loss and all."""
    config = FinetuneConfig(source=f"folder:{folder}", sizes=(16, 32), looks=1, loss="whole", rebalance=0.5)
    cache, heads = FeatureCache(tmp_path / "cache"), []

    def counting(weights, *scored):
        heads.extend(weights)
        return count(weights, *scored)

    monkeypatch.setattr("pixelwise.finetune.curve.count", counting)
    for where in ("curve", "run"):
        monkeypatch.setattr(f"pixelwise.finetune.{where}.open_backbone", lambda *_: tiny_backbone())
    found = learning_curve(ladder(config), "cpu", cache)
    taught = finetune(config, tmp_path / "head", device="cpu", cache=cache)
    assert taught.head.facts["ridge_scores"]  # it was chosen
    assert torch.equal(heads[-1].weight, taught.taught.weights.weight)
    assert found.rows[-1].miou.value == pytest.approx(taught.after.miou.value)


def test_a_curve_needs_photos_to_score_on(tmp_path):
    folder = folder_of_discs(tmp_path / "discs", num_train=4, num_test=0)
    with pytest.raises(ConfigError, match="needs labelled photos that are not learned from, to score on"):
        ladder(FinetuneConfig(source=f"folder:{folder}"))
