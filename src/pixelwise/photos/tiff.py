"""TIFF files: which picture is the photo; directories of tags; EXIF, which libvips does not read there.

A TIFF's directory of tags is also the first directory of its EXIF, and says how the pixels are stored, too.
So only the tags that describe the photo are read, and added to those of the new file.
Source: TIFF 6.0, section 2; BigTIFF as libtiff defines it.
"""

from __future__ import annotations

import contextlib
import io
import math
import struct
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyvips
from PIL import Image
from PIL.ExifTags import IFD, Base

from pixelwise.errors import FormatError, PhotoError

if TYPE_CHECKING:
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

Kind = Literal["text", "short", "long", "place"]  # of a tag's values; a place takes 8 bytes in a BigTIFF
Tag = tuple[int, Kind, Sequence[int]]  # number, kind and values
HEADER_BYTES = {False: 8, True: 16}  # by whether it is a BigTIFF
_SINGLE: dict[Kind, tuple[int, str]] = {"text": (2, "B"), "short": (3, "H"), "long": (4, "I")}
_PLACE = {False: (4, "I"), True: (16, "Q")}
_DAMAGE = (OSError, SyntaxError, ValueError, TypeError, KeyError, struct.error)  # as Pillow says it
_NAMES = (
    *("ImageDescription", "Make", "Model", "Software", "DateTime", "Artist", "HostComputer", "Copyright"),
    *("DocumentName", "PageName", "PageNumber"),
)
# Where on Earth it lies. Source: OGC 19-008r4, GeoTIFF; GDAL's own two.
_GEOGRAPHIC = (33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113)
_DESCRIBING = (*(Base[name].value for name in _NAMES), *_GEOGRAPHIC)
_SUBFILE, _OLD_SUBFILE = 254, 255
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _STRIPS = 256, 257, 258, 259, 262, 273
_ORIENTATION, _NUM_SAMPLES, _STRIP_BYTES, _PLANES = 274, 277, 279, 284
_SUB_PICTURES, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 330, 338, 339
_NUM_COLOURS, _TRANSPARENCY = {0: 1, 1: 1, 3: 1, 5: 4}, (1, 2)  # 3 by all other photometric tags
_MOST_FURTHER = 3  # channels
_DNG_VERSION = 50706
_RESOLUTION, _NO_UNIT = (282, 283, 296), 1  # across, down, and its unit
_REDUCED, _MASK, _OLD_REDUCED = 1, 4, 2  # bits of a subfile's kind, and the old tag's number
_MOSAICS = (32803, 34892)  # of colour filters, and linear numbers of a sensor. Source: DNG 1.7
_RAW_SUFFIXES = (  # of cameras' files that are TIFFs, whatever their tags say
    *(".3fr", ".arw", ".cr2", ".dng", ".erf", ".iiq", ".kdc"),
    *(".mos", ".nef", ".nrw", ".orf", ".pef", ".rwl", ".srw"),
)
_NO_CODEC = {34887: "LERC", 34925: "LZMA", 50000: "ZSTD", 50002: "JPEG XL", 52546: "JPEG XL"}
_NO_CODEC |= dict.fromkeys((33003, 33005, 34712), "JPEG 2000")
_MOST_PICTURES = 1000  # that are looked through


