"""Figures of training runs and of evaluations, drawn with matplotlib."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy import ndarray

from pixelwise.colour.arrays import Float, Float64, UInt8
from pixelwise.colour.palette import Palette
from pixelwise.colour.spaces import LUMINANCE_WEIGHTS, recolour, srgb_to_linear
from pixelwise.evaluate.intervals import Interval
from pixelwise.network.config import EpochMetrics, MetricName
from pixelwise.photos.resize import resize

Runs = Sequence[Sequence[EpochMetrics]]  # that differ in their seed
_FEW = 3  # epochs, whose pieces say more than their means
_GAP = 2  # pixels between pictures in a row


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
        with _styled(self.ink):  # places are settled while saving
            self.figure.savefig(content, **options)
        return content.getvalue()


@contextlib.contextmanager
def new_drawing(width: float, height: float, ink: Ink = ON_LIGHT) -> Iterator[Drawing]:
    """Give an empty figure, in inches, to draw upon in our style, outside pyplot's global state."""
    with _styled(ink):
        yield Drawing(Figure(figsize=(width, height), layout="constrained"), ink)


def _styled(ink: Ink) -> contextlib.AbstractContextManager[None]:
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


def draw_curves(rows: Sequence[EpochMetrics], ink: Ink = ON_LIGHT) -> Drawing:
    """Draw loss and accuracy by epoch beside each other; the training loss of few epochs within them."""
    x, losses = loss_pieces(rows)
    with new_drawing(10, 3.8, ink) as drawing:
        left, right = drawing.figure.subplots(1, 2)
        if losses and len(rows) <= _FEW:
            left.plot(x, losses, color=ink.train, label="training", linewidth=1.8)
        else:
            draw_by_epoch(left, [rows], "train_loss", ink.train, "training")
        draw_by_epoch(left, [rows], "val_loss", ink.val, "validation")
        draw_by_epoch(right, [rows], "val_accuracy", ink.val, "validation")
        left.set_title("Loss, nats per pixel", loc="left")
        right.set_title("Validation pixels in the right class, %", loc="left")
        left.legend(frameon=False)
    return drawing


def loss_pieces(rows: Sequence[EpochMetrics]) -> tuple[list[float], list[float]]:
    """Return where in epochs the middles of the pieces of a run are, and their training losses."""
    x, losses = list[float](), list[float]()
    for row in rows:
        pieces = row.get("losses", [])
        x += [row["epoch"] - 1 + (index + 0.5) / len(pieces) for index in range(len(pieces))]
        losses += pieces
    return x, losses


def draw_by_epoch(
    axes: Axes, seeds: Runs, column: MetricName, colour: str, label: str, line: str = "-"
) -> None:
    """Draw a column of metrics by epoch: its mean over seeds, with a band from least to most."""
    epochs = [row["epoch"] for row in seeds[0]]
    values = np.array([[row[column] for row in rows] for rows in seeds])
    marker = "o" if len(epochs) <= 30 else ""  # which also shows a single epoch
    if len(seeds) > 1:
        axes.fill_between(epochs, values.min(0), values.max(0), color=colour, alpha=0.2, linewidth=0)
    axes.plot(
        epochs, values.mean(0), line, color=colour, label=label, marker=marker, markersize=4, linewidth=1.8
    )
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def draw_reliability(bins: Float64[ndarray, "3 B"], ink: Ink) -> Drawing:
    """Draw the share of right pixels by confidence, of `calibration_bins`; larger dots are more pixels."""
    number, confidence, right = bins[:, bins[0] > 0]
    x, y = confidence / number, right / number
    least = np.floor(10 * x.min(initial=1)) / 10  # of K classes the likeliest has 1 / K or more
    with new_drawing(4.6, 4.2, ink) as drawing:
        axes = drawing.figure.subplots()
        axes.plot([least, 1], [least, 1], color=ink.grid, linewidth=1.8)
        axes.plot(x, y, color=ink.val, linewidth=1.8)
        sizes = 12 + 220 * (number / number.max(initial=1)) ** 0.5
        axes.scatter(x, y, s=sizes, color=ink.val, alpha=0.75, linewidths=0)
        axes.set_xlim(least - 0.02, 1.03)
        axes.set_xlabel("confidence")
        axes.set_title("Share of pixels that are right", loc="left")
    return drawing


def draw_learning(shots: Sequence[int], scores: Sequence[Interval]) -> Drawing:
    """Draw mean intersection over union by the number of photos learned from, with its interval as a band."""
    lows, values, highs = np.array([(score.low, score.value, score.high) for score in scores]).T
    with new_drawing(5.6, 3.8) as drawing:
        axes = drawing.figure.subplots()
        axes.fill_between(shots, lows, highs, color=ON_LIGHT.val, alpha=0.2, linewidth=0)
        axes.plot(shots, values, color=ON_LIGHT.val, marker="o", markersize=4, linewidth=1.8)
        axes.set_xscale("log")
        axes.set_xticks(shots, [str(num) for num in shots])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("photos learned from")
        axes.set_title("Mean intersection over union", loc="left")
    return drawing


Strips = dict[str, UInt8[ndarray, "rows columns 4"]]  # title -> pictures beside each other


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
    labels = palette.encode(images)
    if palette.space == "ab":
        linear = srgb_to_linear(images / np.float32(255))
        luminance = np.einsum("c,nchw->nhw", np.array(LUMINANCE_WEIGHTS, np.float32), linear)
        guessed = resize(palette.chroma(logits, temperature) * np.float32(saturation), luminance.shape[1:])
        chromas = (np.zeros((1, 2, 1, 1), np.float32), palette.decode(labels), guessed)
        shown, classes, predicted = (
            np.moveaxis(recolour(luminance, ab[:, 0], ab[:, 1]), 0, 1) for ab in chromas
        )
    else:
        shown, classes = palette.read_grey(images), palette.decode(labels)
        predicted = palette.decode(logits.argmax(1))
    return {
        "Grey, as the network reads it": _beside(shown),
        "Truth": _beside(images / np.float32(255)),
        f"Truth in the {palette.num_classes} colours to choose from": _beside(classes),
        "Prediction": _beside(predicted),
    }


def _beside(images: Float[ndarray, "N C H W"]) -> UInt8[ndarray, "H columns 4"]:
    """Return pictures (N, 1 or 3, H, W) in [0, 1] in one row, clear between them, as RGBA."""
    num, _, height, width = images.shape
    row = np.zeros((height, num, width + _GAP, 4), np.uint8)
    row[:, :, :width, :3] = (images.clip(0, 1) * 255).round().transpose(2, 0, 3, 1)
    row[:, :, :width, 3] = 255
    return row.reshape(height, -1, 4)[:, :-_GAP]


def draw_strips(strips: Strips) -> Drawing:
    """Draw strips below each other with their titles, enlarged so that single pixels are seen."""
    height, width = next(iter(strips.values())).shape[:2]
    with new_drawing(10, len(strips) * (10 * height / width + 0.35)) as drawing:
        rows = drawing.figure.subplots(len(strips), squeeze=False)[:, 0]
        for axes, (title, pixels) in zip(rows, strips.items(), strict=True):
            axes.imshow(pixels, interpolation="nearest")
            axes.set_title(title, loc="left")
            axes.set_axis_off()
    return drawing
