"""How likely each class is at each pixel, as TIFF: a page of 16-bit grey for each class, 65,535 is certain.

ImageJ, QGIS, MATLAB and Python's tifffile open it as a stack, where one PNG a class would be many files and a
NumPy archive is Python's alone. Each page is called by its class (the tag PageName). libvips writes pages one
after the other; here all grow at once as strips come, so that a photo of any size takes little memory.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from pixelwise.classnames import ClassNames
from pixelwise.errors import ShapeError
from pixelwise.files import whole_file
from pixelwise.photos.tiff import HEADER_BYTES, Tag, directory, header

LARGEST = 65_535
"""The number that stands for certainty."""
_SMALL_BYTES = 2**32 - 2**24  # below that a plain TIFF does, which more programs read than BigTIFF


def write_probabilities(
    path: Path,
    strips: Iterable[Float32[ndarray, "K h W"]],
    classes: ClassNames,
    size: tuple[int, int],
    orientation: int = 1,
) -> None:
    """Write probabilities strip by strip from the top, all but the last equally high; whole or not at all.

    The rows are those of the photo of `size` (height, width) as stored, and `orientation`, EXIF's, says how
    both are displayed.

    Raises:
        ShapeError: the strips are not those of a photo of this size.
        OutputError: the file cannot be written.
        PixelwiseError: whatever making the strips raises, as it is.
    """
    big = 2 * classes.num_classes * size[0] * size[1] > _SMALL_BYTES
    with whole_file(path) as temporary, temporary.open("rb+") as file:
        file.write(bytes(HEADER_BYTES[big]))
        num_rows, places = _write_strips(file, strips, (classes.num_classes, *size), path)
        file.write(bytes(-file.tell() % 8))
        first = file.tell()
        for name, found in zip(classes.names, places, strict=True):
            tags = _tags(name, found, size, num_rows, orientation)
            file.write(directory(tags, file.tell(), big, last=name == classes.names[-1]))
        file.seek(0)
        file.write(header(first, big))


Places = list[tuple[int, int]]
"""Where each strip of a page lies, and its number of bytes."""


def _write_strips(
    file: BinaryIO, strips: Iterable[Float32[ndarray, "K h W"]], shape: tuple[int, int, int], path: Path
) -> tuple[int, list[Places]]:
    """Write the pixels; the height of the strips, and where those of each page lie."""
    places: list[Places] = [[] for _ in range(shape[0])]
    num_rows = row = 0
    for strip in strips:
        num_rows = num_rows or strip.shape[1]
        wanted = (shape[0], min(num_rows, shape[1] - row), shape[2])
        if strip.shape != wanted:
            raise ShapeError(f"{path}: needed probabilities of shape {wanted}, got {strip.shape}")
        row += strip.shape[1]
        codes = np.rint(strip * LARGEST).astype(np.uint16)
        codes[:, :, 1:] -= codes[:, :, :-1].copy()  # differences along rows, modulo 2^16: they pack better
        for page, rows in zip(places, codes, strict=True):
            packed = zlib.compress(rows.astype("<u2").tobytes(), 1)
            page.append((file.tell(), len(packed)))
            file.write(packed)
    if row != shape[1]:
        raise ShapeError(f"{path}: needed probabilities of {shape[1]} rows, got {row}")
    return num_rows, places


def _tags(
    name: str, places: Places, size: tuple[int, int], num_rows: int, orientation: int
) -> tuple[Tag, ...]:
    """What a page says of itself.

    Source: TIFF 6.0, sections 3, 8 and 14; Adobe Photoshop TIFF Technical Notes, deflate.
    """
    return (
        (256, "long", [size[1]]),
        (257, "long", [size[0]]),
        (258, "short", [16]),
        (259, "short", [8]),  # deflate
        (262, "short", [1]),  # 0 is black
        (273, "place", [place for place, _ in places]),
        (274, "short", [orientation]),
        (277, "short", [1]),
        (278, "long", [num_rows]),
        (279, "place", [num_bytes for _, num_bytes in places]),
        (285, "text", [*name.encode(), 0]),
        (317, "short", [2]),  # differences along rows
    )
