"""Opening photos by their content: libvips, in strips where the format allows; Pillow, whole, for others."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
from PIL import Image as Pillow

from pixelwise.errors import PhotoError

VIPS_FORMATS = {
    "jpegload": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "pngload": (".png",),
    "tiffload": (".tif", ".tiff"),
    "webpload": (".webp",),
    "heifload": (".avif", ".heic", ".heif"),
    "gifload": (".gif",),
}
"""Loaders of libvips that we take, and their files' suffixes. (It would also read drawings and tables.)"""

PILLOW_FORMATS = {
    "BMP": (".bmp", ".dib"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "JPEG2000": (".jp2", ".j2k"),
    "TGA": (".tga",),
    "PCX": (".pcx",),
    "QOI": (".qoi",),
}
"""Formats that only Pillow reads here, and their suffixes."""

SUFFIXES = frozenset(
    suffix for group in (*VIPS_FORMATS.values(), *PILLOW_FORMATS.values()) for suffix in group
)
"""What counts as a photo when a folder is searched."""

# What libvips warns of while it reads a damaged file, its error says again, and our PhotoError with it.
logging.getLogger("pyvips").setLevel(logging.ERROR)

Load = Callable[[int], pyvips.Image]
"""Opens a photo, shrunk up to the given number of times where that is cheap."""


def opener(path: Path) -> tuple[Load, str]:
    """What opens the photo in a file, and the format's key in VIPS_FORMATS or PILLOW_FORMATS.

    Raises:
        PhotoError: there is no such file, it may not be read, or neither library knows its format.
    """
    _check_file(path)
    try:
        loader = str(_load_vips(path, 1).get("vips-loader")).removesuffix("_source")
        if loader in VIPS_FORMATS:
            return partial(_load_vips, path), loader
        reason = f"libvips would use {loader}"
    except pyvips.Error as error:
        reason = vips_reason(error)
    try:
        image, name = _load_pillow(path)
    except Pillow.DecompressionBombError as error:
        raise PhotoError(f"{path}: {error}") from error
    except (OSError, SyntaxError, ValueError) as error:
        names = "JPEG, PNG, TIFF, WebP, GIF, AVIF, HEIF, BMP, PNM, JPEG 2000, TGA, PCX or QOI"
        raise PhotoError(f"{path}: needed a whole photo in {names}; this file is none ({reason})") from error
    return lambda _shrink: image, name


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Name the file when libvips finds its pixels damaged.

    Raises:
        PhotoError: libvips failed inside.
    """
    try:
        yield
    except pyvips.Error as error:
        raise PhotoError(
            f"{path}: damaged or cut short ({vips_reason(error)}); nothing was written for it"
        ) from error


def vips_reason(error: pyvips.Error) -> str:
    """The first line of libvips' own account, which repeats itself."""
    lines = [line.strip() for line in str(error.detail).splitlines() if line.strip()]
    return lines[0] if lines else error.message


def field(image: pyvips.Image, name: str, otherwise: Any) -> Any:
    """A piece of metadata, or `otherwise` where the file has none."""
    return image.get(name) if image.get_typeof(name) else otherwise


def _check_file(path: Path) -> None:
    try:
        if path.is_dir():
            raise PhotoError(f"{path}: needed a photo, got a folder")
        with path.open("rb") as file:
            if not file.read(1):
                raise PhotoError(f"{path}: needed a photo, got an empty file")
    except OSError as error:
        raise PhotoError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from error


def _load_vips(path: Path, shrink: int) -> pyvips.Image:
    """Open by content, whatever the name; a JPEG may come 2, 4 or 8 times smaller for a third of the time."""
    # Through a source, since libvips takes brackets in a name for options and remembers files by their names.
    source = pyvips.Source.new_from_file(str(path))
    options: dict[str, Any] = {"access": "sequential", "fail_on": "truncated"}
    image = pyvips.Image.new_from_source(source, "", **options)
    if shrink < 2 or image.get("vips-loader") != "jpegload_source":
        return image
    source = pyvips.Source.new_from_file(str(path))
    return pyvips.Image.new_from_source(
        source, "", shrink=max(s for s in (2, 4, 8) if s <= shrink), **options
    )


def _load_pillow(path: Path) -> tuple[pyvips.Image, str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)  # we have a limit of our own
        opened = Pillow.open(path, formats=list(PILLOW_FORMATS))
    with opened as photo:
        name, profile = str(photo.format), photo.info.get("icc_profile")
        if photo.mode == "I" or photo.mode.startswith("I;16"):
            pixels = np.asarray(photo).astype(np.uint16)
        elif photo.mode in ("L", "LA", "RGB", "RGBA"):
            pixels = np.asarray(photo)
        else:
            pixels = np.asarray(photo.convert("RGBA" if photo.has_transparency_data else "RGB"))
    image = pyvips.Image.new_from_array(pixels)
    if profile:
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return image, name
