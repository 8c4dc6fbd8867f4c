"""Evaluation: intervals around scores, baselines beside them."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from pixelwise.colour.palette import Palette
from pixelwise.evaluate.metrics import PixelScore
from pixelwise.evaluate.pictures import evaluate, score
from pixelwise.labels.sources import load_pictures
from pixelwise.network.config import UNetConfig
from pixelwise.network.models import build
from pixelwise.network.runs import Model
from pixelwise.photos.pictures import Batches, Pictures

PALETTE = Palette.read("handout24")


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    whole = load_pictures("synthetic:shapes", None, 0)
    return replace(whole, train=whole.train[:60], val=whole.val[:30])


def model(net: nn.Module) -> Model:
    return Model(name="m", net=net, config=UNetConfig(), palette=PALETTE, size=32, checksum="")


def test_score_is_that_of_all_pictures_at_once_and_leaves_the_mode(pictures):
    data = Batches.of(pictures.val, PALETTE, torch.device("cpu"))
    net = build(UNetConfig(num_filters=2))
    assert net.training
    got = score(net, data)
    assert net.training
    with torch.inference_mode():
        whole = PixelScore.of(net.eval()(data.grey()), data.labels)
    assert (got.num_pixels, got.num_right) == (whole.num_pixels, whole.num_right)
    assert got.loss == pytest.approx(whole.loss, rel=1e-5)


def test_a_baseline_learns_from_the_training_part_only(pictures):
    scores = evaluate(model(build(UNetConfig(num_filters=2)).eval()), pictures)
    labels = PALETTE.encode(pictures.train)
    commonest = labels.flatten().bincount().argmax()
    share = 100 * (PALETTE.encode(pictures.val) == commonest).float().mean().item()
    assert scores["majority"]["accuracy"].value == pytest.approx(share, abs=0.01)
    assert scores["grey level"]["accuracy"].value > scores["majority"]["accuracy"].value


def test_intervals_hold_the_value_repeat_by_seed_and_shrink_with_more_pictures(pictures):
    net = model(build(UNetConfig(num_filters=2)).eval())
    five, thirty = (replace(pictures, val=pictures.val[:5].repeat(times, 1, 1, 1)) for times in (1, 6))
    few = evaluate(net, five, seed=1)["majority"]["accuracy"]
    many = evaluate(net, thirty, seed=1)["majority"]["accuracy"]  # as varied, and six times as many
    assert many == evaluate(net, thirty, seed=1)["majority"]["accuracy"]
    assert few.low <= few.value <= few.high
    assert many.low <= many.value <= many.high
    assert many.high - many.low < few.high - few.low
