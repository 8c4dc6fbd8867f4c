"""Strips of a photo coloured by a small map of chroma, by table where the photo is large.

A strip is a contiguous array (rows, W, bands) of 8- or 16-bit codes: 1 band, grey, or 3, red, green and blue,
and perhaps one more, alpha. After painting it has 3 bands, or 4 with the alpha as it was.
kornia and libvips take several times as long for Lab and back; see `benchmarks/colourise_large.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from typing import Any

import numpy as np
from numpy import ndarray
from numpy.typing import NDArray

from pixelwise.colour.arrays import Float32, Int
from pixelwise.colour.spaces import LUMINANCE_WEIGHTS, luminance_to_lightness, recolour, srgb_to_linear
from pixelwise.photos.read_ahead import worked_ahead

Strip = NDArray[Any]  # codes of some rows, (rows, W, bands), uint8 or uint16

_TABLE_FROM = 2**21  # pixels; smaller photos are painted exactly in the time that the table takes to make
_NUM_LUMINANCES = 512  # evenly spaced in the square root: steps of at most 0.34 in L, as fine as 8 bit sRGB
_NUM_CHROMAS = 2**11  # pairs of a and b in the table; with 512 luminances 4 MB, made in 0.03 s
_FINEST_STEP = 0.5  # in a and b; finer than rounding to 8 bit can show
_MOST_SHARED_ROWS = 4
_NUM_SAMPLED_ROWS = 16
_BLOCK_PIXELS = 2**15  # painted by formula at once, so that what it takes on the way stays in the cache


@dataclass
class LightnessDrift:
    """Change of L from the photo to the coloured one, before the file format's own losses.

    Counted on every n-th row, so that 16 to 31 are, or on all where there are fewer.
    """

    total: float = 0.0
    num_pixels: int = 0
    tones: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(101, np.int64)
    )  # pixels by L, in whole units

    @property
    def mean(self) -> float:
        """Mean absolute difference of L, in units of L (0 to 100)."""
        return self.total / max(self.num_pixels, 1)

    def add(self, before: Float32[ndarray, "*pixels"], after: Float32[ndarray, "*pixels"]) -> None:
        """Count pixels by their luminance before and after, in the same order."""
        lightness = luminance_to_lightness(before)
        self.tones += np.histogram(lightness, len(self.tones), (-0.5, 100.5))[0]
        self.total += float(np.abs(luminance_to_lightness(after) - lightness).sum())
        self.num_pixels += before.size


def paint(
    strips: Iterator[Strip],
    chroma: Float32[ndarray, "2 h w"],
    size: tuple[int, int],
    alpha: bool,
    drift: LightnessDrift,
    table_from: int = _TABLE_FROM,
) -> Iterator[Strip]:
    """Colour the strips of a photo of `size` (height, width), from the top, and count `drift` on the way.

    `chroma` (2, h, w) holds Lab a and b; it is enlarged bicubically to the photo. With `alpha` the strips'
    last band is handed through. Photos in 8 bit of `table_from` pixels and more are painted by table.
    """
    first = next(strips)
    by_table = first.dtype == np.uint8 and math.prod(size) >= table_from
    brush = _Table(chroma, size, first.shape[-1] <= 2) if by_table else _Exact(chroma, size)
    every = max(1, size[0] // _NUM_SAMPLED_ROWS)

    def painted(numbered_strip: tuple[int, Strip]) -> tuple[int, Strip, Strip]:
        row, strip = numbered_strip
        copy = brush.paint(strip, row, 3 + alpha)
        if alpha:
            copy[..., 3] = strip[..., -1]
        return row, strip, copy

    # One thread paints while another encodes: a second painter would wait for Python's lock.
    for row, strip, copy in worked_ahead(painted, numbered(chain([first], strips)), num_threads=1):
        if -row % every < len(strip):
            sampled = slice(-row % every, None, every)
            drift.add(_luminance(strip[sampled]), _luminance(copy[sampled]))
        yield copy


def numbered(strips: Iterable[Strip]) -> Iterator[tuple[int, Strip]]:
    """Yield each strip behind the row that it begins at."""
    row = 0
    for strip in strips:
        yield row, strip
        row += len(strip)


def _luminance(strip: Strip) -> Float32[ndarray, "rows W"]:
    """Return the CIE luminance of a strip's pixels, (rows, W) float32 in [0, 1]; any number of bands."""
    linear = _linear(strip.dtype)
    if strip.shape[-1] <= 2:
        return linear.take(strip[..., 0])
    red, green, blue = (
        weight * linear.take(strip[..., band]) for band, weight in enumerate(LUMINANCE_WEIGHTS)
    )
    return red + green + blue


