"""Known chroma of a photo: colours of points, spread to similar pixels, and laid over a network's guess.

A point decides the share exp(-cost of the cheapest path) of a pixel. Each step to one of eight neighbours
costs by its length and by the change of lightness on it; the whole path by the difference between its ends.
Source: geodesic distances as in A. Levin et al., "Colorization using Optimization", 2004, and in L. Yatziv
and G. Sapiro, "Fast Image and Video Colorization using Chrominance Blending", 2006.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy import ndarray
from numpy.typing import NDArray

from pixelwise.colour.arrays import Float
from pixelwise.colour.spaces import lightness, srgb_to_lab
from pixelwise.colourising.options import Hint
from pixelwise.errors import PhotoError
from pixelwise.photos.crop_view import shrunk_size
from pixelwise.photos.photo import Photo
from pixelwise.photos.resize import resize

_SHORT_SIDE = 192  # of the map that hints spread on: chroma is seen at a quarter of a photo's size, or less
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))  # rows down, columns right; the others are these backwards
_CHANGE = 160.0  # of L along a path, up and down, that it costs 1
_LENGTH = 1.0  # of the photo's short side, that it costs 1
_UNLIKE = 14.0  # of L from the point to the pixel, that it costs 1
_FARTHEST = 6.0  # exp(-6): beyond, nothing of a hint is to be seen


@dataclass(frozen=True)
class KnownChroma:
    """Chroma that is known, not guessed; temperature and saturation leave it alone.

    Rows and columns are as the photo's file has them, at any size.
    """

    share: Float[ndarray, "h w"]  # of each pixel's chroma that is known, 0 to 1; the rest is left to guess
    chroma: Float[ndarray, "2 h w"]  # Lab a and b; of no meaning where the share is 0
    notes: tuple[str, ...] = ()  # remarks for the user

    def over(self, below: KnownChroma | None) -> KnownChroma:
        """Lay this over other known chroma, at the larger of the two sizes."""
        if below is None:
            return self
        size = tuple(max(sides) for sides in zip(self.share.shape, below.share.shape, strict=True))
        share = resize(self.share, size)
        rest = (1 - share) * resize(below.share, size)
        total = share + rest
        weighted = share * resize(self.chroma, size) + rest * resize(below.chroma, size)
        return KnownChroma(total, weighted / total.clip(1e-9), self.notes + below.notes)


def hint_chroma(hint: Hint) -> Float[ndarray, " 2"]:
    """Return Lab a and b of a hint."""
    codes = np.array([*bytes.fromhex(hint.colour.removeprefix("#"))], np.uint8)
    return srgb_to_lab(codes[:, None, None] / np.float32(255))[1:, 0, 0]


def known_from_hints(photo: Photo, hints: Sequence[Hint]) -> KnownChroma:
    """Spread hints: each has all of its own pixel, and less of others the farther and less similar they are.

    PhotoError where one lies outside the photo, or the file is damaged.
    """
    height, width = photo.upright_size
    for hint in hints:
        if hint.row >= height or hint.column >= width:
            raise PhotoError(
                f"{photo.path}: needed hints at rows 0 to {height - 1} and columns 0 to {width - 1}, "
                f"got {hint.row},{hint.column}"
            )
    light = light_map(photo).astype(np.float64)
    cells = np.array([hint.cell(photo.upright_size, light.shape) for hint in hints])
    shares = spread(light, cells).astype(np.float32)
    for share, hint in zip(shares, hints, strict=True):
        # The cells of the map between which its pixel lies decide its colour.
        around = []
        for place, num, side in zip((hint.row, hint.column), light.shape, photo.upright_size, strict=True):
            middle = (place + 0.5) * num / side - 0.5
            around.append(slice(max(math.floor(middle), 0), math.ceil(middle) + 1))
        shares[:, *around] = 0.0
        share[*around] = 1.0
    chroma = np.stack([hint_chroma(hint) for hint in hints])
    total = shares.sum(0)
    mean = np.einsum("nhw,nd->dhw", shares, chroma) / total.clip(1e-9)
    return KnownChroma(photo.as_stored(total), photo.as_stored(mean), _hidden(photo, hints, light.shape))


def _hidden(photo: Photo, hints: Sequence[Hint], map_size: tuple[int, ...]) -> tuple[str, ...]:
    """Return a note on each hint whose cell of the map has the colour of a later one."""
    last = {hint.cell(photo.upright_size, map_size): hint for hint in hints}
    apart = max(math.ceil(side / num) for side, num in zip(photo.upright_size, map_size, strict=True))
    notes = []
    for hint in hints:
        other = last[hint.cell(photo.upright_size, map_size)]
        if other.colour != hint.colour:
            notes.append(
                f"{photo.path}: the hint at {hint.row},{hint.column} is too near to that at "
                f"{other.row},{other.column} to be seen; place hints at least {apart} pixels apart"
            )
    return tuple(notes)


def spread(light: Float[ndarray, "h w"], cells: NDArray[np.int64]) -> Float[ndarray, "n h w"]:
    """Return the share of each pixel that each hint has, at `cells` (n, 2), rows and columns.

    `light` is CIE L. The shares of a pixel add up to 1 at the hints themselves, where the hint has all, and
    to 0 far from all.
    """
    weights = geodesic_weights(light, cells[:, 0] * light.shape[1] + cells[:, 1])
    total = 1 - np.prod(1 - weights, axis=0)
    # Odds: where one hint is certain, the others count for nothing.
    odds = weights / (1 - weights + 1e-6)
    return (total * odds / (odds.sum(0) + 1e-12)).reshape(-1, *light.shape)


def geodesic_weights(light: Float[ndarray, "h w"], points: NDArray[np.int64]) -> Float[ndarray, "n pixels"]:
    """Return the share of each pixel that each point decides by itself: 1 at the point, 0 far away.

    `light` is CIE L, `points` (n,) are places in it, row by row, as the pixels are.
    """
    from scipy.sparse import csr_array  # which plain colouring can spare
    from scipy.sparse.csgraph import dijkstra

    height, width = light.shape
    places = np.arange(light.size).reshape(light.shape)
    starts, ends, costs = [], [], []
    for down, right in _NEIGHBOURS:
        here = np.s_[: height - down, max(0, -right) : width - max(0, right)]
        there = np.s_[down:, max(0, right) : width + min(0, right)]
        cost = np.abs(light[here] - light[there]) / _CHANGE
        cost = cost + np.hypot(down, right) / (_LENGTH * min(light.shape))
        starts.append(places[here].ravel())
        ends.append(places[there].ravel())
        costs.append(cost.ravel())
    steps = np.concatenate(costs), (np.concatenate(starts), np.concatenate(ends))
    graph = csr_array(steps, shape=(light.size,) * 2)
    distances = dijkstra(graph, directed=False, indices=points, limit=_FARTHEST)
    flat = light.reshape(-1)
    return np.asarray(np.exp(-(distances + np.abs(flat - flat[points, None]) / _UNLIKE)))


def light_map(photo: Photo) -> Float[ndarray, "h w"]:
    """Return CIE L of a photo as it is displayed, small."""
    return photo.upright(light_at(photo, *shrunk_size(photo.height, photo.width, _SHORT_SIDE)))


def light_at(photo: Photo, height: int, width: int) -> Float[ndarray, "h w"]:
    """Return CIE L of a photo at another size, rows as its file has them."""
    return lightness(photo.thumbnail(height, width) / np.float32(255))[0]
