"""Weights of classes by how rare they are."""

import numpy as np
import pytest

from pixelwise.colour.palette import IGNORE
from pixelwise.labels.class_weights import class_counts, weights_of

pytestmark = pytest.mark.core


def test_rare_classes_weigh_what_the_formula_says_and_one_on_average():
    labels = np.zeros((10, 10), np.uint8)
    labels[0, :5], labels[1], labels[9] = 1, 2, IGNORE
    weights = weights_of(class_counts(iter((labels[:4], labels[4:])), 4), 0.5)
    shares = np.array([75, 5, 10]) / 90
    by_hand = 1 / (0.5 / 4 + 0.5 * shares)
    assert weights.tolist() == pytest.approx([*(by_hand / (by_hand @ shares)), 0])
    assert weights[:3] @ shares == pytest.approx(1)
    assert weights_of(class_counts([labels], 3), 1.0) * shares == pytest.approx([1 / 3] * 3)
