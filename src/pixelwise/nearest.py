"""The nearest of K colours for each of the 16,777,216 colours of 8 bits, as one table of bytes.

The table is exact and made without comparing every colour with every centre. The space is cut into small
boxes. How much nearer a point is to one centre than to another, as a difference of squared distances, is
affine in the point; over a box its extreme lies at a corner, so it is known from the middle and the slope. A
centre that loses to the middle's nearest one at every corner, by more than rounding can hide, loses in the
whole box. Most boxes are left with one contender and are filled at once; only colours in boxes on a border
are compared, and with the contenders of their box alone.

What the table equals, for every colour (r, g, b) of codes 0..255, is the brute-force rule in float64:

* `rgb`: the least (r - c_r)^2 + (g - c_g)^2 + (b - c_b)^2, the centres in codes (sRGB times 255);
* `ab`: the least (a - c_a)^2 + (b - c_b)^2, where a, b is `colour.srgb_to_lab` of the codes / 255 in float64.

On a tie the lowest index wins. Colours are placed in ab boxes by their Lab in float32; the boxes are widened
by more than its error, and colours that are compared are converted in float64.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int32, Int64, UInt8
from numpy import ndarray

Space = Literal["rgb", "ab"]

_NUM_CODES = 256
NUM_COLOURS = _NUM_CODES**3
_UNDECIDED = 255  # no class: a table serves at most 255 of them
_ROUNDING = 1e-6  # of squared distances up to 2e5, in float64: far more than they can be off
_PART = 2**16  # colours compared at once: they stay in the processor's cache
_PIXELS = 2**17  # pixels looked up at once: so does their index


@dataclass(frozen=True, kw_only=True, slots=True)
class _Grid:
    """Boxes that cover every coordinate of a space: cubes of codes, or squares of the ab plane."""

    low: float
    """Where the first box starts, on every axis."""
    side: float
    half: float
    """From a box's middle to the farthest point placed in it, along an axis."""
    num: int
    """Boxes along an axis."""
    num_axes: int

    def middles(self) -> Float64[ndarray, "boxes D"]:
        """Middle of each box, in the order of `place`."""
        axis = self.low + self.side * (np.arange(self.num) + 0.5)
        axes = np.meshgrid(*[axis] * self.num_axes, indexing="ij")
        return np.stack([along.ravel() for along in axes], axis=1)

    def place(self, points: Float[ndarray, "D n"]) -> Int32[ndarray, " n"]:
        """Index of the box that each point lies in."""
        index = np.zeros(points.shape[1], dtype=np.int32)
        for along in points:
            index *= self.num
            index += ((along - self.low) / self.side).astype(np.int32)
        return index


_GRIDS: dict[Space, _Grid] = {
    "rgb": _Grid(low=-0.5, side=8.0, half=3.5, num=32, num_axes=3),
    # sRGB reaches from -86.2 to 98.3 in a and from -107.9 to 94.5 in b; `_chroma` is off by less than 0.001
    "ab": _Grid(low=-110.0, side=1.0, half=0.5 + 0.01, num=220, num_axes=2),
}


@dataclass(frozen=True, slots=True)
class _Contenders:
    """Which centres can be nearest somewhere in each box."""

    num: Int64[ndarray, " boxes"]
    classes: UInt8[ndarray, "boxes M"]
    """In rising order, so that the first of equals is the lowest; beyond `num` they mean nothing."""
    decided: UInt8[ndarray, " boxes"]
    """The only contender, or `_UNDECIDED`."""


