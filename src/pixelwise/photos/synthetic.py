"""Drawn pictures whose colours follow from their shapes, so that learning can be seen within seconds.

Each kind of shape and each pattern of the background has a colour of its own, given as Lab a and b; lightness
is drawn from the same range for all. So a grey picture shows what everything is, but a grey value alone tells
nothing of its colour: a network has to use what is around each pixel.
"""

from __future__ import annotations

import functools
from typing import Final

import torch
from torch import Tensor

from pixelwise.colour.spaces import lab_to_srgb
from pixelwise.errors import ConfigError
from pixelwise.photos.pictures import Pictures, gather

NAMES: Final = ("shapes",)
"""Synthetic sources."""

SHAPE_CHROMA: Final = {"disc": (44.0, 30.0), "square": (14.0, -42.0), "triangle": (-36.0, 34.0)}
"""Lab a and b of each kind of shape: coral, blue, green."""

GROUND_CHROMA: Final = {"plain": (4.0, 20.0), "waves": (-16.0, -10.0)}
"""Lab a and b of each pattern of the background: sand, teal."""

_SIZE = 32
_NUM_TRAIN, _NUM_VAL = 2000, 400
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
    """Draw pictures of two shapes, the second over the first, on a ground; uint8 (num, 3, 32, 32)."""
    kind = torch.randint(len(GROUND_CHROMA), (num,), generator=generator)
    ground = _uniform(_LIGHTNESS, num, generator)
    plain = _ramp(num, 6.0, generator)
    phase = _uniform((0.0, 2 * torch.pi), num, generator)
    waves = 5 * torch.sin(_ramp(num, 24.0, generator) + phase)
    lab = _lab(ground + torch.where(kind.view(-1, 1, 1, 1) == 0, plain, waves), GROUND_CHROMA, kind)
    for _ in range(2):
        kind = torch.randint(len(SHAPE_CHROMA), (num,), generator=generator)
        lightness = _contrasting(ground, generator)
        shape = _lab(lightness + _ramp(num, 4.0, generator), SHAPE_CHROMA, kind)
        lab = torch.lerp(lab, shape, _cover(kind, generator))
    return (lab_to_srgb(lab) * 255).round().to(torch.uint8)


def _lab(lightness: Tensor, chroma: dict[str, tuple[float, float]], kind: Tensor) -> Tensor:
    """Return Lab of pixels of this lightness, (N, 1, 32, 32), in the colours of the kinds."""
    colours = torch.tensor(list(chroma.values()))[kind]
    return torch.cat([lightness, colours.view(-1, 2, 1, 1).expand(-1, -1, _SIZE, _SIZE)], dim=1)


def _contrasting(lightness: Tensor, generator: torch.Generator) -> Tensor:
    """Draw lightness that differs from the given one, to either side where the range has room."""
    low, high = _LIGHTNESS
    step = _uniform(_CONTRAST, len(lightness), generator)
    up = torch.rand(len(lightness), generator=generator).view(-1, 1, 1, 1) < 0.5
    up = (up | (lightness - step < low)) & (lightness + step <= high)
    return torch.where(up, lightness + step, lightness - step)


def _cover(kind: Tensor, generator: torch.Generator) -> Tensor:
    """Return the share of each pixel that a shape covers, (N, 1, 32, 32): between 0 and 1 on its edge."""
    num = len(kind)
    equal_areas = torch.tensor([1.0, 0.886, 0.778])[kind].view(-1, 1, 1, 1)
    radius = _uniform(_RADIUS, num, generator) * equal_areas
    centre = torch.rand(num, 2, generator=generator) * (_SIZE - 12) + 6
    turn = _uniform((0.0, 2 * torch.pi), num, generator)
    num_sides = torch.tensor([4, 4, 3])[kind].view(-1, 1, 1, 1)
    rows, columns = (axis - centre[:, i].view(-1, 1, 1, 1) for i, axis in enumerate(_axes()))
    # in a polygon a pixel is as far out as the largest of its distances along the sides' normals
    along = (_along(turn + side * 2 * torch.pi / num_sides, rows, columns) for side in range(4))
    polygon = functools.reduce(torch.maximum, along)
    distance = torch.where(kind.view(-1, 1, 1, 1) == 0, torch.hypot(rows, columns), polygon)
    return (radius - distance + 0.5).clamp(0, 1)


def _ramp(num: int, height: float, generator: torch.Generator) -> Tensor:
    """Draw planes that rise by about `height` across a picture in any direction, (num, 1, 32, 32), mean 0."""
    turn = _uniform((0.0, 2 * torch.pi), num, generator)
    rows, columns = (axis - (_SIZE - 1) / 2 for axis in _axes())
    return (height / _SIZE) * _along(turn, rows, columns)


def _along(turn: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return each pixel's distance from the origin along one direction per picture."""
    return torch.sin(turn) * rows + torch.cos(turn) * columns


def _axes() -> tuple[Tensor, Tensor]:
    axis = torch.arange(_SIZE, dtype=torch.float32)
    return axis.view(1, 1, -1, 1), axis.view(1, 1, 1, -1)


def _uniform(between: tuple[float, float], num: int, generator: torch.Generator) -> Tensor:
    low, high = between
    return (low + (high - low) * torch.rand(num, generator=generator)).view(-1, 1, 1, 1)
