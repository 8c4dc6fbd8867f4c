"""Evaluation: intervals around scores, baselines beside them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from pixelwise.colour.palette import IGNORE, Palette
from pixelwise.network.config import UNetConfig
from pixelwise.training.data.pictures import Pictures
from pixelwise.training.data.sources import load_pictures
from pixelwise.training.evaluation import PixelScore, evaluate
from pixelwise.training.losses import cross_entropy
from pixelwise.training.models import build
from pixelwise.training.runs import TorchModel

PALETTE = Palette.read("handout24")


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    whole = load_pictures("synthetic:shapes", None, 0)
    return replace(whole, train=whole.train[:60], val=whole.val[:30])


def model(net: nn.Module) -> TorchModel:
    return TorchModel.of(name="m", net=net, palette=PALETTE, size=32, checksum="")


def test_a_baseline_learns_from_the_training_part_only(pictures):
    scores = evaluate(model(build(UNetConfig(num_filters=2)).eval()), pictures)
    commonest = np.bincount(PALETTE.encode(pictures.train.numpy()).ravel()).argmax()
    share = 100 * (PALETTE.encode(pictures.val.numpy()) == commonest).mean()
    assert scores["majority"]["accuracy"].value == pytest.approx(share, abs=0.01)
    assert scores["grey level"]["accuracy"].value > scores["majority"]["accuracy"].value


def test_pixels_without_label_count_for_nothing_and_parts_add_up():
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(6, 5, 6, 7, generator=generator)
    labels = torch.randint(0, 5, (6, 6, 7), generator=generator)
    labels[:, 0] = IGNORE
    known = labels != IGNORE
    expected = -logits.double().log_softmax(1).gather(1, labels.where(known, 0)[:, None])[:, 0][known].mean()
    for some in (labels, labels.to(torch.uint8)):
        assert cross_entropy(logits, some).item() == pytest.approx(expected.item(), rel=1e-5)
    whole = PixelScore.of(logits, labels)
    parts = PixelScore.of(logits[:2], labels[:2]) + PixelScore.of(logits[2:], labels[2:])
    assert (parts.num_pixels, parts.num_right) == (whole.num_pixels, whole.num_right)
    assert parts.loss == pytest.approx(whole.loss) == pytest.approx(expected.item(), rel=1e-5)
    right = (logits.argmax(1) == labels)[known].float().mean()
    assert whole.accuracy == pytest.approx(100 * right.item())
