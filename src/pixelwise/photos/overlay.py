"""Strips of a photo with classes laid over them, in colour and outlined, or with the background clear."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from pixelwise.colour.arrays import Bool, Int, UInt8
from pixelwise.photos.paint import Strip, numbered
from pixelwise.photos.read_ahead import worked_ahead

_LINE_FRAC = 1 / 1000  # of the photo's short side
_WIDEST_LINE = 6  # pixels; wider ones would make tall windows of large photos' narrow strips
_PAINTERS = 2  # threads

LabelRows = Callable[[int, int], UInt8[ndarray, "num W"]]  # classes of rows: the first one, and how many


@dataclass(frozen=True)
class Tint:
    """Colours that classes are drawn in."""

    colours: Sequence[tuple[int, int, int]]  # sRGB codes of each class
    opacity: float  # from 0, only outlines, to 1, no photo to be seen
    first_is_clear: bool  # whether the first class is what is around the others, and left as it is


def cut_out(strips: Iterator[Strip], labels: LabelRows, alpha: bool) -> Iterator[Strip]:
    """Return the strips of a photo in red, green, blue and alpha, all of them 0 where class 0 is.

    What was cut away can thus not be brought back, and takes little room in a file. `alpha` says whether the
    strips' last band is one.
    """
    for row, strip in numbered(strips):
        num, width = strip.shape[:2]
        cut = np.empty((num, width, 4), strip.dtype)
        cut[..., :3] = strip[..., :3] if strip.shape[-1] >= 3 else strip[..., :1]
        cut[..., 3] = strip[..., -1] if alpha else np.iinfo(strip.dtype).max
        cut *= (labels(row, num) > 0)[..., None]
        yield cut


def overlay(
    strips: Iterator[Strip], labels: LabelRows, size: tuple[int, int], alpha: bool, tint: Tint
) -> Iterator[Strip]:
    """Return the strips of a photo of `size` (height, width) in red, green and blue, classes over them.

    Outlines run inside the classes: a line in white and, within it, one in the class's colour, so that they
    show on things of that colour, too. With `alpha` the strips' last band is handed through.
    """
    line = min(max(1, round(min(size) * _LINE_FRAC)), _WIDEST_LINE)
    num = len(tint.colours)
    # Three times the classes: their insides, their lines in colour, their lines in white.
    colours = np.array([*tint.colours, *tint.colours, *[(255, 255, 255)] * num], np.float32) / 255
    opacity = np.repeat(np.array([[tint.opacity], [1], [1]], np.float32), num, axis=0)
    if tint.first_is_clear:
        opacity[::num] = 0
    kept, added = 1 - opacity[:, 0], colours * opacity

    def painted(numbered_strip: tuple[int, Strip]) -> Strip:
        row, strip = numbered_strip
        first, stop = max(0, row - 2 * line), min(size[0], row + len(strip) + 2 * line)
        classes = labels(first, stop - first)
        rows = slice(row - first, row - first + len(strip))
        above, below = 2 * line - rows.start, 2 * line - (len(classes) - rows.stop)  # missing at the edges
        around = np.pad(classes, ((above, below), (2 * line, 2 * line)), mode="edge")
        index = classes[rows] + num * _lines(around, line)
        copy = np.empty((*strip.shape[:2], 3 + alpha), strip.dtype)
        for channel in range(3):
            codes = added[:, channel].take(index)
            codes *= np.iinfo(strip.dtype).max
            codes += 0.5  # cutting off rounds
            codes += kept.take(index) * strip[..., channel if strip.shape[-1] >= 3 else 0]
            copy[..., channel] = codes
        if alpha:
            copy[..., 3] = strip[..., -1]
        return copy

    yield from worked_ahead(painted, numbered(strips), _PAINTERS)


def _lines(classes: UInt8[ndarray, "_H _W"], line: int) -> Int[ndarray, "H W"]:
    """Return 2 where another class is as near as `line` along both axes, 1 where as twice that, or else 0.

    The result lacks the outermost 2 * line pixels on all sides. A square that has two classes has a corner
    within at which four pixels meet that are not all of one.
    """
    corner = classes[:-1, :-1]
    mixed = (classes[1:, :-1] != corner) | (classes[:-1, 1:] != corner) | (classes[1:, 1:] != corner)
    near = _any_of(mixed, 2 * line)
    return np.add(near[line:-line, line:-line], _any_of(near, 2 * line + 1), dtype=np.intp)


def _any_of(found: Bool[ndarray, "_H _W"], num: int) -> Bool[ndarray, "H W"]:
    """Return for each square of `num` by `num` places whether anything was found in it."""
    span = 1
    while span < num:
        more = min(span, num - span)
        found = found[:-more] | found[more:]
        found = found[:, :-more] | found[:, more:]
        span += more
    return found
