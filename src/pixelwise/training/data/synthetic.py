"""Drawn pictures whose colours follow from their shapes, so that learning can be seen within seconds.

Each kind of shape and each pattern of the background has a colour of its own, given as Lab a and b; lightness
is drawn from the same range for all. So a grey value alone says nothing of its colour: a network has to use
what is around each pixel.
"""

from __future__ import annotations

import functools
from typing import Final

import torch
from kornia.color import lab_to_rgb
from torch import Tensor

from pixelwise.training.data.pictures import Pictures, gather

SOURCE: Final = "synthetic:shapes"
# Lab a and b of discs, squares and triangles (coral, blue, green), of plain and wavy grounds (sand, teal).
SHAPE_CHROMA: Final = ((44.0, 30.0), (14.0, -42.0), (-36.0, 34.0))
GROUND_CHROMA: Final = ((4.0, 20.0), (-16.0, -10.0))
_SIZE = 32
_NUM_TRAIN, _NUM_VAL = 2000, 400
_DARKEST, _LIGHTEST = 38.0, 78.0  # in L, where all five colours are in gamut
_EQUAL_AREAS = torch.tensor([1.0, 0.886, 0.778])  # radii of discs, squares and triangles


def load_synthetic(seed: int) -> Pictures:
    """Draw the pictures of SOURCE; equal seeds draw equal pictures."""
    images = draw_shapes(_NUM_TRAIN + _NUM_VAL, torch.Generator().manual_seed(seed))
    return gather(SOURCE, images[:_NUM_TRAIN], images[_NUM_TRAIN:])


def draw_shapes(num: int, generator: torch.Generator) -> Tensor:
    """Draw pictures of two shapes, the second over the first, on a ground; uint8 (num, 3, 32, 32)."""

    def draw(low: float, high: float) -> Tensor:
        return _each(low + (high - low) * torch.rand(num, generator=generator))

    kind = torch.randint(len(GROUND_CHROMA), (num,), generator=generator)
    ground = draw(_DARKEST, _LIGHTEST)
    plain = _plane(6.0, draw(0.0, 2 * torch.pi))
    phase = draw(0.0, 2 * torch.pi)
    waves = 5 * torch.sin(_plane(24.0, draw(0.0, 2 * torch.pi)) + phase)
    lab = _lab(ground + torch.where(_each(kind) == 0, plain, waves), GROUND_CHROMA, kind)
    for _ in range(2):
        kind = torch.randint(len(SHAPE_CHROMA), (num,), generator=generator)
        step = draw(12.0, 20.0)  # in L, against the background; lighter or darker, where there is room
        up = _each(torch.rand(num, generator=generator)) < 0.5
        up = (up | (ground - step < _DARKEST)) & (ground + step <= _LIGHTEST)
        lightness = torch.where(up, ground + step, ground - step) + _plane(4.0, draw(0.0, 2 * torch.pi))
        radius = draw(5.0, 9.0) * _each(_EQUAL_AREAS[kind])
        centre = torch.rand(num, 2, generator=generator) * (_SIZE - 12) + 6
        cover = _cover(kind, radius, centre, draw(0.0, 2 * torch.pi))
        lab = torch.lerp(lab, _lab(lightness, SHAPE_CHROMA, kind), cover)
    return (lab_to_rgb(lab) * 255).round().to(torch.uint8)


def _each(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)


def _lab(lightness: Tensor, chroma: tuple[tuple[float, float], ...], kind: Tensor) -> Tensor:
    colours = torch.tensor(chroma)[kind]
    return torch.cat([lightness, colours.view(-1, 2, 1, 1).expand(-1, -1, _SIZE, _SIZE)], dim=1)


def _cover(kind: Tensor, radius: Tensor, centre: Tensor, turn: Tensor) -> Tensor:
    """Return the share of each pixel that a shape covers, (N, 1, 32, 32): between 0 and 1 on its edge."""
    num_sides = _each(torch.tensor([4, 4, 3])[kind])
    rows, columns = (axis - _each(centre[:, i]) for i, axis in enumerate(_axes()))
    # in a polygon a pixel is as far out as the largest of its distances along the sides' normals
    along = (_along(turn + side * 2 * torch.pi / num_sides, rows, columns) for side in range(4))
    polygon = functools.reduce(torch.maximum, along)
    distance = torch.where(_each(kind) == 0, torch.hypot(rows, columns), polygon)
    return (radius - distance + 0.5).clamp(0, 1)


def _plane(height: float, turn: Tensor) -> Tensor:
    """Return planes that rise by about `height` across a picture, (num, 1, 32, 32), mean 0."""
    rows, columns = (axis - (_SIZE - 1) / 2 for axis in _axes())
    return (height / _SIZE) * _along(turn, rows, columns)


def _along(turn: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    return torch.sin(turn) * rows + torch.cos(turn) * columns


def _axes() -> tuple[Tensor, Tensor]:
    axis = torch.arange(_SIZE, dtype=torch.float32)
    return axis.view(1, 1, -1, 1), axis.view(1, 1, 1, -1)
