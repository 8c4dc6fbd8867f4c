"""Where a hint, the true colour of one point, would tell a network most.

A hint is good for more than its own pixel: for what it reaches, which is what is alike and connected with it
(`confidence.ways`). What it settles of the entropy, summed over the photo, is its cut. Entropy counts by how
far apart the colours can be seen at the pixel's lightness. Points are chosen one after the other, each for
what those before it have left, so that they spread by themselves. `benchmarks/next_hint.py` measures what
they are worth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from pixelwise.colour import lightness_to_luminance, recolour, srgb_to_lab
from pixelwise.confidence.likeliest import shown_at
from pixelwise.confidence.ways import reach
from pixelwise.labelspace import Palette

_MOST_PIXELS = (
    48 * 64
)  # of the map that ways are sought in: a finer one takes longer and moves no point by much
_NUM_CANDIDATES = 300
_NUM_COLOURS = 3

Grid = NDArray[Any]


@dataclass(frozen=True)
class LikelyColour:
    """A colour that a point may have."""

    colour: str
    """#rrggbb at the point's own luminance."""
    chance: float


@dataclass(frozen=True, kw_only=True)
class NextHint:
    """A point whose colour is worth telling."""

    row: int
    """Of the photo as it is displayed, from the top, in its own pixels."""
    column: int
    colours: tuple[LikelyColour, ...]
    """The likeliest first; colours that look the same at this luminance are one."""
    cut: float
    """Share of the photo's whole entropy, 0 to 1, that it would settle after the hints before it."""

    @property
    def argument(self) -> str:
        """As a hint is given, with the likeliest colour where the true one goes."""
        return f"{self.row},{self.column},{self.colours[0].colour}"


def suggest_hints(
    logits: Float[Tensor, "K h w"],
    lightness: Float[Tensor, "h w"],
    palette: Palette,
    size: tuple[int, int],
    num: int,
) -> list[NextHint]:
    """The `num` hints that would settle most, the best first; fewer, where nothing is left to settle.

    `logits` and `lightness` (CIE L) are of the photo as displayed, whose height and width are `size`.
    """
    height, width = _map_size(*lightness.shape)
    chances = F.adaptive_avg_pool2d(logits.float().softmax(0), (height, width))
    light = F.adaptive_avg_pool2d(lightness[None], (height, width))[0]
    doubt = torch.special.entr(chances).sum(0) * _shows(palette)[light.round().long().clamp(0, 100)]
    entropy = doubt.flatten().double().numpy()
    candidates = _candidates(light.numpy())
    settled = reach(light.numpy(), candidates)
    hints = []
    for index, cut in _greedy(settled, entropy, num):
        row, column = divmod(int(candidates[index]), width)
        colours = _colours(chances[:, row, column], palette, float(light[row, column]))
        at = int((row + 0.5) * size[0] / height), int((column + 0.5) * size[1] / width)
        hints.append(NextHint(row=at[0], column=at[1], colours=colours, cut=cut))
    return hints


def _map_size(height: int, width: int) -> tuple[int, int]:
    scale = min(1.0, (_MOST_PIXELS / (height * width)) ** 0.5)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _shows(palette: Palette) -> Tensor:
    """How far apart the palette's colours still are at each L, 0 to 100, over where they are the farthest.

    Nearly black and nearly white pixels look the same whatever their class is.
    """
    chroma = palette.class_chroma
    luminance = lightness_to_luminance(torch.arange(101.0))[:, None]
    seen = srgb_to_lab(recolour(luminance, *chroma.T))[1:]  # 2, L, K
    apart = seen.var(dim=2, correction=0).sum(0).sqrt()
    return apart / apart.max().clamp_min(1e-9)


def _candidates(light: Grid) -> Grid:
    """The smoothest pixel of each cell of a grid, by position: on an edge a hint would mislead."""
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
    """The candidates that settle most, each with the share of the entropy that it settles."""
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


def _colours(chances: Tensor, palette: Palette, light: float) -> tuple[LikelyColour, ...]:
    """The likeliest colours of a pixel, those that look the same counted together."""
    together: dict[str, float] = {}
    for shown, chance in zip(shown_at(palette.class_chroma, light), chances.tolist(), strict=True):
        together[shown] = together.get(shown, 0.0) + chance
    best = sorted(together.items(), key=lambda one: -one[1])[:_NUM_COLOURS]
    return tuple(LikelyColour(colour, chance) for colour, chance in best)
