"""EXIF in TIFF files: libvips neither reads it there nor writes it, though it does for all other formats.

A TIFF's directory of tags is also the first directory of its EXIF, and says how the pixels are stored, too.
So only the tags that describe the photo are read, and added to those of the new file.
"""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path
from typing import Any

import pyvips
from PIL import Image
from PIL.ExifTags import IFD, Base
from PIL.TiffImagePlugin import ImageFileDirectory_v2

_NAMES = ("ImageDescription", "Make", "Model", "Software", "DateTime", "Artist", "HostComputer", "Copyright")


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
    ValueError where the EXIF is damaged, or the file is a BigTIFF. Source: TIFF 6.0, section 2.
    """
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
