"""Questions A2, B2 and B3: statistics over seeds, edges, appearance, and the comparison's configuration."""

import numpy as np
import pytest
from scipy import stats

from pixelwise.lab.outcomes import by_edges, distance_to_edges, over_seeds


@pytest.mark.parametrize("gains", [[1.0, 2.0, 4.0], [-3.0, 2.5], [0.5, 0.25, 0.5, 0.75]])
def test_over_seeds_is_students_t(gains):
    low, high = stats.ttest_1samp(gains, 0).confidence_interval(0.95)
    assert over_seeds(gains) == pytest.approx({"value": np.mean(gains), "low": low, "high": high})
    assert over_seeds(gains[:1]) == {"value": gains[0], "low": None, "high": None}


def step_pictures():
    """One picture with a step in the middle, one that is flat."""
    grey = np.zeros((2, 16, 32), np.float32)
    grey[0, :, 16:] = 1
    grey[1] = np.linspace(0, 0.01, 32)
    return grey


def test_distances_are_from_the_steepest_pixels():
    distances = distance_to_edges(step_pictures())
    assert (distances[0, :, 15:17] == 0).all()
    assert (distances[0, :, 20] == 4).all()
    noise = np.zeros((5, 8, 8), np.float32)
    noise[0] = np.random.default_rng(0).random((8, 8))
    assert np.isinf(distance_to_edges(noise)[1]).all()


def test_right_pixels_and_gains_are_told_by_distance():
    grey = step_pictures()
    labels, wrong = np.zeros(grey.shape, np.uint8), np.ones(grey.shape, np.uint8)
    at_edges = np.where(distance_to_edges(grey) == 0, labels, wrong)
    rows = by_edges(grey, labels, {"cnn": [wrong, wrong], "unet": [at_edges, at_edges]})
    assert [(row["cnn"], row["unet"], row["gain"]["value"]) for row in rows] == [
        (0, 100 * (row["place"] == "on an edge"), 100 * (row["place"] == "on an edge")) for row in rows
    ]
    assert sum(row["share"] for row in rows) == pytest.approx(100)
