"""How overlap grows with photos: sizes, intervals, and when there is no ground for a forecast."""

import numpy as np
import pytest

from fixtures.discs import folder_of_discs
from pixelwise.errors import ConfigError
from pixelwise.evaluate.segmentation import ImageCounts
from pixelwise.labels.confusion import Confusion
from pixelwise.labels.folder import load_labelled_folder
from pixelwise.network.config import FinetuneConfig
from pixelwise.training.learning_curve import curve_of, draw_for_curve, forecast

CONFIG = FinetuneConfig(source="folder")


def image(num_right: int) -> ImageCounts:
    """A photo of 200 pixels, of each class as many, and of each as many right."""
    wrong = 100 - num_right
    return ImageCounts(Confusion(np.array([[num_right, wrong], [wrong, num_right]])))


def head(*num_right: int) -> list[ImageCounts]:
    return [image(num) for num in num_right]


def iou(num_right: int) -> float:
    return num_right / (200 - num_right)


def test_a_row_is_the_mean_over_draws_and_its_band_holds_single_ones():
    shots = [2, 2, 5]
    found = curve_of(shots, [head(60, 60), head(80, 80), head(90, 90)])
    assert [(row.shots, row.draws) for row in found.rows] == [(2, 2), (5, 1)]
    first, last = (row.miou for row in found.rows)
    assert first.value == pytest.approx((iou(60) + iou(80)) / 2)
    assert (first.low, first.high) == pytest.approx((iou(60), iou(80)))
    assert (last.low, last.value, last.high) == pytest.approx((iou(90),) * 3)


def test_the_gain_of_a_power_law():
    shots = np.array([2, 5, 10, 20, 50])
    errors = 0.3 * shots[:, None] ** -0.5 * np.ones((1, 100))
    gain = forecast(shots, errors)
    assert gain.value == pytest.approx(0.3 * (50**-0.5 - 60**-0.5))
    assert gain.low == pytest.approx(gain.high)


@pytest.mark.parametrize(
    ("shots", "errors"),
    [
        ([2, 5], [[0.3] * 3, [0.2] * 3]),  # too short
        ([2, 5, 10], [[0.1] * 3] * 3),  # does not fall
        ([2, 5, 10], [[0.1] * 3, [0.2] * 3, [0.3] * 3]),  # rises
        ([2, 5, 10], [[0.3] * 3, [0.2] * 3, [0.15, 0.25, 0.1]]),  # other draws would not have fallen
    ],
)
def test_where_there_is_no_ground_there_is_no_forecast(shots, errors):
    assert forecast(np.array(shots), np.array(errors)) is None


@pytest.mark.parametrize(("num_train", "num_test", "message"), [(4, 0, "to score on"), (2, 1, "got 2")])
def test_a_curve_needs_photos(tmp_path, num_train, num_test, message):
    folder = folder_of_discs(tmp_path / "discs", num_train=num_train, num_test=num_test)
    with pytest.raises(ConfigError, match=message):
        draw_for_curve(CONFIG, load_labelled_folder(folder))
