"""Masks written as PNG with a palette, and probabilities as TIFF, strip by strip.

Source: TIFF 6.0, sections 3, 8 and 14; Adobe Photoshop TIFF Technical Notes, deflate.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy import ndarray
from PIL import Image
from PIL.ExifTags import Base

from pixelwise.colour.arrays import Float32, UInt8
from pixelwise.colour.palette import IGNORE
from pixelwise.errors import LabelError, OutputError, ShapeError
from pixelwise.files import whole_file
from pixelwise.labels.class_names import ClassNames, voc_colour
from pixelwise.photos.tiff import HEADER_BYTES, Tag, directory, header

MAX_CODE = 65_535  # stands for a probability of 1
_SMALL_BYTES = 2**32 - 2**24  # up to that a plain TIFF does, which more programs read than BigTIFF


def write_mask(
    path: Path, strips: Iterable[UInt8[ndarray, "h W"]], classes: ClassNames, orientation: int = 1
) -> None:
    """Write labels, strip by strip from the top, as PNG; whole or not at all.

    Each pixel is the number of its class, displayed in the class's colour. The rows are those of the photo as
    stored, and `orientation`, EXIF's, says how both are displayed. Takes a byte of memory for each pixel.
    LabelError where a label is neither a class nor IGNORE; OutputError where the file cannot be written, or
    its name does not end in .png.
    """
    if path.suffix.lower() != ".png":
        raise OutputError(f"cannot write {path}: a mask is a PNG; choose a name that ends in .png")
    rows, width = bytearray(), 0
    for strip in strips:
        wrong = (strip >= classes.num_classes) & (strip != IGNORE)
        if wrong.any():
            needed = f"labels 0 to {classes.num_classes - 1} or {IGNORE}"
            raise LabelError(f"{path}: needed {needed}, got {int(strip[wrong][0])}")
        rows += strip.tobytes()
        width = strip.shape[1]
    image = Image.fromarray(np.frombuffer(rows, np.uint8).reshape(-1, width))
    palette = np.zeros((256, 3), np.uint8)
    palette[: classes.num_classes] = classes.colours
    palette[IGNORE] = voc_colour(IGNORE)
    image.putpalette(palette.tobytes())
    exif = Image.Exif()
    exif[Base.Orientation] = orientation
    packed = io.BytesIO()
    # Masks are runs of equal numbers: looking for nothing else is as fast as any level, and shrinks most.
    image.save(packed, "PNG", compress_type=zlib.Z_RLE, exif=exif if orientation != 1 else None)
    with whole_file(path) as temporary:
        temporary.write_bytes(packed.getbuffer())


def write_probabilities(
    path: Path,
    strips: Iterable[Float32[ndarray, "K h W"]],
    classes: ClassNames,
    size: tuple[int, int],
    orientation: int = 1,
) -> None:
    """Write a page of 16-bit grey for each class, named after it (the tag PageName); whole or not at all.

    Strips come from the top, all but the last equally high. The rows are those of the photo of `size`
    (height, width) as stored, and `orientation`, EXIF's, says how both are displayed.
    """
    height, width = size
    is_big = 2 * classes.num_classes * height * width > _SMALL_BYTES
    places: list[list[tuple[int, int]]] = [[] for _ in classes.names]  # start and bytes of a page's strips
    num_rows = row = 0
    with whole_file(path) as temporary, temporary.open("rb+") as file:
        file.write(bytes(HEADER_BYTES[is_big]))
        for strip in strips:
            num_rows = num_rows or strip.shape[1]
            needed = (classes.num_classes, min(num_rows, height - row), width)
            if strip.shape != needed:
                raise ShapeError(f"{path}: needed probabilities of shape {needed}, got {strip.shape}")
            row += strip.shape[1]
            codes = np.rint(strip * MAX_CODE).astype(np.uint16)
            codes[:, :, 1:] -= codes[:, :, :-1].copy()  # differences along rows, modulo 2^16
            for page, rows in zip(places, codes, strict=True):
                packed = zlib.compress(rows.astype("<u2").tobytes(), 1)
                page.append((file.tell(), len(packed)))
                file.write(packed)
        if row != height:
            raise ShapeError(f"{path}: needed probabilities of {height} rows, got {row}")
        file.write(bytes(-file.tell() % 8))
        first = file.tell()
        for name, page in zip(classes.names, places, strict=True):
            tags: tuple[Tag, ...] = (
                (256, "long", [width]),
                (257, "long", [height]),
                (258, "short", [16]),  # bits
                (259, "short", [8]),  # deflate
                (262, "short", [1]),  # 0 is black
                (273, "place", [start for start, _ in page]),
                (274, "short", [orientation]),
                (277, "short", [1]),  # samples a pixel
                (278, "long", [num_rows]),
                (279, "place", [num_bytes for _, num_bytes in page]),
                (285, "text", [*name.encode(), 0]),
                (317, "short", [2]),  # differences along rows
            )
            file.write(directory(tags, file.tell(), is_big, last=name == classes.names[-1]))
        file.seek(0)
        file.write(header(first, is_big))
