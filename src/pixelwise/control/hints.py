"""Points of a photo whose colours somebody knows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from pixelwise.colour import lightness, srgb_to_lab
from pixelwise.control.options import Hint, require_one_each
from pixelwise.control.spread import spread
from pixelwise.control.told import Told
from pixelwise.errors import PhotoError
from pixelwise.photos.photo import Photo
from pixelwise.photos.view import shrunk_size

__all__ = ["Hint", "hint_chroma", "light_at", "light_map", "tell_hints"]

_SHORT_SIDE = (
    192  # of the map that hints spread on: chroma is seen at a quarter of a photo's own size, or less
)


def hint_chroma(hint: Hint) -> Float[Tensor, " 2"]:
    """Return the Lab a and b of a hint."""
    codes = torch.tensor([*bytes.fromhex(hint.colour.removeprefix("#"))])
    return srgb_to_lab(codes[:, None, None].float() / 255)[1:, 0, 0]


def tell_hints(photo: Photo, hints: Sequence[Hint]) -> Told:
    """What hints tell of a photo: all at their own pixels, less the farther and the more unlike a pixel is.

    Raises:
        ConfigError: two hints are of one pixel.
        PhotoError: a hint lies outside the photo; the file is damaged or cut short.
    """
    require_one_each(hints)
    _require_inside(photo, hints)
    light = light_map(photo)
    size = light.shape[0], light.shape[1]
    cells = np.array([hint.cell(photo.upright_size, size) for hint in hints])
    shares = torch.from_numpy(spread(light.double().numpy(), cells)).float()
    for share, place in zip(shares, _taps(hints, photo.upright_size, size), strict=True):
        shares[(slice(None), *place)] = 0.0
        share[place] = 1.0
    told = torch.stack([hint_chroma(hint) for hint in hints])
    share = shares.sum(0)
    chroma = torch.einsum("nhw,nd->dhw", shares, told) / share.clamp_min(1e-9)
    return Told(photo.as_stored(share), photo.as_stored(chroma), _crowded(photo, hints, cells, size))


def light_map(photo: Photo) -> Float[Tensor, "h w"]:
    """CIE L of a photo as it is displayed, small.

    Raises:
        PhotoError: the file is damaged or cut short.
    """
    return photo.upright(light_at(photo, *shrunk_size(photo.height, photo.width, _SHORT_SIDE)))


def light_at(photo: Photo, height: int, width: int) -> Float[Tensor, "h w"]:
    """CIE L of a photo at another size, rows as its file has them.

    Raises:
        PhotoError: the file is damaged or cut short.
    """
    return lightness(photo.thumbnail(height, width).float() / 255)[0]


def _require_inside(photo: Photo, hints: Sequence[Hint]) -> None:
    height, width = photo.upright_size
    for hint in hints:
        if hint.row >= height or hint.column >= width:
            raise PhotoError(
                f"{photo.path}: needed hints at rows 0 to {height - 1} and columns 0 to {width - 1}, "
                f"got {hint.row},{hint.column}"
            )


def _crowded(
    photo: Photo, hints: Sequence[Hint], cells: NDArray[np.int64], map_size: tuple[int, int]
) -> tuple[str, ...]:
    """A note for each hint that has to give its place on the map to a later one."""
    last = {(int(row), int(column)): hint for hint, (row, column) in zip(hints, cells, strict=True)}
    apart = max(math.ceil(side / num) for side, num in zip(photo.upright_size, map_size, strict=True))
    notes = []
    for hint, (row, column) in zip(hints, cells, strict=True):
        other = last[int(row), int(column)]
        if other is not hint and other.colour != hint.colour:
            notes.append(
                f"{photo.path}: the hint at {hint.row},{hint.column} lies too near to that at "
                f"{other.row},{other.column} to be seen; hints {apart} pixels apart all are"
            )
    return tuple(notes)


def _taps(
    hints: Sequence[Hint], size: tuple[int, int], map_size: tuple[int, int]
) -> Iterator[tuple[slice, slice]]:
    """For each hint the cells of the map between which its pixel lies: they decide its colour."""
    for hint in hints:
        row = (hint.row + 0.5) * map_size[0] / size[0] - 0.5
        column = (hint.column + 0.5) * map_size[1] / size[1] - 0.5
        yield (
            slice(max(math.floor(row), 0), math.ceil(row) + 1),
            slice(max(math.floor(column), 0), math.ceil(column) + 1),
        )
