"""The features of photos by a frozen backbone: sizes, and tiles that equal the whole."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import final

import numpy as np
from numpy import ndarray

from pixelwise.colour.arrays import Float32, Int16, Shaped, UInt8
from pixelwise.network.backbone import Backbone
from pixelwise.network.linear import Maps
from pixelwise.network.session import give_back_memory
from pixelwise.photos.crop_view import WHOLE, View, read_view, reading_size
from pixelwise.photos.photo import Photo, open_photo

READING = "thumbnail-2"  # the name of the way in which photos are read here; another would need another name
_MARGINS = (4, 3, 2.25)  # sides of the smallest tiles, and of those tried where memory lacks
_LARGEST, _SMALLEST = 65504, 1e-30  # features; one that is larger would take the bits of its channel
_LARGEST_CODE = 2**15 - 1
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CropView:
    """A photo, and the view of it that is read."""

    photo: Path
    view: View = WHOLE


def read_photo(
    photo: Photo | Path, short_side: int, multiple: int, view: View = WHOLE
) -> UInt8[ndarray, "3 H W"]:
    """Return a view as networks read it: upright, sRGB, sides divisible by `multiple`; else a PhotoError."""
    if isinstance(photo, Path):
        photo = open_photo(photo)
    height, width = photo.upright_size
    size = reading_size(height * view.height, width * view.width, short_side, multiple)
    return np.ascontiguousarray(read_view(photo, view, *size))


@final
class Extractor:
    """Computes the features of pictures by a backbone."""

    def __init__(self, backbone: Backbone, max_pixels: int = 1_500_000) -> None:
        """Prepare for a backbone; tiles have at most `max_pixels`."""
        self.backbone, self.max_pixels = backbone, max_pixels
        self._num_halvings = 0

    def __call__(self, image: UInt8[ndarray, "3 H W"]) -> Maps:
        """Return the network's maps (C, h, w) of one picture, level by level.

        A large one goes in tiles, if the network says how wide their margins have to be; where memory does
        not suffice, in smaller ones from then on, with a warning.
        """
        if self.backbone.margin is None:
            return self._forward(image)
        strides = [level.stride for level in self.backbone.levels]
        while True:
            halvings = self._num_halvings
            tiles = split(
                *image.shape[1:],
                step=self.backbone.multiple,
                margin=self.backbone.margin,
                max_pixels=self.max_pixels >> halvings,
                margins=_MARGINS[halvings],
            )
            try:
                return stitch(image, tiles, strides, self._forward)
            except MemoryError:
                if halvings + 1 == len(_MARGINS):
                    raise
            give_back_memory()  # a try that failed leaves it in pieces that no tile fits in
            self._num_halvings = halvings + 1
            _logger.warning("needed more memory than there is: photos are read in smaller tiles")

    def _forward(self, part: UInt8[ndarray, "3 H W"]) -> tuple[Float32[ndarray, "_C _h _w"], ...]:
        return tuple(level[0] for level in self.backbone(part[None] / np.float32(255)))


def to_codes(level: Float32[ndarray, "C h w"]) -> tuple[Int16[ndarray, "h w C"], Float32[ndarray, " C"]]:
    """Return a map in 16 bit, and the value that each channel's code of 1 stands for.

    Whole numbers are as exact as half precision where values are large, and widened in a seventh of the time.
    """
    values = np.nan_to_num(level).clip(-_LARGEST, _LARGEST)
    scale = np.abs(values).max((1, 2)).clip(_SMALLEST) / np.float32(_LARGEST_CODE)
    values /= scale[:, None, None]
    codes = np.rint(values, out=values).astype(np.int16)
    return np.ascontiguousarray(np.moveaxis(codes, 0, -1)), scale


@dataclass(frozen=True)
class Span:
    """A tile's rows or columns: those whose features it gives, and those that the network reads for them."""

    start: int
    stop: int
    seen_start: int
    seen_stop: int

    def at(self, stride: int, origin: int = 0) -> slice:
        """Return its place in a map at `stride` that begins at the picture's row or column `origin`."""
        return slice((self.start - origin) // stride, (self.stop - origin) // stride)


@dataclass(frozen=True)
class Tile:
    """A rectangle of a picture."""

    rows: Span
    columns: Span

    def crop(self, image: Shaped[ndarray, "3 H W"]) -> Shaped[ndarray, "3 h w"]:
        """Return what the network reads of a picture for this tile."""
        rows, columns = self.rows, self.columns
        return image[:, rows.seen_start : rows.seen_stop, columns.seen_start : columns.seen_stop]


def split(
    height: int, width: int, *, step: int, margin: int, max_pixels: int, margins: float = 4
) -> list[Tile]:
    """Return tiles that cover a picture once, each read with `margin` pixels around it; fewest pixels in all.

    Every border lies at a multiple of `step`, or at the picture's own. No tile reads more than `max_pixels`,
    or a square of so many `margins`, whichever is larger: with less, most of what is read would be margins.
    """
    limit = max(max_pixels, int(margins * margin) ** 2, (2 * margin + step) ** 2)
    if height * width <= limit:
        return [Tile(Span(0, height, 0, height), Span(0, width, 0, width))]
    cuts = [[_cut(side, num, step, margin) for num in range(1, side // step + 1)] for side in (height, width)]
    fitting = [pair for pair in product(*cuts) if pair[0][1] * pair[1][1] <= limit]  # tiles of one step do
    rows, columns = min(fitting, key=lambda pair: pair[0][2] * pair[1][2])
    return [Tile(*spans) for spans in product(rows[0], columns[0])]


def _cut(side: int, num: int, step: int, margin: int) -> tuple[list[Span], int, int]:
    """Return a side of a picture in `num` spans of nearly one length, the longest one read, and their sum."""
    length = -(-side // (num * step)) * step
    spans = [
        Span(start, min(start + length, side), max(0, start - margin), min(start + length + margin, side))
        for start in range(0, side, length)
    ]
    lengths = [span.seen_stop - span.seen_start for span in spans]
    return spans, max(lengths), sum(lengths)


def stitch(
    image: Shaped[ndarray, "3 H W"],
    tiles: Sequence[Tile],
    strides: Sequence[int],
    forward: Callable[[ndarray], Maps],
) -> Maps:
    """Return the maps of the whole picture, one at each of `strides`, from those of each tile."""
    if len(tiles) == 1:
        return forward(image)
    whole: list[ndarray] = []
    height, width = image.shape[1:]
    for tile in tiles:
        maps, rows, columns = forward(tile.crop(image)), tile.rows, tile.columns
        whole = whole or [
            np.empty((len(level), height // stride, width // stride), level.dtype)
            for level, stride in zip(maps, strides, strict=True)
        ]
        for target, level, stride in zip(whole, maps, strides, strict=True):
            own = level[:, rows.at(stride, rows.seen_start), columns.at(stride, columns.seen_start)]
            target[:, rows.at(stride), columns.at(stride)] = own
    return tuple(whole)
