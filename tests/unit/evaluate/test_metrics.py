"""Scores and losses: ignored pixels count for nothing, and parts add up to the whole."""

import pytest
import torch

from pixelwise.colour.palette import IGNORE
from pixelwise.evaluate.metrics import PixelScore
from pixelwise.network.losses import class_weights, cross_entropy


def some(num: int = 4, classes: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(num, classes, 6, 7, generator=generator)
    labels = torch.randint(0, classes, (num, 6, 7), generator=generator)
    labels[:, 0] = IGNORE
    return logits, labels


def test_cross_entropy_is_the_mean_minus_log_probability_of_labelled_pixels():
    logits, labels = some()
    log_p = logits.double().log_softmax(1)
    known = labels != IGNORE
    expected = -log_p.gather(1, labels.where(known, 0)[:, None])[:, 0][known].mean()
    assert cross_entropy(logits, labels).item() == pytest.approx(expected.item(), rel=1e-5)
    assert cross_entropy(logits, labels.to(torch.uint8)).item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_score_of_two_parts_is_the_sum_of_their_counts():
    logits, labels = some(num=6)
    whole, parts = (
        PixelScore.of(logits, labels),
        PixelScore.of(logits[:2], labels[:2]) + PixelScore.of(logits[2:], labels[2:]),
    )
    assert (parts.num_pixels, parts.num_right) == (whole.num_pixels, whole.num_right)
    assert parts.loss == pytest.approx(whole.loss)
    assert whole.num_pixels == 6 * 5 * 7
    assert whole.loss == pytest.approx(cross_entropy(logits, labels).item(), rel=1e-5)


def test_accuracy_is_the_share_of_right_pixels_in_per_cent():
    labels = torch.tensor([[[0, 1], [1, IGNORE]]])
    logits = torch.zeros(1, 2, 2, 2)
    logits[:, 1] = 1
    assert PixelScore.of(logits, labels).accuracy == pytest.approx(200 / 3)


def test_rebalanced_classes_weigh_what_the_formula_says_and_one_on_average():
    labels = torch.zeros(1, 10, 10, dtype=torch.uint8)
    labels[0, 0, :5], labels[0, 1], labels[0, 9] = 1, 2, IGNORE
    shares = torch.tensor([75, 5, 10]) / 90
    weights = class_weights((one for one in labels.split(5, dim=1)), 3, 0.5)
    assert weights is not None
    assert (weights * shares).sum().item() == pytest.approx(1)
    expected = 1 / (0.5 / 3 + 0.5 * shares)
    torch.testing.assert_close(weights / weights[0], expected / expected[0])
    assert class_weights([labels], 3, 0.0) is None


def test_weights_of_two_make_a_pixel_count_twice():
    logits, labels = torch.tensor([[[[0.3]], [[0.1]]], [[[0.9]], [[-1.0]]]]), torch.tensor([[[0]], [[1]]])
    twice = torch.cat([logits, logits[1:]]), torch.cat([labels, labels[1:]])
    weighted = cross_entropy(logits, labels, weights=torch.tensor([1.0, 2.0]))
    assert weighted.item() == pytest.approx(cross_entropy(*twice).item())
