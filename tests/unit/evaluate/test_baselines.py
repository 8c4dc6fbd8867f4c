"""Segmentation without a network: each baseline finds what it can find, and no more."""

import numpy as np
import pytest

from pixelwise.colour.palette import IGNORE
from pixelwise.errors import DataError, ShapeError
from pixelwise.evaluate.baselines import best_threshold, learn_baselines
from pixelwise.labels.confusion import Confusion

GREEN, RED, BLUE = (40, 120, 50), (200, 40, 60), (90, 140, 220)


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


def test_there_are_three_for_two_classes_and_two_for_more(learned):
    assert list(learned) == ["majority", "colour histogram", "colour threshold"]
    assert list(learn_baselines([scene()], 3)) == ["majority", "colour histogram"]


@pytest.mark.parametrize("size", [(60, 80), (1, 1), (9, 400)])
def test_each_gives_every_pixel_a_class_at_the_photos_size(learned, size):
    photo = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    for baseline in learned.values():
        labels = baseline(photo)
        assert labels.shape == size
        assert labels.max() <= 1


@pytest.mark.parametrize("name", ["colour histogram", "colour threshold"])
def test_colour_finds_red_on_green_anywhere_and_is_lost_without(learned, name):
    photo, labels = scene(seed=9, centre=(15, 15))
    assert Confusion.of(learned[name](photo), labels, 2).iou[1] > 0.99
    grey = np.repeat(photo.mean(-1, keepdims=True).astype(np.uint8), 3, axis=-1)
    assert Confusion.of(learned[name](grey), labels, 2).iou[1] < 0.5


def test_the_threshold_is_the_best_of_all_channels_values_and_sides():
    """Against trying every one of them on the same pixels."""
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 256, (3, 1200))
    labels = (codes[2] + rng.integers(-20, 20, 1200) < 120).astype(np.uint8)
    by_code = np.array(
        [[np.bincount(one[labels == label], minlength=256) for one in codes] for label in (0, 1)]
    )

    def miou(channel, threshold, above):
        given = np.where(codes[channel] >= threshold, above, 1 - above).astype(np.uint8)
        return Confusion.of(given[None], labels[None], 2).miou

    best = max(miou(c, value, above) for c in range(3) for value in range(256) for above in (0, 1))
    channel, threshold, above = best_threshold(by_code)
    assert (channel, above) == (2, 0)
    assert miou(channel, threshold, above) == pytest.approx(best)


def test_the_histogram_knows_more_than_two_classes_and_guesses_unseen_colours():
    photo = np.zeros((30, 90, 3), np.uint8)
    labels = np.zeros((30, 90), np.uint8)
    for number, colour in enumerate((GREEN, RED, BLUE)):
        photo[:, 30 * number : 30 * number + 30] = colour
        labels[:, 30 * number : 30 * number + 30] = number
    photo[:, 88:], labels[:, 88:] = GREEN, 0  # the commonest class
    histogram = learn_baselines([(photo, labels)], 3)["colour histogram"]
    assert (histogram(photo) == labels).all()
    assert (histogram(np.full((2, 2, 3), 255, np.uint8)) == 0).all()


def test_pixels_without_label_count_for_nothing():
    photo, labels = scene()
    spoilt = photo.copy()
    spoilt[labels == IGNORE] = BLUE
    one, other = (learn_baselines([(each, labels)], 2) for each in (photo, spoilt))
    for name in one:
        assert (one[name](spoilt) == other[name](spoilt)).all()


@pytest.mark.usefixtures("unchecked")
def test_labels_that_cannot_be_learned_from_are_refused():
    photo, labels = scene()
    with pytest.raises(DataError, match="none"):
        learn_baselines([(photo, np.full_like(labels, IGNORE))], 2)
    with pytest.raises(ShapeError, match=r"\(30, 80\)"):
        learn_baselines([(photo, labels[:30])], 2)
