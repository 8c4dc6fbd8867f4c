"""EXIF in TIFF files: libvips neither reads it there nor writes it, though it does for all other formats.

A TIFF's directory of tags is an EXIF's first directory at the same time, and says how the pixels are stored,
too. So only what describes the photo is taken, and put beside the tags of the new file.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyvips
from PIL import Image
from PIL.ExifTags import IFD, Base
from PIL.TiffImagePlugin import ImageFileDirectory_v2

_DESCRIBING = (
    Base.ImageDescription,
    Base.Make,
    Base.Model,
    Base.Software,
    Base.DateTime,
    Base.Artist,
    Base.HostComputer,
    Base.Copyright,
)
_PARTS = (IFD.Exif, IFD.GPSInfo)
_PLACES = (IFD.Interop,)  # tags that hold a place in the old file


def read_exif(path: Path) -> dict[str, tuple[int, Any]]:
    """Return a TIFF's EXIF, type and value by libvips' names; empty where there is none.

    Raises:
        ValueError: the EXIF is damaged.
    """
    with path.open("rb") as file:
        kept = _describing(lambda exif: exif.load_from_fp(file))
    if not kept:
        return {}
    # libvips fills in its names when it reads EXIF in a format where it can.
    jpeg, exif = io.BytesIO(), Image.Exif()
    exif.update(kept)
    Image.new("L", (1, 1)).save(jpeg, format="JPEG", exif=exif)
    image = pyvips.Image.jpegload_buffer(jpeg.getvalue())
    names = [name for name in image.get_fields() if name.startswith("exif-")]
    return {name: (image.get_typeof(name), image.get(name)) for name in names}


def check_exif(exif: bytes) -> None:
    """Make sure that `add_exif` can take it.

    Raises:
        ValueError: the EXIF is damaged.
    """
    _describing(lambda found: found.load(exif))


def add_exif(path: Path, exif: bytes) -> None:
    """Put the tags in `exif`, as JPEG files hold it, that describe a photo into a TIFF with one picture.

    The pixels stay where they are: a new directory goes to the end, and the header points to it.
    Source: TIFF 6.0, section 2; BigTIFF as libtiff defines it.

    Raises:
        ValueError: the EXIF is damaged.
    """
    kept = _describing(lambda found: found.load(exif))
    with path.open("rb+") as file:
        head = file.read(16)
        order, big = "<" if head[:2] == b"II" else ">", head[2 if head[:2] == b"II" else 3] == 43
        pointer, count, entry_bytes = (
            (f"{order}Q", f"{order}Q", 20) if big else (f"{order}L", f"{order}H", 12)
        )
        pointer_at = 8 if big else 4

        def entries(directory: bytes) -> dict[int, bytes]:
            (num,) = struct.unpack_from(count, directory)
            first = struct.calcsize(count)
            whole = [directory[first + n * entry_bytes :][:entry_bytes] for n in range(num)]
            return {struct.unpack_from(f"{order}H", entry)[0]: entry for entry in whole}

        file.seek(struct.unpack_from(pointer, head, pointer_at)[0])
        own = entries(file.read(2**16))
        end = file.seek(0, io.SEEK_END)
        end += file.write(bytes(-end % 8))
        if end > 2**32 - 2**20:
            return  # EXIF points with 32 bits, and cannot lie that far behind
        added = ImageFileDirectory_v2(head[: 16 if big else 8])
        for tag, value in kept.items():
            added[tag] = value
        described = added.tobytes(end).ljust(8, b"\0")
        described += bytes(-len(described) % 8)
        together = sorted((entries(described) | own).items())
        file.write(described + struct.pack(count, len(together)))
        file.write(b"".join(entry for _, entry in together) + struct.pack(pointer, 0))
        file.seek(pointer_at)
        file.write(struct.pack(pointer, end + len(described)))


def _describing(load: Callable[[Image.Exif], None]) -> dict[int, Any]:
    """Return the tags that describe the photo; those of a part together, by the part's own tag.

    Raises:
        ValueError: the EXIF that `load` loads is damaged.
    """
    exif = Image.Exif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of damage, and goes on without what is missing
            load(exif)
            kept: dict[int, Any] = {int(tag): exif[tag] for tag in _DESCRIBING if tag in exif}
            parts = {int(part): exif.get_ifd(part) for part in _PARTS if part in exif}
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, struct.error) as error:
        raise ValueError(f"damaged EXIF: {error}") from error
    if not all(parts.values()):
        raise ValueError("damaged EXIF: a part of it is missing")
    for part, tags in parts.items():
        kept[part] = {tag: value for tag, value in tags.items() if tag not in _PLACES}
    return kept
