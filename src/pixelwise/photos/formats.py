"""Photos opened by their content: with libvips, in strips where the format allows; with Pillow, whole."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import re
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyvips
from numpy import ndarray
from PIL import Image as Pillow

from pixelwise.errors import FormatError, PhotoError, PhotoSizeError
from pixelwise.files import reason
from pixelwise.photos.tiff import Picture, find_picture

_VIPS = {
    "jpegload": (rb"\xff\xd8\xff", (".jpg", ".jpeg", ".jpe", ".jfif")),
    "pngload": (rb"\x89PNG\r\n\x1a\n", (".png",)),
    "tiffload": (rb"II[*+]\0|MM\0[*+]", (".tif", ".tiff")),
    "webpload": (rb"RIFF.{4}WEBP", (".webp",)),
    "heifload": (rb".{4}ftyp(?:hei[cxms]|hev[cxms]|mif1|msf1|avi[fs])", (".avif", ".heic", ".heif")),
    "gifload": (rb"GIF8[79]a", (".gif",)),
}
"""Loaders of libvips that are used, and their files' first bytes and suffixes.

Source of the bytes: each format's own specification; for HEIF ISO/IEC 23008-12, annex B and F.
"""
VIPS_FORMATS = {loader: suffixes for loader, (_, suffixes) in _VIPS.items()}
PILLOW_FORMATS = {  # formats that only Pillow reads here
    "BMP": (".bmp", ".dib"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "JPEG2000": (".jp2", ".j2k"),
    "TGA": (".tga",),
    "PCX": (".pcx",),
    "QOI": (".qoi",),
}
SUFFIXES = frozenset(itertools.chain(*VIPS_FORMATS.values(), *PILLOW_FORMATS.values()))  # found in folders

_GAIN_MAPS = (b"urn:iso:std:iso:ts:21496:-1", b"http://ns.adobe.com/hdr-gain-map/")
"""Names in the header of a JPEG with a second picture, for bright screens. Source: ISO 21496-1, Ultra HDR."""
_HEADER_BYTES = 2**18  # holds EXIF, XMP and a colour profile, each of which may take 64 KB

_END_OF_JPEG = b"\xff\xd9"
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # but for those within pixels
_PADDING = re.compile(r": [1-5]?\d extraneous bytes before marker 0xd9")  # which ends the file


class _Warnings(logging.Filter):
    """Collects what JPEGs' decoders warn of, which libvips only logs; other warnings its errors say again."""

    def __init__(self) -> None:
        super().__init__()
        self.here = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep a warning for the thread in which it came, and let errors alone pass."""
        message = record.getMessage().removeprefix("VIPS: ").removeprefix("VipsJpeg: ").split("\n")[0]
        if _PADDING.search(message):
            if getattr(self.here, "last", "") == "read gave 1 warnings":  # which is this one
                self.here.last = ""
        elif message.startswith(("read gave", "Corrupt JPEG")):  # the second is lost after a failure
            self.here.last = message
        return record.levelno >= logging.ERROR


_warnings = _Warnings()
logging.getLogger("pyvips").setLevel(logging.WARNING)
logging.getLogger("pyvips").addFilter(_warnings)

_UNREADABLE = re.compile("not (been )?(configured|built in|supported)|unsupported|out of range", re.I)

Load = Callable[[int], pyvips.Image]  # opens a photo, `STREAMED` or shrunk up to so many times if cheap
STREAMED = 0  # whole, its rows read from the top as they are asked for


@dataclass(frozen=True)
class Opened:
    """The photo in a file, and what was seen there on the way."""

    image: pyvips.Image
    load: Load  # opens it anew
    format: str  # its key in the tables above
    picture: Picture | None = None  # of a TIFF
    is_endless: bool = False  # whether a JPEG lacks its last marker


def open_file(path: Path, max_megapixels: float) -> Opened:
    """Open the photo in a file.

    How the file begins decides, whatever its name: libvips would also try its readers of drawings and tables.
    PhotoError where there is no such file, it may not be read, its format is not known, or it is damaged or
    larger than `max_megapixels`.
    """
    head = _head(path)
    loader = next((name for name, (magic, _) in _VIPS.items() if re.match(magic, head, re.DOTALL)), "")
    picture = find_picture(path) if loader == "tiffload" else None
    if picture and (size := picture.size_of_doubles):
        _check_size(path, *size, max_megapixels)
        doubles = picture.doubles()
        return Opened(doubles, lambda _shrink: doubles, loader, picture)
    if loader:
        is_endless = loader == "jpegload" and lacks_end(path)
        load = partial(_load_vips, path, loader, picture, is_endless)
        with reading(path):
            image = load(STREAMED)
        _check_size(path, image.width, image.height, max_megapixels)
        if is_endless and value_of(image, "jpeg-multiscan", 0):  # whole scans may be missing, without a trace
            raise PhotoError(f"{path}: damaged or cut short (its last marker is missing)")
        return Opened(image, load, loader, picture, is_endless)
    try:
        image, name = _load_pillow(path, max_megapixels)
    except (OSError, SyntaxError, ValueError) as error:
        names = "JPEG, PNG, TIFF, WebP, GIF, AVIF, HEIF, BMP, PNM, JPEG 2000, TGA, PCX or QOI"
        raise FormatError(f"{path}: needed a whole photo in {names}; this file is none ({error})") from error
    return Opened(image, lambda _shrink: image, name)


def has_gain_map(path: Path) -> bool:
    """Return whether a JPEG brings a second picture for bright screens, as recent phones write them."""
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    return any(name in header for name in _GAIN_MAPS)


@contextlib.contextmanager
def decoding(path: Path, notes: list[str]) -> Iterator[None]:
    """Do as `reading`, and add a note where a JPEG that is loaded inside is damaged in places.

    PhotoError where it has no end either: then it was cut short.
    """
    _warnings.here.last = ""
    with reading(path):
        yield
    if message := _warnings.here.last:
        if lacks_end(path):
            raise PhotoError(f"{path}: damaged or cut short ({message}); nothing was written for it")
        note = f"{path}: warning: damaged in places ({message}); compare the copy with it"
        if note not in notes:
            notes.append(note)


def lacks_end(path: Path) -> bool:
    """Return whether the marker that ends a JPEG is missing. Source: ITU T.81, annex B."""
    with path.open("rb") as file:
        file.seek(-len(_END_OF_JPEG), os.SEEK_END)
        if file.read() == _END_OF_JPEG:
            return False
    content, at = path.read_bytes(), 2
    while marker := _JPEG_MARKER.search(content, at):
        at = marker.end()
        if marker[0] == _END_OF_JPEG:
            return False
        at += int.from_bytes(content[at : at + 2], "big")  # the length of what belongs to it
    return True


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn errors of libvips inside into a `PhotoError` that names the file."""
    try:
        yield
    except pyvips.Error as error:
        why = vips_reason(error)
        if _UNREADABLE.search(why):
            raise FormatError(f"{path}: is of a kind that cannot be read here ({why})") from error
        raise PhotoError(f"{path}: damaged or cut short ({why}); nothing was written for it") from error