@dataclass(frozen=True)
class Picture:
    """The picture of a TIFF that is the photo."""

    path: Path
    page: int  # its number
    num_pictures: int  # in the file
    tags: Any  # Pillow's, or none

    @property
    def size_of_doubles(self) -> tuple[int, int] | None:
        """Width and height where the pixels are plain numbers of 64 bit, as numpy writes them."""
        tags, floats, plain = self.tags, 3, 1
        size = _number(tags, _WIDTH), _number(tags, _HEIGHT)
        is_plain = (
            tags.get(_BITS) == (64,) * max(1, _number(tags, _NUM_SAMPLES))
            and _number(tags, _SAMPLE_FORMAT) == floats
            and _number(tags, _COMPRESSION, plain) == _number(tags, _PLANES, plain) == plain
            and _number(tags, _PHOTOMETRIC) in (1, 2)  # light is large
            and _STRIPS in tags
            and _STRIP_BYTES in tags
        )
        return size if is_plain and min(size) > 0 else None

    def doubles(self) -> pyvips.Image:
        """Read these numbers, which libvips does not; PhotoError where some are missing."""
        tags, strips = self.tags, list[bytes]()
        order, shape = "<" if tags.prefix == b"II" else ">", (tags[_HEIGHT], tags[_WIDTH], len(tags[_BITS]))
        missing = 8 * math.prod(shape)
        with self.path.open("rb") as file, contextlib.suppress(*_DAMAGE, OverflowError):
            for start, length in zip(tags[_STRIPS], tags[_STRIP_BYTES], strict=False):
                file.seek(start)
                strips.append(file.read(min(length, missing)))
                missing -= len(strips[-1])
        if missing:
            raise PhotoError(f"{self.path}: damaged or cut short; nothing was written for it")
        pixels = np.frombuffer(b"".join(strips), f"{order}f8").reshape(shape).astype(np.float64)
        image = self.cut(pyvips.Image.new_from_array(pixels))
        for name, value in (("orientation", _number(tags, _ORIENTATION, 1)), ("n-pages", self.num_pictures)):
            image.set_type(pyvips.GValue.gint_type, name, value)
        return image

    @property
    def surplus(self) -> list[int]:
        """The channels that are neither colours nor said to be transparency, from the last, -1, on.

        None of a picture with more than a photo has: its first channel alone would be no photo, either.
        """
        colours = _NUM_COLOURS.get(_number(self.tags, _PHOTOMETRIC), 3)
        num = max(0, _number(self.tags, _NUM_SAMPLES, 1) - colours)
        kinds = self.tags.get(_EXTRA_SAMPLES, ())[:num] if num <= _MOST_FURTHER else ()
        clear = next((place for place, kind in enumerate(kinds) if kind in _TRANSPARENCY), None)
        return [place - num for place in range(len(kinds)) if place != clear]

    def cut(self, image: pyvips.Image) -> pyvips.Image:
        """Return its pixels without the surplus, such as a scanner's infrared."""
        surplus = self.surplus
        kept = [image[band] for band in range(image.bands) if band - image.bands not in surplus]
        return kept[0].bandjoin(kept[1:]) if surplus else image


class _Reader:
    """Reads the directories of a TIFF or BigTIFF, or of EXIF, which is a TIFF without pixels."""

    def __init__(self, file: io.BufferedReader | io.BytesIO) -> None:
        self.file = file
        head = file.read(8)
        self.head = head + (file.read(8) if 43 in head[2:4] else b"")

    def read(self, place: int) -> ImageFileDirectory_v2:
        """Return the tags of a directory at a place in the file; raise one of `_DAMAGE` for what is none."""
        tags = _new_directory(self.head)
        self.file.seek(place)
        tags.load(self.file)
        return tags

    def pictures(self) -> Iterator[ImageFileDirectory_v2]:
        """Yield the tags of one picture after the other, as long as they can be read."""
        with contextlib.suppress(*_DAMAGE):
            place, seen = _new_directory(self.head).next, set[int]()
            while place and place not in seen and len(seen) < _MOST_PICTURES:
                seen.add(place)
                tags = self.read(place)
                yield tags
                place = tags.next

    def below(self, tags: ImageFileDirectory_v2) -> Iterator[ImageFileDirectory_v2]:
        """Yield the tags of pictures below a picture, as long as they can be read."""
        with contextlib.suppress(*_DAMAGE):
            places = tags.get(_SUB_PICTURES, ())
            yield from map(self.read, places if isinstance(places, tuple) else (places,))

    def describing(self, tags: ImageFileDirectory_v2) -> dict[int, Any]:
        """Return the tags that describe a photo; one of `_DAMAGE` where a part of them is damaged."""
        kept: dict[int, Any] = {tag: tags[tag] for tag in _DESCRIBING if tag in tags}
        if tags.get(_RESOLUTION[-1]) == _NO_UNIT:  # libvips would write it as if it had one
            kept |= {tag: tags[tag] for tag in _RESOLUTION if tag in tags}
        for part in (IFD.Exif, IFD.GPSInfo):
            if part in tags:
                kept[part] = {
                    tag: value for tag, value in self.read(tags[part]).items() if tag != IFD.Interop
                }
                if not kept[part]:
                    raise ValueError("a part of it is missing")
        return kept


