"""Figures: curves of a run, and rows of pictures beside what a network makes of them."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import torch
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy import ndarray
from torch import Tensor

from pixelwise.colour import LUMINANCE_WEIGHTS, recolour, srgb_to_linear
from pixelwise.runs import Model
from pixelwise.shapes import Bytes

TEMPERATURE = 0.38
"""Sharpness at which an ab palette's classes are averaged. Source: arXiv:1603.08511, section 2.3."""

_DPI = 160


@dataclass(frozen=True)
class Ink:
    """Colours of a drawing. Source of train and val: M. Okabe, K. Ito, "Color universal design", 2008."""

    text: str
    grid: str
    train: str
    val: str


ON_LIGHT = Ink(text="#1d1d1f", grid="#dcdce0", train="#d55e00", val="#0072b2")
ON_DARK = Ink(text="#e6e6ea", grid="#3a3a40", train="#e69f00", val="#56b4e9")

Row = dict[str, float]
"""One epoch's line of metrics.jsonl."""


def draw_curves(rows: Sequence[Row]) -> Figure:
    """Loss and accuracy by epoch, beside each other."""
    with _style(ON_LIGHT):
        figure = _figure(10, 3.8)
        left, right = figure.subplots(1, 2)
        _draw_loss(left, rows, ON_LIGHT)
        _draw_accuracy(right, rows, ON_LIGHT)
    return figure


def draw_loss(rows: Sequence[Row], ink: Ink) -> Figure:
    """Loss by epoch alone."""
    with _style(ink):
        figure = _figure(5, 3.4)
        _draw_loss(figure.subplots(), rows, ink)
    return figure


def draw_accuracy(rows: Sequence[Row], ink: Ink) -> Figure:
    """Accuracy by epoch alone."""
    with _style(ink):
        figure = _figure(5, 3.4)
        _draw_accuracy(figure.subplots(), rows, ink)
    return figure


def _draw_loss(axes: Axes, rows: Sequence[Row], ink: Ink) -> None:
    curves = {"train_loss": ("training", ink.train), "val_loss": ("validation", ink.val)}
    for key, (label, colour) in curves.items():
        _draw_curve(axes, [row["epoch"] for row in rows], [row[key] for row in rows], colour, label)
    axes.set_title("Loss, nats per pixel", loc="left")
    axes.legend(frameon=False)


def _draw_accuracy(axes: Axes, rows: Sequence[Row], ink: Ink) -> None:
    epochs = [row["epoch"] for row in rows]
    _draw_curve(axes, epochs, [row["val_accuracy"] for row in rows], ink.val, "validation")
    axes.set_title("Validation pixels in the right class, %", loc="left")


def _draw_curve(axes: Axes, epochs: list[float], values: list[float], colour: str, label: str) -> None:
    """A line; with points on it while they can be told apart, which also shows a single epoch."""
    marker = "o" if len(epochs) <= 30 else ""
    axes.plot(epochs, values, color=colour, label=label, marker=marker, markersize=4, linewidth=1.8)
    if len(epochs) == 1:
        point = (epochs[0], values[0])
        axes.annotate(f"{values[0]:.4g}", point, (8, -3), textcoords="offset points", color=colour)
        axes.margins(y=0.6)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


@dataclass(frozen=True)
class Strip:
    """One row of a picture figure: what it shows, and the pictures beside each other."""

    title: str
    pixels: UInt8[ndarray, "H W 4"]


def compare(model: Model, images: Bytes) -> list[Strip]:
    """Rows grey, truth, truth in the classes' own colours, prediction; one column per picture.

    What the classes can show at best is there too: no network over them does better.
    """
    palette = model.palette
    grey, labels = palette.read_grey(images), palette.encode(images)
    with torch.inference_mode():
        logits = model.net(grey)
    if palette.space == "ab":
        luminance = torch.einsum("c,nchw->nhw", torch.tensor(LUMINANCE_WEIGHTS), srgb_to_linear(images / 255))
        chromas = (torch.zeros(1, 2, 1, 1), palette.decode(labels), palette.chroma(logits, TEMPERATURE))
        shown, classes, predicted = (recolour(luminance, *ab.unbind(1)).movedim(0, 1) for ab in chromas)
    else:
        shown, classes, predicted = grey, palette.decode(labels), palette.decode(logits.argmax(1))
    return [
        Strip("Grey, as the network reads it", _beside(shown)),
        Strip("Truth", _beside(images / 255)),
        Strip(f"Truth in the {palette.num_classes} colours to choose from", _beside(classes)),
        Strip("Prediction", _beside(predicted)),
    ]


def _beside(images: Tensor, gap: int = 2) -> UInt8[ndarray, "H W 4"]:
    """Pictures (N, 1 or 3, H, W) in [0, 1] in one row, clear between them, as RGBA."""
    num, _, height, width = images.shape
    row = np.zeros((height, num * (width + gap) - gap, 4), np.uint8)
    codes = (images.clamp(0, 1) * 255).round().byte().expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()
    for index, picture in enumerate(codes):
        column = index * (width + gap)
        row[:, column : column + width, :3] = picture
        row[:, column : column + width, 3] = 255
    return row


def draw_strips(strips: Sequence[Strip]) -> Figure:
    """Strips below each other with their titles, enlarged so that single pixels are seen."""
    height, width = strips[0].pixels.shape[:2]
    with _style(ON_LIGHT):
        figure = _figure(10, len(strips) * (10 * height / width + 0.35))
        for axes, strip in zip(figure.subplots(len(strips), squeeze=False)[:, 0], strips, strict=True):
            axes.imshow(strip.pixels, interpolation="nearest")
            axes.set_title(strip.title, loc="left")
            axes.set_axis_off()
    return figure


def to_png(figure: Figure) -> bytes:
    """A figure as PNG on white."""
    return _saved(figure, format="png", dpi=_DPI, facecolor="white")


def to_svg(figure: Figure) -> str:
    """A figure as SVG on nothing, letters as outlines, equal for equal figures."""
    with matplotlib.rc_context({"svg.hashsalt": "pixelwise"}):
        return _saved(figure, format="svg", transparent=True, metadata={"Date": None}).decode()


def _saved(figure: Figure, **options: Any) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, **options)
    return content.getvalue()


def _figure(width: float, height: float) -> Figure:
    """A figure of its own, in inches, that no global state of matplotlib knows of."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _style(ink: Ink) -> contextlib.AbstractContextManager[None]:
    """Readable letters, no box, a faint grid; whatever the user's own matplotlib settings are."""
    settings = matplotlib.rcParamsDefault | {
        "font.size": 11,
        "axes.titlesize": 12,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": ink.grid,
        "axes.edgecolor": ink.grid,
    }
    settings |= dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), ink.text)
    settings.pop("backend")  # figures here have their own canvas; another program's window stays as it is
    return matplotlib.rc_context(settings)
