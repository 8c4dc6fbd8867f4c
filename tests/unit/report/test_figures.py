"""Figures: curves of any length, and strips that show the very pixels."""

from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
import torch

from pixelwise.colour.palette import Palette
from pixelwise.evaluate.intervals import Interval
from pixelwise.network.config import UNetConfig
from pixelwise.network.models import build
from pixelwise.photos.synthetic import draw_shapes
from pixelwise.report import figures

ROWS = [
    {"epoch": e, "train_loss": 3 / e, "val_loss": 3.2 / e, "val_accuracy": 10.0 * e, "train_seconds": e}
    for e in (1, 2, 3)
]
AB = Palette(
    torch.tensor([[44.0, 30.0], [14.0, -42.0], [-36.0, 34.0], [4.0, 20.0], [-16.0, -10.0]]).double(), "ab"
)


@pytest.fixture(scope="module")
def images():
    return draw_shapes(3, torch.Generator().manual_seed(0))


def compare(palette, images) -> figures.Strips:
    """The strips of an untrained network."""
    torch.manual_seed(0)
    net = build(UNetConfig(num_filters=4, num_colours=palette.num_classes)).eval()
    with torch.inference_mode():
        return figures.compare(palette, images, net(palette.read_grey(images)), temperature=1.0)


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


def test_a_run_of_few_epochs_is_drawn_within_them():
    rows = [row | {"losses": [4 / row["epoch"], 2 / row["epoch"]]} for row in ROWS]
    many = [row | {"epoch": epoch} for epoch, row in enumerate(rows + rows, 1)]
    within, by_epoch = (figures.draw_curves(some).figure.axes[0].lines[0] for some in (rows, many))
    assert list(within.get_xdata()) == [0.25, 0.75, 1.25, 1.75, 2.25, 2.75]
    assert list(within.get_ydata()) == pytest.approx([4, 2, 2, 1, 4 / 3, 2 / 3])
    assert list(by_epoch.get_xdata()) == [1, 2, 3, 4, 5, 6]


def test_drawings_leave_matplotlibs_settings_alone_and_ignore_them():
    with matplotlib.rc_context({"font.size": 33, "axes.grid": False}):
        before = dict(matplotlib.rcParams)
        svg = figures.draw_curves(ROWS).svg()
        assert dict(matplotlib.rcParams) == before
    assert svg == figures.draw_curves(ROWS).svg()
    assert ElementTree.fromstring(svg).tag.endswith("svg")


@pytest.mark.parametrize("palette", [Palette.read("handout24"), AB], ids=["rgb", "ab"])
def test_strips_show_the_pictures_themselves(images, palette):
    strips = compare(palette, images)
    assert [title.split()[0] for title in strips] == ["Grey,", "Truth", "Truth", "Prediction"]
    grey, truth, classes, predicted = strips.values()
    assert np.array_equal(truth[:, :32, :3], images[0].permute(1, 2, 0).numpy())
    assert np.array_equal(truth[:, 34:66, :3], images[1].permute(1, 2, 0).numpy())
    assert not truth[:, 32:34].any()
    assert np.ptp(grey[..., :3].astype(int), axis=-1).max() <= 1
    assert classes.shape == predicted.shape == truth.shape


def test_colours_of_an_rgb_palette_are_shown_as_they_are(images):
    palette = Palette.read("handout24")
    wanted = {tuple(row) for row in (palette.colours * 255).round().int().tolist()}
    for pixels in list(compare(palette, images).values())[2:]:
        shown = {tuple(pixel) for pixel in pixels[:, :32, :3].reshape(-1, 3).tolist()}
        assert shown <= wanted


def test_a_learning_curve_has_its_points_its_band_and_its_numbers_of_photos():
    scores = [Interval(value=v, low=v - 0.1, high=v + 0.05) for v in (0.5, 0.7, 0.8)]
    (axes,) = figures.draw_learning([2, 5, 7], scores, figures.ON_LIGHT).figure.axes
    (line,) = axes.lines
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([2, 5, 7], [0.5, 0.7, 0.8])
    band = axes.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == pytest.approx((0.4, 0.85))
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["2", "5", "7"]


def test_reliability_is_the_share_of_right_ones_by_how_sure_and_empty_bins_are_left_out():
    bins = np.array([[0.0, 10, 0, 90], [0.0, 6, 0, 81], [0.0, 5, 0, 90]])
    (axes,) = figures.draw_reliability(bins, figures.ON_DARK).figure.axes
    even, line = axes.lines
    assert list(even.get_xdata()) == list(even.get_ydata())
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([0.6, 0.9], [0.5, 1.0])