def vips_reason(error: pyvips.Error) -> str:
    """Return the first line of libvips' message, which repeats itself."""
    lines = [line.strip() for line in str(error.detail).splitlines() if line.strip()]
    return lines[0] if lines else error.message


def value_of(image: pyvips.Image, name: str, otherwise: Any) -> Any:
    """Return a piece of metadata, or `otherwise` where the file has none."""
    return image.get(name) if image.get_typeof(name) else otherwise


def _head(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(mode := path.stat().st_mode):
            raise PhotoError(f"{path}: needed a photo, got a {'folder' if stat.S_ISDIR(mode) else 'device'}")
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise PhotoError(f"{path}: cannot be read: {reason(error)}") from error
    if not head:
        raise PhotoError(f"{path}: needed a photo, got an empty file")
    return head


def _check_size(path: Path, width: int, height: int, max_megapixels: float) -> None:
    if (megapixels := width * height / 1e6) > max_megapixels:
        raise PhotoSizeError(
            f"{path}: needed a photo of at most {max_megapixels:g} megapixels, got {megapixels:.0f}"
            f" ({width} x {height}); raise --max-megapixels if you trust the file"
        )


def _load_vips(
    path: Path, loader: str, picture: Picture | None, is_endless: bool, shrink: int
) -> pyvips.Image:
    """Open a file with one loader, as a stream; a JPEG may come 2, 4 or 8 times smaller in a third of time.

    A JPEG that is shrunk, 1 times or more, is read now, so that what its decoder warns of is known.
    """
    # Strips that a TIFF lacks are read as black, which libvips calls an error and not a truncation.
    options: dict[str, Any] = {"access": "sequential", "fail_on": "error" if picture else "truncated"}
    if loader == "jpegload":
        options["shrink"] = max(s for s in (1, 2, 4, 8) if s <= max(1, shrink))
        opened = partial(_open_jpeg, path, options, is_endless=is_endless, streamed=not shrink)
        return _in_memory(opened) if shrink else opened()
    source = _source(path)
    if picture is None:
        return getattr(pyvips.Image, f"{loader}_source")(source, **options)
    return picture.cut(pyvips.Image.tiffload_source(source, page=picture.page, **options))


def _in_memory(opened: Callable[[], pyvips.Image]) -> pyvips.Image:
    """Return an image that this very thread reads and closes, which is when its decoder warns of damage."""
    image = opened()
    size, interpretation = (image.width, image.height, image.bands, image.format), image.interpretation
    profile = value_of(image, "icc-profile-data", None)
    codes = pyvips.Region.new(image).fetch(0, 0, image.width, image.height)
    del image
    read = pyvips.Image.new_from_memory(codes, *size).copy(interpretation=interpretation)
    if profile:
        read.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return read


def _source(path: Path) -> pyvips.Source:
    # Through a descriptor, which libvips copies: it takes brackets in a name for options, remembers files by
    # their names, and its binding knows only names in UTF-8.
    with path.open("rb") as file:
        return pyvips.Source.new_from_descriptor(file.fileno())


def _open_jpeg(path: Path, options: dict[str, Any], *, is_endless: bool, streamed: bool) -> pyvips.Image:
    if not is_endless:
        return pyvips.Image.jpegload_source(_source(path), **options)
    # libvips takes it for cut short, though it may be whole; with an end it only warns where it is.
    strict = {"fail_on": "warning"} if streamed else {}
    return pyvips.Image.jpegload_buffer(path.read_bytes() + _END_OF_JPEG, **options | strict)


def _load_pillow(path: Path, max_megapixels: float) -> tuple[pyvips.Image, str]:
    with path.open("rb") as file:
        photo, name = open_pillow(file, PILLOW_FORMATS)
        _check_size(path, *photo.size, max_megapixels)
        if photo.mode == "I" or photo.mode.startswith("I;16"):
            pixels = np.asarray(photo).astype(np.uint16)
        elif photo.mode in ("L", "LA", "RGB", "RGBA", "F"):
            pixels = np.asarray(photo)
        else:
            pixels = np.asarray(photo.convert("RGBA" if photo.has_transparency_data else "RGB"))
    image = image_of(pixels)
    if profile := photo.info.get("icc_profile"):
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return image, name


def image_of(codes: ndarray) -> pyvips.Image:
    """Return codes (H, W) or (H, W, bands) as an image, of 16 bit where they are; libvips alone takes 8."""
    image = pyvips.Image.new_from_array(codes)
    grey, colour = ("grey16", "rgb16") if codes.dtype == np.uint16 else ("b-w", "srgb")
    return image.copy(interpretation=colour if image.bands >= 3 else grey)


def open_pillow(file: IO[bytes], formats: Iterable[str]) -> tuple[Pillow.Image, str]:
    """Open a picture of one of Pillow's `formats`, or raise a SyntaxError; Pillow's limit of size is off."""
    Pillow.init()
    head = file.read(16)
    for name in formats:
        photo_of, accepts = Pillow.OPEN[name]
        if accepts is None or accepts(head) is True:
            file.seek(0)
            with contextlib.suppress(SyntaxError):
                return photo_of(file, ""), name
    raise SyntaxError("no format begins like it")
