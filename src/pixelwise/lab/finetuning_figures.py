"""The figures of C1, C2 and C3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy import ndarray

from pixelwise.data import LabelledPhoto
from pixelwise.evaluate.heads import read_pixels
from pixelwise.figures import ON_LIGHT, Drawing, new_figure, styled
from pixelwise.labelspace import IGNORE
from pixelwise.masks.read import resize_mask

_HEIGHT, _WIDTH = 330, 440  # pixels at most that a photo is shown with
_FLOWER = (86, 180, 233)  # Source of the colours: Okabe and Ito 2008, Color Universal Design
_MISSED, _TOO_MUCH, _UNKNOWN = (213, 94, 0), (240, 228, 66), (128, 128, 128)
_OPACITY = 0.6


def draw_drift(shifts: Sequence[dict[str, float]]) -> Drawing:
    """How far features move by the number of batches that a network saw, of which nothing learned."""
    with styled(ON_LIGHT):
        figure = new_figure(6.4, 3.6)
        axes = figure.subplots()
        batches = [one["batches"] for one in shifts]
        for name, label, colour in (
            ("thawed", "only gradients switched off", ON_LIGHT.train),
            ("frozen", "frozen", ON_LIGHT.val),
        ):
            percent = [100 * one[name] for one in shifts]
            axes.plot(batches, percent, color=colour, marker="o", markersize=4, linewidth=1.8, label=label)
        axes.set_title("Change of the deepest features, % of their length", loc="left")
        axes.set_xlabel("batches seen in training mode, nothing learned")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(frameon=False)
    return Drawing(figure, ON_LIGHT)


def draw_scores(losses: Sequence[float], ways: Sequence[dict[str, Any]]) -> Drawing:
    """The loss of the handout's loop by epoch; mean intersection over union before and after, by way."""
    with styled(ON_LIGHT):
        figure = new_figure(10, 3.4)
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.3))
        epochs = range(1, len(losses) + 1)
        left.plot(epochs, losses, color=ON_LIGHT.train, marker="o", markersize=4, linewidth=1.8)
        left.set_title("Loss of the loop, nats a pixel", loc="left")
        left.set_xlabel("epoch")
        left.set_ylim(bottom=0)
        left.xaxis.set_major_locator(MaxNLocator(integer=True))
        _draw_before_and_after(right, ways)
    return Drawing(figure, ON_LIGHT)


def _draw_before_and_after(axes: Axes, ways: Sequence[dict[str, Any]]) -> None:
    for part, colour in (("before", ON_LIGHT.train), ("after", ON_LIGHT.val)):
        scores = [one[part]["miou"] for one in ways]
        values = [one["value"] for one in scores]
        below = [one["value"] - one["low"] for one in scores]
        above = [one["high"] - one["value"] for one in scores]
        axes.errorbar(
            values, range(len(ways)), xerr=[below, above], fmt="o", color=colour, capsize=3, label=part
        )
    axes.set_yticks(range(len(ways)), [one["name"] for one in ways])
    axes.set_ylim(len(ways) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.set_title("Mean intersection over union, test photos", loc="left")
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2)


@dataclass(frozen=True, eq=False)
class CutOut:
    """A photo small enough to be shown, its labels and what a head made of it."""

    stem: str
    miou: float
    """Within this photo, at full size."""
    pixels: UInt8[ndarray, "H W 3"]
    labels: UInt8[ndarray, "H W"]
    """0 background, 1 flower, or IGNORE."""
    given: UInt8[ndarray, "H W"]

    @staticmethod
    def of(photo: LabelledPhoto, given: UInt8[ndarray, "H W"], miou: float) -> CutOut:
        """`given` is the class of each pixel of the photo, at its own size.

        Raises:
            DataError, PhotoError: the photo or its labels cannot be read.
        """
        pixels, labels = read_pixels(photo.photo), photo.read_labels().numpy()
        scale = min(_HEIGHT / labels.shape[0], _WIDTH / labels.shape[1])
        height, width = (round(scale * length) for length in labels.shape)
        return CutOut(
            photo.stem,
            miou,
            cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA),
            resize_mask(labels, height, width),
            resize_mask(given, height, width),
        )

    def views(self) -> list[UInt8[ndarray, "H W 3"]]:
        """The photo alone, with the truth, with what was given, and with where the two differ."""
        known = self.labels != IGNORE
        unknown = (~known, _UNKNOWN)
        return [
            self.pixels,
            self._tinted((self.labels == 1, _FLOWER), unknown),
            self._tinted((self.given == 1, _FLOWER)),
            self._tinted(
                (known & (self.labels == 1) & (self.given != 1), _MISSED),
                (known & (self.labels != 1) & (self.given == 1), _TOO_MUCH),
                unknown,
            ),
        ]

    def _tinted(self, *tints: tuple[Any, tuple[int, int, int]]) -> UInt8[ndarray, "H W 3"]:
        """The photo in grey, with colours over parts of it."""
        grey = self.pixels.mean(2, keepdims=True).repeat(3, 2)
        for where, colour in tints:
            grey[where] = (1 - _OPACITY) * grey[where] + _OPACITY * np.array(colour)
        return grey.round().astype(np.uint8)


def draw_cut_outs(photos: Sequence[CutOut]) -> Drawing:
    """A row for each photo: image, truth, prediction, difference."""
    titles = ("Photo", "Truth", "Prediction", "Difference")
    with styled(ON_LIGHT):
        figure = new_figure(10, 2.15 * len(photos) + 0.5)
        axes = figure.subplots(len(photos), len(titles), squeeze=False)
        for row, photo in zip(axes, photos, strict=True):
            for one, view, title in zip(row, photo.views(), titles, strict=True):
                one.imshow(view)
                one.set_xticks([])
                one.set_yticks([])
                one.grid(visible=False)
                if photo is photos[0]:
                    one.set_title(title, loc="left")
            row[0].set_ylabel(f"{photo.stem}\nmean IoU {photo.miou:.2f}", fontsize=9)
        colours = (("flower", _FLOWER), ("missed", _MISSED), ("too much", _TOO_MUCH), ("no label", _UNKNOWN))
        for name, colour in colours:
            axes[0, 0].scatter([], [], s=70, marker="s", label=name, color=np.array(colour) / 255)
        figure.legend(loc="outside lower center", ncols=len(colours), frameon=False)
    return Drawing(figure, ON_LIGHT)
