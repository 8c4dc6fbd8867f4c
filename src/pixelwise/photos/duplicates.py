"""Duplicates among photos, also where one was saved anew, smaller or with more loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy import ndarray

from pixelwise.colour.arrays import UInt8
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

    def read_coarsely(path: Path) -> tuple[Path, UInt8[ndarray, "3 h w"], float] | None:
        try:
            photo = open_photo(path)
            small = photo.upright(photo.thumbnail(4 * _SIDE, 4 * _SIDE))  # at 16 the filter would matter
        except PhotoError:
            return None
        height, width = photo.upright_size
        return path, small, height / width

    with ThreadPoolExecutor() as pool:
        read = [photo for photo in pool.map(read_coarsely, photos) if photo is not None]
    pairs = same_photos([small for _, small, _ in read], [ratio for _, _, ratio in read])
    return [(read[first][0], read[second][0]) for first, second in pairs]


def same_photos(
    pictures: Sequence[UInt8[ndarray, "3 _H _W"]], ratios: Sequence[float]
) -> Iterator[tuple[int, int]]:
    """Yield the indices of equal photos, by small pictures and the photos' heights over widths."""
    if not pictures:
        return
    size = (_SIDE, _SIDE)
    colours = np.stack([pool(picture.astype(np.float32), size).ravel() for picture in pictures])
    shapes = np.array(ratios)
    limit = _SAME_WITHIN * colours.shape[1] ** 0.5
    for first in range(len(colours)):
        alike = np.linalg.norm(colours[first + 1 :] - colours[first], axis=1) < limit
        alike &= np.abs(np.log(shapes[first] / shapes[first + 1 :])) < _SAME_SHAPE_WITHIN
        for offset in np.flatnonzero(alike).tolist():
            yield first, first + 1 + offset
