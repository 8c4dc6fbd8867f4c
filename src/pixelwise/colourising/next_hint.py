"""Points whose true colours would remove most of a network's uncertainty.

A hint also removes the entropy of pixels that are similar to its own and connected with it; summed over the
photo that is its cut. Entropy is weighted by how far apart the colours can be seen at the pixel's lightness.
Points are chosen greedily. `benchmarks/next_hint.py` measures their worth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray
from numpy.typing import NDArray

from pixelwise.colour.arrays import Float, Float32
from pixelwise.colour.palette import Palette, softmax
from pixelwise.colour.spaces import lightness_to_luminance, recolour, srgb_to_lab
from pixelwise.colourising.known import geodesic_weights
from pixelwise.photos.resize import pool

_MAX_PIXELS = 48 * 64  # of the map of lightness: a finer one takes longer and moves no point by much
_NUM_CANDIDATES = 300
_NUM_COLOURS = 3

Grid = NDArray[Any]


@dataclass(frozen=True)
class LikelyColour:
    """A colour that a point may have, #rrggbb at the point's own luminance, and its probability."""

    colour: str
    chance: float


@dataclass(frozen=True, kw_only=True)
class NextHint:
    """A point whose colour is worth knowing, in pixels of the photo as it is displayed."""

    row: int
    column: int
    colours: tuple[LikelyColour, ...]  # the likeliest first; those that are equal at this luminance are one
    cut: float  # share of the photo's whole entropy, 0 to 1, that it would remove after the hints before it

    @property
    def argument(self) -> str:
        """The hint as options take it, with the likeliest colour where the true one goes."""
        return f"{self.row},{self.column},{self.colours[0].colour}"


def suggest_hints(
    logits: Float[ndarray, "K h w"],
    lightness: Float[ndarray, "h w"],
    palette: Palette,
    size: tuple[int, int],
    num: int,
) -> list[NextHint]:
    """Return the `num` hints that would remove most entropy, the best first; fewer where none is left.

    `logits` and `lightness` (CIE L) are of the photo as displayed, whose height and width are `size`.
    """
    scale = min(1.0, (_MAX_PIXELS / lightness.size) ** 0.5)
    height, width = (max(1, round(side * scale)) for side in lightness.shape)
    probs = pool(softmax(logits), (height, width))
    light = pool(lightness, (height, width))
    doubt = entropy_of(probs) * _visibility(palette)[light.round().astype(np.intp).clip(0, 100)]
    entropy = doubt.ravel().astype(np.float64)
    candidates = _candidates(light)
    settled = geodesic_weights(light, candidates)
    hints = []
    for index, cut in _greedy(settled, entropy, num):
        row, column = divmod(int(candidates[index]), width)
        colours = _colours(probs[:, row, column], palette, float(light[row, column]))
        at = int((row + 0.5) * size[0] / height), int((column + 0.5) * size[1] / width)
        hints.append(NextHint(row=at[0], column=at[1], colours=colours, cut=cut))
    return hints


def entropy_of(probs: Float[ndarray, "K h w"]) -> Float[ndarray, "h w"]:
    """Return the entropy of each pixel's probabilities, in nats."""
    return np.asarray(-(probs * np.log(probs.clip(1e-30))).sum(0))


def _visibility(palette: Palette) -> Float32[ndarray, "101"]:
    """Return how far apart the palette's colours are at each L from 0 to 100, the most being 1."""
    luminance = lightness_to_luminance(np.arange(101, dtype=np.float32))[:, None]
    displayed = srgb_to_lab(recolour(luminance, *palette.class_chroma.T))[1:]  # 2, L, K
    apart = np.sqrt(displayed.var(axis=2).sum(0))
    return np.asarray(apart / max(float(apart.max()), 1e-9), np.float32)


def _candidates(light: Grid) -> Grid:
    """Return the smoothest pixel of each cell of a grid, by position: on an edge a hint would mislead."""
    height, width = light.shape
    padded = np.pad(light, 1, mode="edge")
    down, right = padded[2:, 1:-1] - padded[:-2, 1:-1], padded[1:-1, 2:] - padded[1:-1, :-2]
    steepness = np.hypot(down, right)
    cell = max(1, round((height * width / _NUM_CANDIDATES) ** 0.5))
    places = []
    for top in range(0, height, cell):
        for left in range(0, width, cell):
            part = steepness[top : top + cell, left : left + cell]
            row, column = np.unravel_index(part.argmin(), part.shape)
            places.append((top + row) * width + left + column)
    return np.array(places, dtype=np.int64)


def _greedy(settled: Grid, entropy: Grid, num: int) -> list[tuple[int, float]]:
    whole, left = float(entropy.sum()), entropy.copy()
    chosen: list[tuple[int, float]] = []
    for _ in range(min(num, len(settled))):
        cuts = settled @ left
        cuts[[index for index, _ in chosen]] = 0.0  # a point has one colour
        best = int(cuts.argmax())
        if cuts[best] <= 1e-6 * whole or whole == 0:
            break
        chosen.append((best, float(cuts[best]) / whole))
        left *= 1 - settled[best]
    return chosen


def _colours(probs: Float[ndarray, " K"], palette: Palette, light: float) -> tuple[LikelyColour, ...]:
    by_colour: dict[str, float] = {}
    for colour, probability in zip(shown_at(palette.class_chroma, light), probs.tolist(), strict=True):
        by_colour[colour] = by_colour.get(colour, 0.0) + probability
    likeliest = sorted(by_colour.items(), key=lambda item: -item[1])[:_NUM_COLOURS]
    return tuple(LikelyColour(*item) for item in likeliest)


def shown_at(chroma: Float[ndarray, "n 2"], lightness: float) -> list[str]:
    """Return colours as #rrggbb, each drawn into the gamut at this L, 0 to 100."""
    luminance = lightness_to_luminance(np.full_like(chroma[:, 0], lightness))
    codes = np.rint(recolour(luminance, *chroma.T) * 255).astype(int).T.tolist()
    return ["#{:02x}{:02x}{:02x}".format(*code) for code in codes]
