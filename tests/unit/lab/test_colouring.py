"""Questions A2, B2 and B3: statistics over seeds, edges, appearance, and the comparison's configuration."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from pixelwise.colour.palette import Palette
from pixelwise.lab import colouring
from pixelwise.lab.answer import Setting
from pixelwise.lab.outcomes import (
    Predictions,
    apart_by_chance,
    appearance,
    by_colour,
    by_edges,
    compare_variants,
    distance_to_edges,
    over_seeds,
)
from pixelwise.labels.confusion import Confusion


@pytest.mark.parametrize("gains", [[1.0, 2.0, 4.0], [-3.0, 2.5], [0.5, 0.25, 0.5, 0.75]])
def test_over_seeds_is_students_t(gains):
    low, high = stats.ttest_1samp(gains, 0).confidence_interval(0.95)
    assert over_seeds(gains) == pytest.approx({"value": np.mean(gains), "low": low, "high": high})
    assert over_seeds(gains[:1]) == {"value": gains[0], "low": None, "high": None}


def test_19_of_20_pairs_of_runs_come_apart_by_less_than_chance():
    generator = np.random.default_rng(0)
    seeds, pairs = generator.normal(size=(4000, 3)), generator.normal(size=(4000, 2))
    below = [
        abs(one - other) < apart_by_chance(list(three))
        for three, (one, other) in zip(seeds, pairs, strict=True)
    ]
    assert np.mean(below) == pytest.approx(0.95, abs=0.01)


def test_variants_are_compared_over_the_seeds_that_they_share():
    def run(*accuracies):
        return [{"val_accuracy": one} for one in accuracies]

    rows = {
        "CNN": [run(10, 20, 20, 20), run(10, 30, 30, 30)],
        "U-Net": [run(10, 40, 40, 40), run(10, 60, 60, 60)],
        "U-Net, bare": [run(90, 36, 38, 40)],
    }
    found = {one["name"]: one for one in compare_variants(rows, "U-Net")}
    assert {name: one["accuracy"] for name, one in found.items()} == {
        "U-Net": 50,
        "U-Net, bare": 38,
        "CNN": 25,
    }
    assert found["U-Net, bare"]["behind"] == over_seeds([2])
    assert found["CNN"]["behind"] == over_seeds([20, 30])


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
    cnn, unet = Predictions(labels, wrong), Predictions(labels, at_edges)
    rows = by_edges(grey, {"cnn": [cnn, cnn], "unet": [unet, unet]})
    assert [(row["cnn"], row["unet"], row["gain"]["value"]) for row in rows] == [
        (0, 100 * (row["place"] == "on an edge"), 100 * (row["place"] == "on an edge")) for row in rows
    ]
    assert sum(row["share"] for row in rows) == pytest.approx(100)


def test_detail_and_colour_of_pictures():
    palette = Palette(torch.tensor([[0.5, 0.5, 0.5], [1.0, 0.0, 0.0]]).double(), "rgb")
    stripes = np.zeros((1, 4, 4), np.uint8)
    stripes[..., ::2] = 1
    assert appearance(stripes, palette)["borders"] == 50  # all pairs beside each other, none above each other
    assert appearance(np.zeros((1, 2, 2), np.uint8), palette)["chroma"] == pytest.approx(0, abs=0.02)
    assert appearance(np.ones((1, 2, 2), np.uint8), palette)["chroma"] == pytest.approx(104.55, abs=0.1)
    rows = by_colour(Confusion(np.array([[6, 2], [1, 1]])), palette)
    assert [(row["share"], row["given"], row["found"]) for row in rows] == [(80, 70, 75), (20, 30, 50)]
    assert rows[0]["taken_for"] == [255, 0, 0]


def test_the_networks_that_are_compared_differ_in_nothing_else(tmp_path):
    cnn, unet = (
        colouring.comparison_config(Setting(out=tmp_path, seed=2), net, 1) for net in ("cnn", "unet")
    )
    assert replace(cnn, net=unet.net) == unet
    train = cnn.train
    assert (train.epochs, train.batch_size, train.learning_rate, train.seed) == (25, 100, 0.001, 2001)
