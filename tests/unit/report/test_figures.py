"""Figures: curves of any length, and strips that show the very pixels."""

import numpy as np
import pytest
import torch

from pixelwise.colour.palette import Palette
from pixelwise.report import figures
from pixelwise.training.data.synthetic import draw_shapes

ROWS = [
    {"epoch": e, "train_loss": 3 / e, "val_loss": 3.2 / e, "val_accuracy": 10.0 * e, "train_seconds": e}
    for e in (1, 2, 3)
]
AB = Palette(np.array([[44.0, 30.0], [14.0, -42.0], [-36.0, 34.0], [4.0, 20.0], [-16.0, -10.0]]), "ab")


@pytest.fixture(scope="module")
def images():
    return draw_shapes(3, torch.Generator().manual_seed(0)).numpy()


def test_the_curves_are_the_rows():
    ink, epochs = figures.ON_DARK, [1, 2, 3]
    loss, accuracy = (
        {line.get_color(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines}
        for axes in figures.draw_curves(ROWS, ink).figure.axes
    )
    assert loss == {
        ink.train: (epochs, [row["train_loss"] for row in ROWS]),
        ink.val: (epochs, [row["val_loss"] for row in ROWS]),
    }
    assert accuracy == {ink.val: (epochs, [10.0, 20.0, 30.0])}


@pytest.mark.parametrize("palette", [Palette.read("handout24"), AB], ids=["rgb", "ab"])
def test_strips_show_the_pictures_themselves(images, palette):
    logits = np.random.default_rng(0).standard_normal((3, palette.num_classes, 32, 32), np.float32)
    strips = figures.comparison_strips(palette, images, logits, temperature=1.0)
    assert [title.split()[0] for title in strips] == ["Grey,", "Truth", "Truth", "Prediction"]
    grey, truth, classes, predicted = strips.values()
    assert np.array_equal(truth[:, :32, :3], np.moveaxis(images[0], 0, -1))
    assert np.array_equal(truth[:, 34:66, :3], np.moveaxis(images[1], 0, -1))
    assert not truth[:, 32:34].any()
    assert np.ptp(grey[..., :3].astype(int), axis=-1).max() <= 1
    assert classes.shape == predicted.shape == truth.shape