def nearest_table(centres: Float64[ndarray, "K D"], space: Space) -> UInt8[ndarray, " colours"]:
    """Index of the nearest centre for each colour, at position r * 65536 + g * 256 + b.

    `centres` are codes (0 to 255) in `rgb`, Lab's a and b in `ab`; at most 255 of them.
    """
    grid = _GRIDS[space]
    contenders = _contenders(grid, centres)
    table = np.empty((_NUM_CODES, _NUM_CODES**2), dtype=np.uint8)
    borders, border_boxes = [], []
    for red, (labels, points) in enumerate(zip(table, _planes(space), strict=True)):
        boxes = grid.place(points)
        contenders.decided.take(boxes, out=labels, mode="clip")  # clip: without a second copy
        border = np.flatnonzero(labels == _UNDECIDED)
        borders.append(border + red * _NUM_CODES**2)
        border_boxes.append(boxes[border])
    flat = table.reshape(-1)
    index, boxes = np.concatenate(borders), np.concatenate(border_boxes)
    for start in range(0, len(index), _PART):
        part = slice(start, start + _PART)
        points = coordinates(codes_of(index[part]), space)
        flat[index[part]] = _nearest_contender(points, boxes[part], contenders, centres)
    return flat


def coordinates(codes: UInt8[ndarray, "3 n"], space: Space) -> Float64[ndarray, "D n"]:
    """Where colours lie in a space, in float64: their codes in `rgb`, Lab's a and b in `ab`."""
    if space == "rgb":
        return codes.astype(np.float64)
    red, green, blue = codes
    reds, greens, blues = _light()
    return _chroma(reds[:, red] + greens[:, green] + blues[:, blue])


def _planes(space: Space) -> Iterator[Float32[ndarray, "D colours"]]:
    """Where the colours of one red lie, for each of the 256 reds, in float32."""
    if space == "rgb":
        green, blue = np.indices((_NUM_CODES, _NUM_CODES), dtype=np.float32).reshape(2, -1)
        for red in range(_NUM_CODES):
            yield np.stack((np.full_like(green, red), green, blue))
        return
    reds, greens, blues = _light().astype(np.float32)
    for red in range(_NUM_CODES):
        light = reds[:, red, None, None] + greens[:, :, None] + blues[:, None, :]
        yield _chroma(light.reshape(3, -1))


@functools.cache
def _light() -> Float64[ndarray, "3 XYZ 256"]:
    """What each code of red, green and blue adds to X, Y and Z, as shares of the D65 white's."""
    from kornia.color import rgb_to_linear_rgb, rgb_to_xyz  # slow to import, as in `colour`

    codes = torch.arange(_NUM_CODES, dtype=torch.float64) / 255
    lit = torch.einsum("ic,v->icv", torch.eye(3, dtype=torch.float64), codes)  # one channel lit, two dark
    xyz = rgb_to_xyz(rgb_to_linear_rgb(lit[:, :, None, :]))[:, :, 0].numpy()
    return np.divide(xyz, np.array([[0.95047], [1.0], [1.08883]]))


def _chroma(light: Float[ndarray, "XYZ n"]) -> Float[ndarray, "2 n"]:
    """Lab's a and b of light as shares of the white's.

    `colour.srgb_to_lab` computes the same in six powers a colour where this, with light looked up, needs
    three cube roots; they agree to 1e-11 in float64, and this one is within 0.001 in float32.

    Source: CIE 15:2004, 8.2.1.1, with the rounded constants of kornia.
    """
    x, y, z = np.where(light > 0.008856, np.cbrt(light), 7.787 * light + 4 / 29)
    return np.stack((500 * (x - y), 200 * (y - z)))


def codes_of(index: Int64[ndarray, " n"]) -> UInt8[ndarray, "3 n"]:
    """Red, green and blue of positions in a table; `colour_index` undone."""
    return np.stack((index >> 16, index >> 8 & 255, index & 255)).astype(np.uint8)