@cache
def _linear(dtype: np.dtype[Any]) -> Float32[ndarray, " codes"]:
    largest = np.iinfo(dtype).max
    return srgb_to_linear(np.arange(largest + 1) / largest).astype(np.float32)


class _Enlarged:
    """A small map (2, h, w) enlarged bicubically to (2, H, W), some rows at a time."""

    def __init__(self, small: Float32[ndarray, "2 h w"], size: tuple[int, int]) -> None:
        height, width = size
        index, weights = _taps(small.shape[2], width)
        self.wide = small[..., index[:, 0]] * weights[:, 0]
        for tap in range(1, 4):
            self.wide += small[..., index[:, tap]] * weights[:, tap]
        self.index, self.weights = _taps(small.shape[1], height)

    def rows(self, first: int, num: int, step: int = 1) -> Float32[ndarray, "2 num W"]:
        """Return every `step`-th of the rows `first` to `first + num`, (2, ceil(num / step), W)."""
        wanted = slice(first, first + num, step)
        index, weights = self.index[wanted], self.weights[wanted]
        low, high = int(index[0, 0]), int(index[-1, -1]) + 1
        matrix = np.zeros((len(index), high - low), np.float32)
        np.add.at(matrix, (np.arange(len(index))[:, None], index - low), weights)
        return matrix @ self.wide[:, low:high]


