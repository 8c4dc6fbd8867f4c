"""Pictures for the page: photos small enough to be painted anew while a slider moves."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

import numpy as np
from numpy import ndarray
from PIL import Image, ImageDraw

from pixelwise.colour.arrays import Float32, UInt8
from pixelwise.labels.class_names import Colour
from pixelwise.photos.crop_view import shrunk_size
from pixelwise.photos.photo import Photo
from pixelwise.photos.resize import channels_last
from pixelwise.report.page import heat

_LONGEST = 1000  # pixels of a picture on the page

Codes = UInt8[ndarray, "H W 3"]


def small(photo: Photo) -> Codes:
    """Return a photo upright, no larger than the page shows it.

    Raises:
        PhotoError: the file is damaged or cut short.
    """
    short = max(1, round(_LONGEST * min(photo.height, photo.width) / max(photo.height, photo.width)))
    stored = photo.thumbnail(*shrunk_size(photo.height, photo.width, short))
    return channels_last(photo.upright(stored))


def nearest(values: UInt8[ndarray, "H W *bands"], size: tuple[int, int]) -> UInt8[ndarray, "h w *bands"]:
    """Return labels or paint at another size, by nearest neighbour."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip(size, values.shape[:2], strict=True)
    )
    return np.ascontiguousarray(values[rows[:, None], columns])


def sureness(values: Float32[ndarray, "h w"], over: Codes) -> tuple[Codes, str]:
    """Return the confidence map over the picture, stretched to be visible, and a legend with numbers."""
    colours = heat(values, over.shape[:2])
    mixed = (0.75 * colours + 0.25 * over.mean(axis=2, keepdims=True)).astype(np.uint8)
    stops = ", ".join(f"rgb{tuple(one)}" for one in heat(np.linspace(0, 1, 5)[None], (1, 5))[0].tolist())
    told = (
        f'<div class="legend">{values.min():.0%} sure <i class="scale" style="background: '
        f'linear-gradient(to right, {stops})"></i> {values.max():.0%} sure</div>'
    )
    return mixed, told


def legend(classes: Iterable[tuple[str, Colour, float]]) -> str:
    """Return the legend: class names in their colours, with their shares of the picture."""
    parts = "".join(
        f'<span><i style="background: rgb{colour}"></i>{escape(name)} {share:.1%}</span>'
        for name, colour, share in classes
    )
    return f'<div class="legend">{parts}</div>'


def marked(
    picture: Codes, told: Iterable[tuple[float, float, str]], asked: Iterable[tuple[float, float, str]] = ()
) -> Codes:
    """Draw a disc of its colour at each hint, and a number at each suggested point.

    Rows and columns are shares of height and width.
    """
    shown = Image.fromarray(picture)
    drawing = ImageDraw.Draw(shown)
    radius = max(5, round(max(picture.shape[:2]) / 90))
    for row, column, colour in told:
        centre = column * picture.shape[1], row * picture.shape[0]
        drawing.circle(centre, radius + 3, fill="white", outline="black")
        drawing.circle(centre, radius, fill=colour)
    for row, column, number in asked:
        centre = column * picture.shape[1], row * picture.shape[0]
        drawing.circle(centre, radius + 3, fill="white", outline="black")
        drawing.text(centre, number, fill="black", anchor="mm", font_size=1.7 * radius)
    return np.asarray(shown)