def find_picture(path: Path) -> Picture:
    """Return the first picture in full resolution, else the first.

    FormatError for a camera's raw file, and for a compression that cannot be read here.
    """
    with path.open("rb") as file, _quietly():
        reader = _Reader(file)
        pictures = list(reader.pictures())
        every = [*pictures, *(tags for one in pictures for tags in reader.below(one))]
    if path.suffix.lower() in _RAW_SUFFIXES or any(
        _DNG_VERSION in tags or _number(tags, _PHOTOMETRIC) in _MOSAICS for tags in every
    ):
        raise FormatError(f"{path}: is a camera's raw file; develop it first, and save it as TIFF or JPEG")
    whole = (
        page
        for page, tags in enumerate(pictures)
        if not _number(tags, _SUBFILE) & (_REDUCED | _MASK) and _number(tags, _OLD_SUBFILE) != _OLD_REDUCED
    )
    page = next(whole, 0)
    tags: Any = pictures[page] if pictures else {}
    if codec := _NO_CODEC.get(_number(tags, _COMPRESSION)):
        raise FormatError(f"{path}: {codec}-compressed TIFF cannot be read here; save it with LZW or without")
    return Picture(path, page, len(pictures), tags)


def _number(tags: Any, tag: int, otherwise: int = 0) -> int:
    """Return the first number of a tag, `otherwise` where it has none; Pillow reads it only now."""
    value: Any = otherwise
    with contextlib.suppress(*_DAMAGE), _quietly():
        value = tags.get(tag, otherwise)
    value = next(iter(value), otherwise) if isinstance(value, tuple | bytes) else value
    return value if isinstance(value, int) else otherwise


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


def read_exif(picture: Picture) -> tuple[dict[str, tuple[int, Any]], str]:
    """Return EXIF of a TIFF's picture, type and value by libvips' names, and a note on what is left out.

    ValueError where it is damaged, or too long.
    """
    with picture.path.open("rb") as file:
        kept = _describing(file, picture.tags)
    try:
        return _named_by_vips(kept), ""
    except ValueError:  # it is too long
        kept = {tag: value for tag, value in kept.items() if tag not in _GEOGRAPHIC}
        return _named_by_vips(kept), "where on Earth it lies was too long for EXIF and left out"


def _named_by_vips(tags: dict[int, Any]) -> dict[str, tuple[int, Any]]:
    if not tags:
        return {}
    # libvips fills in its names when it reads EXIF in a format where it can.
    jpeg, exif = io.BytesIO(), Image.Exif()
    exif.update(tags)
    try:
        Image.new("L", (1, 1)).save(jpeg, format="JPEG", exif=exif)
    except _DAMAGE as error:
        raise ValueError(f"damaged or too long EXIF: {error}") from error
    image = pyvips.Image.jpegload_buffer(jpeg.getvalue())
    names = [name for name in image.get_fields() if name.startswith("exif-")]
    return {name: (image.get_typeof(name), image.get(name)) for name in names}


def describing_exif(exif: bytes) -> dict[int, Any]:
    """Return the tags that describe the photo, of EXIF as JPEG files hold it; ValueError where it is damaged.

    A part's tags are a dict, under the part's own tag.
    """
    return _describing(io.BytesIO(exif.removeprefix(b"Exif\0\0")))


def _describing(file: io.BufferedReader | io.BytesIO, picture: Any = None) -> dict[int, Any]:
    try:
        with _quietly():
            reader = _Reader(file)
            if not (picture := picture or next(reader.pictures(), None)):
                raise ValueError("its directory cannot be read")
            return reader.describing(picture)
    except _DAMAGE as error:
        raise ValueError(f"damaged EXIF: {error}") from error


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep Pillow from warning of damage, after which it goes on without what is missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _new_directory(head: bytes) -> ImageFileDirectory_v2:
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    return ImageFileDirectory_v2(head)


def add_exif(path: Path, exif: bytes) -> None:
    """Put the tags in `exif`, as JPEG files hold it, that describe a photo into a TIFF that libvips wrote.

    The pixels stay where they are: a new directory goes to the end, and the header points to it.
    ValueError where the EXIF is damaged, or the file is a BigTIFF.
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
        added = _new_directory(head)
        added.update(kept)
        described = added.tobytes(end).ljust(8, b"\0")
        described += bytes(-len(described) % 8)
        entries = [entry for _, entry in sorted((own | _entries(described)).items())]
        file.write(described + struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4))
        file.seek(4)
        file.write(struct.pack("<I", end + len(described)))


def _entries(directory: bytes) -> dict[int, bytes]:
    """Return the entries, 12 bytes each, of a directory by their tags."""
    (num,) = struct.unpack_from("<H", directory)
    entries = (directory[2 + 12 * n : 14 + 12 * n] for n in range(num))
    return {struct.unpack_from("<H", entry)[0]: entry for entry in entries}
