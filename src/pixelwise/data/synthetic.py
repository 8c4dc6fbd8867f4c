"""Drawn pictures whose colours follow from their shapes, so that learning can be seen within seconds.

Each kind of shape and each pattern of the background has a colour of its own, given as Lab a and b; lightness
is drawn from the same range for all. So a grey picture shows what everything is, but a grey value alone tells
nothing of its colour: a network has to look around each pixel.
"""

from __future__ import annotations

import functools
from typing import Final

import torch
from torch import Tensor

from pixelwise.colour import lab_to_srgb
from pixelwise.data.pictures import Pictures, gather
from pixelwise.errors import ConfigError

NAMES: Final = ("shapes",)
"""What can be drawn."""

SHAPE_CHROMA: Final = {"disc": (44.0, 30.0), "square": (14.0, -42.0), "triangle": (-36.0, 34.0)}
"""Lab a and b of each kind of shape: coral, blue, green."""

GROUND_CHROMA: Final = {"plain": (4.0, 20.0), "waves": (-16.0, -10.0)}
"""Lab a and b of each pattern of the background: sand, teal."""

_SIZE = 32
_NUM_TRAIN, _NUM_VAL = 2000, 400
_SHAPES_PER_PICTURE = 2
_LIGHTNESS = (38.0, 78.0)  # where all five colours are in gamut
_CONTRAST = (12.0, 20.0)  # of a shape against its background, in L; at most half the range
_RADIUS = (5.0, 9.0)


def load_synthetic(name: str, seed: int) -> Pictures:
    """Draw the pictures of one name; equal seeds draw equal pictures.

    Raises:
        ConfigError: there is no such name.
    """
    if name not in NAMES:
        raise ConfigError(f"needed one of the synthetic pictures {', '.join(NAMES)}; got {name!r}")
    images = draw_shapes(_NUM_TRAIN + _NUM_VAL, torch.Generator().manual_seed(seed))
    return gather(f"synthetic:{name}", images[:_NUM_TRAIN], images[_NUM_TRAIN:])


def draw_shapes(num: int, generator: torch.Generator) -> Tensor:
    """Pictures of two shapes, the second over the first, on a patterned ground; uint8 (num, 3, 32, 32)."""
    lab, ground_lightness = _draw_ground(num, generator)
    for _ in range(_SHAPES_PER_PICTURE):
        kind = torch.randint(len(SHAPE_CHROMA), (num,), generator=generator)
        colour = torch.tensor(list(SHAPE_CHROMA.values()))[kind]
        lightness = _contrasting(ground_lightness, generator)
        shade = _ramp(num, 4.0, generator)
        painted = torch.cat([lightness.view(-1, 1, 1, 1) + shade, _flat(colour)], dim=1)
        lab = torch.lerp(lab, painted, _cover(kind, generator))
    return (lab_to_srgb(lab) * 255).round().to(torch.uint8)


def _draw_ground(num: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Lab of the backgrounds, (num, 3, 32, 32), and their mean lightness, (num,)."""
    kind = torch.randint(len(GROUND_CHROMA), (num,), generator=generator)
    colour = torch.tensor(list(GROUND_CHROMA.values()))[kind]
    lightness = _uniform(_LIGHTNESS, num, generator)
    plain = _ramp(num, 6.0, generator)
    phase = _uniform((0.0, 2 * torch.pi), num, generator).view(-1, 1, 1, 1)
    waves = 5 * torch.sin(_ramp(num, 24.0, generator) + phase)
    pattern = torch.where(kind.view(-1, 1, 1, 1) == 0, plain, waves)
    return torch.cat([lightness.view(-1, 1, 1, 1) + pattern, _flat(colour)], dim=1), lightness


def _contrasting(lightness: Tensor, generator: torch.Generator) -> Tensor:
    """A lightness that stands out from the given one, to either side where the range has room."""
    low, high = _LIGHTNESS
    step = _uniform(_CONTRAST, len(lightness), generator)
    up = torch.rand(len(lightness), generator=generator) < 0.5
    up = (up | (lightness - step < low)) & (lightness + step <= high)
    return torch.where(up, lightness + step, lightness - step)


def _cover(kind: Tensor, generator: torch.Generator) -> Tensor:
    """Share of each pixel that a shape covers, (N, 1, 32, 32): 1 inside, 0 outside, between on its edge."""
    num = len(kind)
    radius = _uniform(_RADIUS, num, generator) * torch.tensor([1.0, 0.886, 0.778])[kind]  # equal areas
    centre = torch.rand(num, 2, generator=generator) * (_SIZE - 12) + 6
    turn = _uniform((0.0, 2 * torch.pi), num, generator)
    num_sides = torch.tensor([4, 4, 3])[kind]
    rows, columns = (axis - centre[:, i].view(-1, 1, 1) for i, axis in enumerate(_axes()))
    disc = torch.hypot(rows, columns)
    # How far out a pixel lies in a regular polygon: the largest of its distances along the sides' normals.
    along = (_along(turn + side * 2 * torch.pi / num_sides, rows, columns) for side in range(4))
    polygon = functools.reduce(torch.maximum, along)
    distance = torch.where((kind == 0).view(-1, 1, 1), disc, polygon)
    return (radius.view(-1, 1, 1) - distance + 0.5).clamp(0, 1).unsqueeze(1)


def _ramp(num: int, height: float, generator: torch.Generator) -> Tensor:
    """Planes that rise by about `height` across a picture in any direction, (num, 1, 32, 32), mean 0."""
    turn = _uniform((0.0, 2 * torch.pi), num, generator)
    rows, columns = (axis - (_SIZE - 1) / 2 for axis in _axes())
    return (height / _SIZE) * _along(turn, rows, columns).unsqueeze(1)


def _along(turn: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Each pixel's distance from the origin along one direction per picture, (N, 32, 32)."""
    return torch.sin(turn).view(-1, 1, 1) * rows + torch.cos(turn).view(-1, 1, 1) * columns


def _axes() -> tuple[Tensor, Tensor]:
    """Row and column of every pixel, broadcast over a batch."""
    axis = torch.arange(_SIZE, dtype=torch.float32)
    return axis.view(1, -1, 1), axis.view(1, 1, -1)


def _flat(colour: Tensor) -> Tensor:
    return colour.view(-1, 2, 1, 1).expand(-1, -1, _SIZE, _SIZE)


def _uniform(between: tuple[float, float], num: int, generator: torch.Generator) -> Tensor:
    low, high = between
    return low + (high - low) * torch.rand(num, generator=generator)
