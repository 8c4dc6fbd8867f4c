"""Masks as PNG with a palette: each pixel is the number of its class, and is displayed in the class's colour.

Strips are compressed as they come, so that a mask of any size takes little memory. libvips, which streams
coloured photos, chooses palettes and numbers itself; the file is a few fields around one stream of zlib, so
it is written here. Source: W3C, Portable Network Graphics, third edition, sections 5, 10 and 11.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image
from PIL.ExifTags import Base

from pixelwise.classnames import ClassNames, void_colour
from pixelwise.errors import LabelError, OutputError, ShapeError
from pixelwise.files import whole_file
from pixelwise.labelspace import IGNORE

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_BY_PALETTE = (8, 3, 0, 0, 0)  # bits, colour type, compression, filters, interlacing
_NO_FILTER = 0  # the standard's advice where numbers are no amounts
_NUM_ROWS = 256  # compressed at once


def write_mask(
    path: Path,
    labels: UInt8[ndarray, "H W"] | Iterable[UInt8[ndarray, "h W"]],
    classes: ClassNames,
    orientation: int = 1,
) -> None:
    """Write labels, whole or strip by strip from the top, as PNG; whole or not at all.

    The rows are those of the photo as stored, and `orientation`, EXIF's, says how both are displayed.

    Raises:
        LabelError: a label is neither a class nor IGNORE.
        ShapeError: there is no pixel, or the strips are not equally wide.
        OutputError: the file cannot be written, or its name does not end in .png.
        PixelwiseError: whatever making the strips raises, as it is.
    """
    if path.suffix.lower() != ".png":
        raise OutputError(f"cannot write {path}: a mask is a PNG; choose a name that ends in .png")
    strips = _split(labels) if isinstance(labels, np.ndarray) else labels
    with whole_file(path) as temporary, temporary.open("rb+") as file:
        file.write(_SIGNATURE)
        _write_size(file, 0, 0)  # known at the end
        _write_chunk(file, b"PLTE", _palette(classes))
        if orientation != 1:
            _write_chunk(file, b"eXIf", _exif(orientation))
        height, width = _write_strips(file, strips, classes, path)
        _write_chunk(file, b"IEND", b"")
        file.seek(len(_SIGNATURE))
        _write_size(file, height, width)


def _split(labels: UInt8[ndarray, "H W"]) -> Iterator[UInt8[ndarray, "h W"]]:
    return (labels[row : row + _NUM_ROWS] for row in range(0, len(labels), _NUM_ROWS))


def _write_strips(
    file: BinaryIO, strips: Iterable[UInt8[ndarray, "h W"]], classes: ClassNames, path: Path
) -> tuple[int, int]:
    """Write the pixels; their height and width."""
    height = width = 0
    # Masks are runs of equal numbers: looking for nothing else is as fast as any level, and shrinks most.
    stream = zlib.compressobj(strategy=zlib.Z_RLE)
    for strip in strips:
        width = width or strip.shape[1]
        height += len(strip)
        if strip.shape[1] != width:
            raise ShapeError(f"{path}: needed strips {width} pixels wide, got one of {strip.shape[1]}")
        _check_labels(strip, classes, path)
        rows = np.pad(strip, ((0, 0), (1, 0)), constant_values=_NO_FILTER)
        if packed := stream.compress(rows.tobytes()):
            _write_chunk(file, b"IDAT", packed)
    if not height or not width:
        raise ShapeError(f"{path}: needed a mask of at least one pixel, got {height} x {width}")
    _write_chunk(file, b"IDAT", stream.flush())
    return height, width


def _check_labels(strip: UInt8[ndarray, "h W"], classes: ClassNames, path: Path) -> None:
    wrong = (strip >= classes.num_classes) & (strip != IGNORE)
    if wrong.any():
        needed = f"labels 0 to {classes.num_classes - 1} or {IGNORE}"
        raise LabelError(f"{path}: needed {needed}, got {int(strip[wrong][0])}")


def _palette(classes: ClassNames) -> bytes:
    colours = np.zeros((256, 3), np.uint8)
    colours[: classes.num_classes] = classes.colours
    colours[IGNORE] = void_colour()
    return colours.tobytes()


def _exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[Base.Orientation] = orientation
    return exif.tobytes().removeprefix(b"Exif\0\0")


def _write_size(file: BinaryIO, height: int, width: int) -> None:
    _write_chunk(file, b"IHDR", struct.pack(">2I5B", width, height, *_BY_PALETTE))


def _write_chunk(file: BinaryIO, kind: bytes, content: bytes) -> None:
    file.write(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    )
