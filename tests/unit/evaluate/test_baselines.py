"""Segmentation without a network: each baseline finds what it can find, and no more."""

import numpy as np
import pytest

from pixelwise.colour.palette import IGNORE
from pixelwise.errors import DataError, ShapeError
from pixelwise.evaluate.heads import learn_baselines
from pixelwise.labels.confusion import Confusion

pytestmark = pytest.mark.core

GREEN, RED = (40, 120, 50), (200, 40, 60)


def scene(seed=0, size=(60, 80), centre=None):
    """A red disc on green, with grain; labels 1 on the disc, 0 around it, none along its edge."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]]
    row, column = centre or (size[0] / 2, size[1] / 2)
    distance = np.hypot(rows - row, columns - column)
    labels = (distance < 15).astype(np.uint8)
    photo = np.where(labels[..., None] == 1, RED, GREEN) + rng.integers(-15, 16, (*size, 3))
    labels[abs(distance - 15) < 2] = IGNORE
    return photo.clip(0, 255).astype(np.uint8), labels


@pytest.fixture
def learned():
    return learn_baselines((scene(seed) for seed in range(3)), 2)


def test_colour_finds_red_on_green_anywhere_and_is_lost_without(learned):
    photo, labels = scene(seed=9, centre=(15, 15))
    histogram = learned["colour histogram"]
    assert Confusion.of(histogram(photo), labels, 2).iou[1] > 0.99
    grey = np.repeat(photo.mean(-1, keepdims=True).astype(np.uint8), 3, axis=-1)
    assert Confusion.of(histogram(grey), labels, 2).iou[1] < 0.5


@pytest.mark.usefixtures("unchecked")
def test_labels_that_cannot_be_learned_from_are_refused():
    photo, labels = scene()
    with pytest.raises(DataError, match="none"):
        learn_baselines([(photo, np.full_like(labels, IGNORE))], 2)
    with pytest.raises(ShapeError, match=r"\(30, 80\)"):
        learn_baselines([(photo, labels[:30])], 2)