def _taps(num_small: int, num_large: int) -> tuple[Int[ndarray, "n 4"], Float32[ndarray, "n 4"]]:
    """Return four neighbours (num_large, 4) of each enlarged pixel and their weights; edges repeat.

    Source: Keys 1981, cubic convolution, a = -0.5 (third order).
    """
    at = (np.arange(num_large) + 0.5) * num_small / num_large - 0.5
    start = np.floor(at)
    t = at - start
    weights = [
        ((-0.5 * t + 1) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1,
        ((-1.5 * t + 2) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    ]
    index = (start[:, None] + np.arange(-1, 3)).clip(0, num_small - 1).astype(np.intp)
    return index, np.stack(weights, axis=1).astype(np.float32)


def _put_codes(srgb: Float32[ndarray, " 3 *pixels"], out: Strip) -> None:
    """Round colours (3, ...) in [0, 1] to codes, into the first three bands of `out` (..., bands)."""
    srgb *= np.iinfo(out.dtype).max
    codes = np.rint(srgb, out=srgb)
    for channel in range(3):
        out[..., channel] = codes[channel]


class _Exact:
    """Paints each pixel by the formula, in 8 or 16 bit."""

    def __init__(self, chroma: Float32[ndarray, "2 h w"], size: tuple[int, int]) -> None:
        self.chroma = _Enlarged(chroma, size)

    def paint(self, strip: Strip, row: int, bands: int) -> Strip:
        """Return codes (rows, W, bands) of a strip that begins at the photo's `row`; a fourth is open."""
        painted = np.empty((*strip.shape[:2], bands), strip.dtype)
        rows = max(1, _BLOCK_PIXELS // strip.shape[1])
        for first in range(0, len(strip), rows):
            block = strip[first : first + rows]
            chroma = self.chroma.rows(row + first, len(block))
            _put_codes(recolour(_luminance(block), *chroma), painted[first : first + rows])
        return painted


class _Table:
    """Paints 8-bit pixels by one lookup each, in a table of the formula's colours by luminance, a and b.

    L comes out within half a step of 8 bit, exact for grey photos. The map's own range of a and b is divided
    into about 2,048 cells: chroma is right to 0.25 for muted maps and to 1.3 for the most vivid.
    """

    def __init__(self, chroma: Float32[ndarray, "2 h w"], size: tuple[int, int], grey: bool) -> None:
        low, high = chroma.min((1, 2)), chroma.max((1, 2))
        step = np.float32(max(_FINEST_STEP, math.sqrt(float((high - low).prod()) / _NUM_CHROMAS)))
        self.num_cells = np.floor((high - low) / step) + 2  # by a and by b
        a, b = (np.arange(num, dtype=np.float32) * step for num in self.num_cells)
        linear = _linear(np.dtype(np.uint8))
        luminances = linear if grey else np.linspace(0, 1, _NUM_LUMINANCES, dtype=np.float32) ** 2
        self.num_luminances = len(luminances)
        self.table = _colour_table(luminances, low[0] + a, low[1] + b)
        self.cells = _Enlarged((chroma - low[:, None, None]) / step, size)
        # Within a 16th of the map's own pixel chroma hardly moves: such rows share their cells.
        self.shared_rows = min(max(1, size[0] // (16 * chroma.shape[1])), _MOST_SHARED_ROWS)
        # Luminance that red and green bring, by red + 256 green: two lookups a pixel instead of three.
        linear = linear * np.float32((_NUM_LUMINANCES - 1) ** 2)
        red, green, self.blue = (np.float32(weight) * linear for weight in LUMINANCE_WEIGHTS)
        self.red_green = (green[:, None] + red[None, :]).flatten()
        types, shape = (np.intp, np.int32, np.float32, np.float32), (self.shared_rows, size[1])
        self.buffers = [np.empty(shape, dtype) for dtype in types]  # for all strips: new memory is dear

    def paint(self, strip: Strip, row: int, bands: int) -> Strip:
        height, width = strip.shape[:2]
        cells = np.rint(self.cells.rows(row, height, self.shared_rows))
        a, b = cells.clip(0, self.num_cells[:, None, None] - 1, out=cells)  # a cubic overshoots at edges
        places = (a * self.num_cells[1] + b) * self.num_luminances  # below 2^24, where a float32 is exact
        memory = np.empty(height * width * bands + 4, np.uint8)
        # Each word is written over the last byte of the one before it: three times as fast as byte by byte.
        words = np.ndarray((height, width), "<i4", memory.data, strides=(width * bands, bands))
        for first, place in zip(range(0, height, self.shared_rows), places, strict=True):
            rows = slice(first, first + self.shared_rows)  # few enough to stay in the processor's cache
            index, pixels, *sums = (buffer[: len(strip[rows])] for buffer in self.buffers)
            self._find(strip[rows], place, index, *sums)
            self.table.take(index, out=pixels, mode="wrap")
            np.copyto(words[rows], pixels)
        return memory[:-4].reshape(height, width, bands)

    def _find(self, strip: Strip, place: ndarray, index: ndarray, light: ndarray, blue: ndarray) -> None:
        """Put places in the table into `index`; "wrap" takes three quarters of the time of "clip"."""
        if strip.shape[-1] <= 2:
            np.add(strip[..., 0], place, out=index, casting="unsafe")
            return
        np.copyto(index, np.ndarray(strip.shape[:2], "<u2", strip.data, strides=strip.strides[:2]))
        self.red_green.take(index, out=light, mode="wrap")
        np.copyto(index, strip[..., 2])
        self.blue.take(index, out=blue, mode="wrap")
        light += blue
        np.sqrt(light, out=light)
        light += place + np.float32(0.5)  # with which cutting off rounds
        np.copyto(index, light, casting="unsafe")


def _colour_table(
    luminances: Float32[ndarray, " n"], a: Float32[ndarray, " a"], b: Float32[ndarray, " b"]
) -> NDArray[np.int32]:
    pixels = np.zeros((len(a), len(b), len(luminances), 4), np.uint8)  # four bytes a colour
    for cell, value in zip(pixels, a[:, None], strict=True):  # one at a time stays in the processor's cache
        _put_codes(recolour(luminances, value, b[:, None]), cell)
    return pixels.view(np.int32).reshape(-1)
