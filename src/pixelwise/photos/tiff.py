"""TIFF files: directories of tags, packed, and EXIF, which libvips neither reads there nor writes.

A TIFF's directory of tags is also the first directory of its EXIF, and says how the pixels are stored, too.
So only the tags that describe the photo are read, and added to those of the new file.
Source: TIFF 6.0, section 2; BigTIFF as libtiff defines it.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pyvips
from PIL import Image
from PIL.ExifTags import IFD, Base

Kind = Literal["text", "short", "long", "place"]  # of a tag's values; a place takes 8 bytes in a BigTIFF
Tag = tuple[int, Kind, Sequence[int]]  # number, kind and values
HEADER_BYTES = {False: 8, True: 16}  # by whether it is a BigTIFF
_SINGLE: dict[Kind, tuple[int, str]] = {"text": (2, "B"), "short": (3, "H"), "long": (4, "I")}
_PLACE = {False: (4, "I"), True: (16, "Q")}
_NAMES = ("ImageDescription", "Make", "Model", "Software", "DateTime", "Artist", "HostComputer", "Copyright")


def header(first: int, big: bool) -> bytes:
    """Return the file's first bytes; `first` is the place of the first directory, a multiple of 8."""
    return struct.pack("<2sHHHQ", b"II", 43, 8, 0, first) if big else struct.pack("<2sHI", b"II", 42, first)


def directory(tags: Sequence[Tag], at: int, big: bool, last: bool = True) -> bytes:
    """Return a picture's directory for the place `at`, a multiple of 8, with long values behind it.

    Its length is a multiple of 8 and does not depend on the values. Unless it is the `last`, it points to
    what comes right behind it.
    """
    place, count, room = ("<Q", "<Q", 8) if big else ("<I", "<H", 4)
    tables_at = at + struct.calcsize(count) + len(tags) * (4 + 2 * room) + room
    entries, tables = b"", b""
    for number, kind, values in sorted(tags, key=lambda tag: tag[0]):
        code, letter = _PLACE[big] if kind == "place" else _SINGLE[kind]
        packed = struct.pack(f"<{len(values)}{letter}", *values)
        if len(packed) > room:
            tables += bytes(-(tables_at + len(tables)) % 8)
            packed, tables = struct.pack(place, tables_at + len(tables)), tables + packed
        entries += struct.pack("<HH", number, code) + struct.pack(place, len(values))
        entries += packed.ljust(room, b"\0")
    tables += bytes(-(tables_at + len(tables)) % 8)
    following = 0 if last else tables_at + len(tables)
    return struct.pack(count, len(tags)) + entries + struct.pack(place, following) + tables


def read_exif(path: Path) -> dict[str, tuple[int, Any]]:
    """Return a TIFF's EXIF, type and value by libvips' names, or nothing; ValueError where it is damaged."""
    with path.open("rb") as file:
        kept = describing_exif(file)
    if not kept:
        return {}
    # libvips fills in its names when it reads EXIF in a format where it can.
    jpeg, exif = io.BytesIO(), Image.Exif()
    exif.update(kept)
    Image.new("L", (1, 1)).save(jpeg, format="JPEG", exif=exif)
    image = pyvips.Image.jpegload_buffer(jpeg.getvalue())
    names = [name for name in image.get_fields() if name.startswith("exif-")]
    return {name: (image.get_typeof(name), image.get(name)) for name in names}


def describing_exif(source: bytes | io.BufferedReader) -> dict[int, Any]:
    """Return the tags that describe the photo, of EXIF as JPEG files hold it or in a TIFF.

    A part's tags are a dict, under the part's own tag. ValueError where the EXIF is damaged.
    """
    exif = Image.Exif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of damage, and goes on without what is missing
            if isinstance(source, bytes):
                exif.load(source)
            else:
                exif.load_from_fp(source)
            kept: dict[int, Any] = {int(tag): exif[tag] for name in _NAMES if (tag := Base[name]) in exif}
            parts = {int(part): exif.get_ifd(part) for part in (IFD.Exif, IFD.GPSInfo) if part in exif}
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, struct.error) as error:
        raise ValueError(f"damaged EXIF: {error}") from error
    if not all(parts.values()):
        raise ValueError("damaged EXIF: a part of it is missing")
    for part, tags in parts.items():
        kept[part] = {tag: value for tag, value in tags.items() if tag != IFD.Interop}  # a place in the file
    return kept


def add_exif(path: Path, exif: bytes) -> None:
    """Put the tags in `exif`, as JPEG files hold it, that describe a photo into a TIFF that libvips wrote.

    The pixels stay where they are: a new directory goes to the end, and the header points to it.
    ValueError where the EXIF is damaged, or the file is a BigTIFF.
    """
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    kept = describing_exif(exif)
    with path.open("rb+") as file:
        head = file.read(8)
        if head[:4] != b"II*\0":
            raise ValueError("needed a TIFF, got a BigTIFF")
        file.seek(struct.unpack_from("<I", head, 4)[0])
        own = _entries(file.read(2**16))
        end = file.seek(0, io.SEEK_END)
        end += file.write(bytes(-end % 8))
        added = ImageFileDirectory_v2(head)
        added.update(kept)
        described = added.tobytes(end).ljust(8, b"\0")
        described += bytes(-len(described) % 8)
        entries = [entry for _, entry in sorted((_entries(described) | own).items())]
        file.write(described + struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4))
        file.seek(4)
        file.write(struct.pack("<I", end + len(described)))


def _entries(directory: bytes) -> dict[int, bytes]:
    """Return the entries, 12 bytes each, of a directory by their tags."""
    (num,) = struct.unpack_from("<H", directory)
    entries = (directory[2 + 12 * n : 14 + 12 * n] for n in range(num))
    return {struct.unpack_from("<H", entry)[0]: entry for entry in entries}
