"""Figures of training runs and of evaluations, drawn with matplotlib."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float, Float64, UInt8
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy import ndarray

from pixelwise.colour.palette import Palette
from pixelwise.colour.spaces import LUMINANCE_WEIGHTS, recolour, srgb_to_linear
from pixelwise.evaluate.intervals import Interval
from pixelwise.network.runs import EpochMetrics, MetricName
from pixelwise.photos.resize import resize

_FEW = 3  # epochs, whose pieces say more than their means


@dataclass(frozen=True)
class Ink:
    """Colours of a drawing. Source: M. Okabe, K. Ito, "Color universal design", 2008."""

    text: str
    grid: str
    train: str
    val: str


ON_LIGHT = Ink(text="#1d1d1f", grid="#dcdce0", train="#d55e00", val="#0072b2")
ON_DARK = Ink(text="#e6e6ea", grid="#3a3a40", train="#e69f00", val="#56b4e9")


@dataclass(frozen=True)
class Drawing:
    """A finished figure."""

    figure: Figure
    ink: Ink

    def png(self) -> bytes:
        """Return a PNG on white."""
        return self._saved(format="png", dpi=160, facecolor="white")

    def svg(self) -> str:
        """Return an SVG on a clear ground, letters as outlines; equal figures give equal text."""
        return self._saved(format="svg", transparent=True, metadata={"Date": None}).decode()

    def _saved(self, **options: Any) -> bytes:
        content = io.BytesIO()
        with styled(self.ink):  # places are settled while saving
            self.figure.savefig(content, **options)
        return content.getvalue()


def draw_curves(rows: Sequence[EpochMetrics], ink: Ink = ON_LIGHT) -> Drawing:
    """Draw loss and accuracy by epoch beside each other; the training loss of few epochs within them."""
    pieces = [
        (row["epoch"] - 1 + (index + 0.5) / len(row["losses"]), loss)
        for row in rows
        if len(rows) <= _FEW
        for index, loss in enumerate(row.get("losses", []))
    ]
    with styled(ink):
        figure = new_figure(10, 3.8)
        left, right = figure.subplots(1, 2)
        if pieces:
            left.plot(*zip(*pieces, strict=True), color=ink.train, label="training", linewidth=1.8)
        else:
            _draw_curve(left, rows, "train_loss", ink.train, "training")
        _draw_curve(left, rows, "val_loss", ink.val, "validation")
        left.set_title("Loss, nats per pixel", loc="left")
        left.legend(frameon=False)
        _draw_curve(right, rows, "val_accuracy", ink.val, "validation")
        right.set_title("Validation pixels in the right class, %", loc="left")
    return Drawing(figure, ink)


def _draw_curve(
    axes: Axes, rows: Sequence[EpochMetrics], column: MetricName, colour: str, label: str
) -> None:
    epochs, values = [row["epoch"] for row in rows], [row[column] for row in rows]
    marker = "o" if len(epochs) <= 30 else ""  # which also shows a single epoch
    axes.plot(epochs, values, color=colour, label=label, marker=marker, markersize=4, linewidth=1.8)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def draw_reliability(bins: Float64[ndarray, "3 B"], ink: Ink) -> Drawing:
    """Draw the share of right pixels by confidence, of `calibration_bins`; larger dots are more pixels."""
    number, confidence, right = bins[:, bins[0] > 0]
    x, y = confidence / number, right / number
    least = np.floor(10 * x.min(initial=1)) / 10  # of K classes the likeliest has 1 / K or more
    with styled(ink):
        figure = new_figure(4.6, 4.2)
        axes = figure.subplots()
        axes.plot([least, 1], [least, 1], color=ink.grid, linewidth=1.8)
        axes.plot(x, y, color=ink.val, linewidth=1.8)
        sizes = 12 + 220 * (number / number.max(initial=1)) ** 0.5
        axes.scatter(x, y, s=sizes, color=ink.val, alpha=0.75, linewidths=0)
        axes.set_xlim(least - 0.02, 1.03)
        axes.set_xlabel("confidence")
        axes.set_title("Share of pixels that are right", loc="left")
    return Drawing(figure, ink)


def draw_learning(shots: Sequence[int], scores: Sequence[Interval], ink: Ink) -> Drawing:
    """Draw mean intersection over union by the number of photos learned from, with its interval as a band."""
    with styled(ink):
        figure = new_figure(5.6, 3.8)
        axes = figure.subplots()
        lows, values, highs = (
            [getattr(score, name) for score in scores] for name in ("low", "value", "high")
        )
        axes.fill_between(shots, lows, highs, color=ink.val, alpha=0.2, linewidth=0)
        axes.plot(shots, values, color=ink.val, marker="o", markersize=4, linewidth=1.8)
        axes.set_xscale("log")
        axes.set_xticks(shots, [str(num) for num in shots])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("photos learned from")
        axes.set_title("Mean intersection over union", loc="left")
    return Drawing(figure, ink)


Strips = dict[str, UInt8[ndarray, "rows columns 4"]]
"""Rows of a picture figure by title: pictures beside each other."""


def comparison_strips(
    palette: Palette,
    images: UInt8[ndarray, "N 3 H W"],
    logits: Float[ndarray, "N K h w"],
    temperature: float,
    saturation: float = 1.0,
) -> Strips:
    """Return rows of grey, truth, truth in the palette's colours, and prediction; one column per picture.

    Temperature and saturation are those of decoding chroma; a palette in `rgb` shows the likeliest classes.
    """
    grey, labels = palette.read_grey(images), palette.encode(images)
    if palette.space == "ab":
        linear = srgb_to_linear(images / np.float32(255))
        luminance = np.einsum("c,nchw->nhw", np.array(LUMINANCE_WEIGHTS, np.float32), linear)
        guessed = resize(palette.chroma(logits, temperature) * np.float32(saturation), luminance.shape[1:])
        chromas = (np.zeros((1, 2, 1, 1), np.float32), palette.decode(labels), guessed)
        shown, classes, predicted = (
            np.moveaxis(recolour(luminance, ab[:, 0], ab[:, 1]), 0, 1) for ab in chromas
        )
    else:
        shown, classes, predicted = grey, palette.decode(labels), palette.decode(logits.argmax(1))
    return {
        "Grey, as the network reads it": beside(shown),
        "Truth": beside(images / np.float32(255)),
        f"Truth in the {palette.num_classes} colours to choose from": beside(classes),
        "Prediction": beside(predicted),
    }


def beside(images: Float[ndarray, "N C H W"], gap: int = 2) -> UInt8[ndarray, "H columns 4"]:
    """Return pictures (N, 1 or 3, H, W) in [0, 1] in one row, clear between them, as RGBA."""
    num, _, height, width = images.shape
    row = np.zeros((height, num, width + gap, 4), np.uint8)
    row[:, :, :width, :3] = (images.clip(0, 1) * 255).round().transpose(2, 0, 3, 1)
    row[:, :, :width, 3] = 255
    return row.reshape(height, -1, 4)[:, :-gap]


def draw_strips(strips: Strips) -> Drawing:
    """Draw strips below each other with their titles, enlarged so that single pixels are seen."""
    height, width = next(iter(strips.values())).shape[:2]
    with styled(ON_LIGHT):
        figure = new_figure(10, len(strips) * (10 * height / width + 0.35))
        rows = figure.subplots(len(strips), squeeze=False)[:, 0]
        for axes, (title, pixels) in zip(rows, strips.items(), strict=True):
            axes.imshow(pixels, interpolation="nearest")
            axes.set_title(title, loc="left")
            axes.set_axis_off()
    return Drawing(figure, ON_LIGHT)


def heat(values: Float[ndarray, "h w"], size: tuple[int, int]) -> UInt8[ndarray, "H W 3"]:
    """Return a map from its lowest value, dark blue, to its highest, yellow, enlarged to (height, width)."""
    even = (values - values.min()) / max(float(np.ptp(values)), 1e-6)
    codes: UInt8[ndarray, "H W 3"] = colormaps["cividis"](resize(even, size), bytes=True)[..., :3]
    return codes


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, in inches, outside pyplot's global state; draw upon it within `styled`."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def styled(ink: Ink) -> contextlib.AbstractContextManager[None]:
    """Return a context with our style, whatever the user's own settings of matplotlib are."""
    settings = matplotlib.rcParamsDefault | {
        "font.size": 11,
        "axes.titlesize": 12,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": ink.grid,
        "axes.edgecolor": ink.grid,
        "svg.hashsalt": "pixelwise",  # equal drawings give equal files
    }
    settings |= dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), ink.text)
    settings.pop("backend")  # another program's windows stay as they are
    return matplotlib.rc_context(settings)
