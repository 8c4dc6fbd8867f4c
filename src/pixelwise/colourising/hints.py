"""Known colours of points, spread to what is alike in lightness and connected."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from numpy.typing import NDArray
from torch import Tensor

from pixelwise.colour.spaces import lightness, srgb_to_lab
from pixelwise.colourising.geodesic import geodesic_weights
from pixelwise.colourising.known import KnownChroma
from pixelwise.colourising.options import Hint, require_one_each
from pixelwise.errors import PhotoError
from pixelwise.photos.crop_view import shrunk_size
from pixelwise.photos.photo import Photo

_SHORT_SIDE = 192  # of the map that hints spread on: chroma is seen at a quarter of a photo's size, or less


def hint_chroma(hint: Hint) -> Float[Tensor, " 2"]:
    """Return Lab a and b of a hint."""
    codes = torch.tensor([*bytes.fromhex(hint.colour.removeprefix("#"))])
    return srgb_to_lab(codes[:, None, None].float() / 255)[1:, 0, 0]


def known_from_hints(photo: Photo, hints: Sequence[Hint]) -> KnownChroma:
    """Spread hints: all at their own pixels, less the farther and the more unlike a pixel is.

    Raises:
        ConfigError: two hints are of one pixel.
        PhotoError: a hint lies outside the photo; the file is damaged or cut short.
    """
    require_one_each(hints)
    height, width = photo.upright_size
    for hint in hints:
        if hint.row >= height or hint.column >= width:
            raise PhotoError(
                f"{photo.path}: needed hints at rows 0 to {height - 1} and columns 0 to {width - 1}, "
                f"got {hint.row},{hint.column}"
            )
    light = light_map(photo)
    size = light.shape[0], light.shape[1]
    cells = np.array([hint.cell(photo.upright_size, size) for hint in hints])
    shares = torch.from_numpy(spread(light.double().numpy(), cells)).float()
    for share, hint in zip(shares, hints, strict=True):
        # The cells of the map between which its pixel lies decide its colour.
        row, column = (
            (place + 0.5) * num / side - 0.5
            for place, num, side in zip((hint.row, hint.column), size, photo.upright_size, strict=True)
        )
        rows = slice(max(math.floor(row), 0), math.ceil(row) + 1)
        columns = slice(max(math.floor(column), 0), math.ceil(column) + 1)
        shares[:, rows, columns] = 0.0
        share[rows, columns] = 1.0
    chroma = torch.stack([hint_chroma(hint) for hint in hints])
    total = shares.sum(0)
    mean = torch.einsum("nhw,nd->dhw", shares, chroma) / total.clamp_min(1e-9)
    notes = _crowded_notes(photo, hints, cells, size)
    return KnownChroma(photo.as_stored(total), photo.as_stored(mean), notes)


def spread(light: Float[ndarray, "h w"], cells: NDArray[np.int64]) -> Float[ndarray, "n h w"]:
    """Return the share of each pixel that each hint has, at `cells` (n, 2), rows and columns.

    `light` is CIE L. The shares of a pixel add up to 1 at the hints themselves, where the hint has all, and
    to 0 far from all.
    """
    height, width = light.shape
    weights = geodesic_weights(light, cells[:, 0] * width + cells[:, 1])
    together = 1 - np.prod(1 - weights, axis=0)
    # Odds: where one hint is certain, the others count for nothing.
    odds = weights / (1 - weights + 1e-6)
    return (together * odds / (odds.sum(0) + 1e-12)).reshape(-1, height, width)


def light_map(photo: Photo) -> Float[Tensor, "h w"]:
    """Return CIE L of a photo as it is displayed, small.

    Raises:
        PhotoError: the file is damaged or cut short.
    """
    return photo.upright(light_at(photo, *shrunk_size(photo.height, photo.width, _SHORT_SIDE)))


def light_at(photo: Photo, height: int, width: int) -> Float[Tensor, "h w"]:
    """Return CIE L of a photo at another size, rows as its file has them.

    Raises:
        PhotoError: the file is damaged or cut short.
    """
    return lightness(photo.thumbnail(height, width).float() / 255)[0]


def _crowded_notes(
    photo: Photo, hints: Sequence[Hint], cells: NDArray[np.int64], map_size: tuple[int, int]
) -> tuple[str, ...]:
    """Return a note for each hint that has to give its place on the map to a later one."""
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
