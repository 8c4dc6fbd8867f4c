"""Duplicates among photos, also where one was saved anew, smaller or with more loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, UInt8
from numpy import ndarray

from pixelwise.errors import PhotoError
from pixelwise.photos.photo import open_photo
from pixelwise.photos.resize import pool

_SIDE = 16  # pixels across and down that a photo is compared in
_SAME_WITHIN = 6.0  # codes; see `find_duplicates`
_SAME_SHAPE_WITHIN = 0.03


def find_duplicates(photos: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Return pairs of the same photo, the earlier one first; photos that cannot be read are left out.

    Photos are the same where their sides have the same ratio and, squeezed to 16 x 16 colours, they differ by
    less than 6 codes of 255 in the root mean square. Oxford's 1360 flowers have 68 such pairs, at most 5.2
    apart, and no others below 20. A part cut out of a photo is another photo here.
    """

    def read_coarsely(path: Path) -> tuple[Path, Float32[ndarray, " colours"], float] | None:
        try:
            photo = open_photo(path)
            small = photo.upright(photo.thumbnail(4 * _SIDE, 4 * _SIDE))  # at 16 the filter would matter
        except PhotoError:
            return None
        height, width = photo.upright_size
        return path, coarse_colours(small), height / width

    with ThreadPoolExecutor() as pool:
        read = [photo for photo in pool.map(read_coarsely, photos) if photo is not None]
    if not read:
        return []
    paths, colours, ratios = zip(*read, strict=True)
    pairs = same_photos(np.stack(colours), np.array(ratios))
    return [(paths[first], paths[second]) for first, second in pairs]


def coarse_colours(picture: UInt8[ndarray, "3 H W"]) -> Float32[ndarray, " colours"]:
    """Squeeze a picture to 16 x 16 colours, in sRGB codes."""
    return pool(picture.astype(np.float32), (_SIDE, _SIDE)).ravel()


def same_photos(colours: Float32[ndarray, "N D"], ratios: Float[ndarray, " N"]) -> Iterator[tuple[int, int]]:
    """Yield the indices of equal photos, by `coarse_colours` and heights over widths."""
    limit = _SAME_WITHIN * colours.shape[1] ** 0.5
    for first in range(len(colours)):
        later = colours[first + 1 :], ratios[first + 1 :]
        alike = np.linalg.norm(later[0] - colours[first], axis=1) < limit
        alike &= np.abs(np.log(ratios[first] / later[1])) < _SAME_SHAPE_WITHIN
        for offset in np.flatnonzero(alike).tolist():
            yield first, first + 1 + offset