def look_up(table: UInt8[ndarray, " colours"], images: UInt8[ndarray, "N 3 H W"]) -> UInt8[ndarray, "N H W"]:
    """Entry of the table for each pixel, in parts whose index stays in the processor's cache.

    One thread does it: memory is the limit, and threads that wait for each other lose more on a busy machine
    than they gain on an idle one.
    """
    num_images, _, height, width = images.shape
    pixels = images.reshape(num_images, 3, height * width).swapaxes(0, 1)
    labels = np.empty((num_images, height * width), dtype=np.uint8)
    step = max(1, _PIXELS // max(1, height * width))
    # written again for each part: fresh memory would cost a third of the time
    narrow, wide = np.empty(_PIXELS, dtype=np.int32), np.empty(_PIXELS, dtype=np.intp)
    for first in range(0, num_images, step):
        for start in range(0, height * width, _PIXELS):
            part = labels[first : first + step, start : start + _PIXELS]
            codes = pixels[:, first : first + step, start : start + _PIXELS]
            index = wide[: part.size].reshape(part.shape)
            index[...] = colour_index(codes, narrow[: part.size].reshape(part.shape))
            table.take(index, out=part, mode="wrap")  # none is out of range: no check
    return labels.reshape(num_images, height, width)


def colour_index(
    codes: UInt8[ndarray, "3 *n"], out: Int32[ndarray, "*n"] | None = None
) -> Int32[ndarray, "*n"]:
    """Position of each colour in a table: r * 65536 + g * 256 + b; in `out`, where it is given."""
    red, green, blue = codes
    index = np.empty(red.shape, dtype=np.int32) if out is None else out
    index[...] = red
    index <<= 8
    index |= green
    index <<= 8
    index |= blue
    return index


def _contenders(grid: _Grid, centres: Float64[ndarray, "K D"]) -> _Contenders:
    """Keep, for each box, the centres that do not lose to the middle's nearest one at every corner."""
    # |p - c|^2 - |p - n|^2 has the slope 2 (n - c): from the middle to a corner it moves by at most `reach`
    reach = 2 * grid.half * np.abs(centres[:, None] - centres).sum(axis=-1)
    parts = np.array_split(grid.middles(), 32)  # a part's distances fit the cache
    possible = np.concatenate([_possible(middles, centres, reach) for middles in parts])
    num = possible.sum(axis=1)
    boxes, classes = possible.nonzero()
    rank = np.arange(len(boxes)) - np.repeat(num.cumsum() - num, num)
    ranked = np.zeros((len(num), num.max()), dtype=np.uint8)
    ranked[boxes, rank] = classes
    decided = np.where(num == 1, ranked[:, 0], _UNDECIDED).astype(np.uint8)
    return _Contenders(num, ranked, decided)


def _possible(
    middles: Float64[ndarray, "B D"], centres: Float64[ndarray, "K D"], reach: Float64[ndarray, "K K"]
) -> Bool[ndarray, "B K"]:
    """Whether each centre can be nearest somewhere in the boxes around these middles."""
    squared = _squared([column[:, None] for column in middles.T], centres.T)
    behind: ndarray = squared - squared.min(axis=1, keepdims=True)
    possible: ndarray = behind <= reach[squared.argmin(axis=1)] + _ROUNDING
    return possible


def _squared(points: Iterable[ndarray], centres: Iterable[ndarray]) -> ndarray:
    """Squared distances, summed axis by axis; each axis of `points` broadcasts against that of `centres`."""
    parts = [np.square(point - centre) for point, centre in zip(points, centres, strict=True)]
    total: ndarray = parts[0]
    for part in parts[1:]:
        total += part
    return total


def _nearest_contender(
    points: Float64[ndarray, "D n"],
    boxes: Int32[ndarray, " n"],
    contenders: _Contenders,
    centres: Float64[ndarray, "K D"],
) -> UInt8[ndarray, " n"]:
    """Compare each point with the contenders of its box, in float64; the first of equals wins."""
    num = contenders.num[boxes]
    labels: UInt8[ndarray, " n"] = contenders.classes[boxes, 0]
    best = _squared(points, centres.T.take(labels, axis=1))
    left = np.arange(len(boxes))
    for rank in range(1, contenders.classes.shape[1]):
        left = left[num[left] > rank]
        rivals = contenders.classes[boxes[left], rank]
        squared = _squared(points[:, left], centres.T.take(rivals, axis=1))
        nearer = np.flatnonzero(squared < best[left])
        won = left[nearer]
        best[won] = squared[nearer]
        labels[won] = rivals[nearer]
    return labels
