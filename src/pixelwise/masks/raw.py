"""A picture of a mask as it is stored: numbers, or colours, before anyone says what they mean."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pixelwise.classnames import Colour
from pixelwise.errors import DataError, LabelError, PixelwiseError
from pixelwise.photos.formats import MAX_MEGAPIXELS, open_pillow

Kind = Literal["palette", "grey", "colour"]

_EXACT = ("PNG", "TIFF", "GIF", "BMP", "PPM")
_SMEARED = ("JPEG", "WEBP", "AVIF", "JPEG2000")
_ROWS_COUNTED = 256
SHADES_FROM = 64
"""Greys up to here may be numbers of classes; brighter ones only where all numbers below them occur."""


@dataclass(frozen=True)
class Values:
    """The different values that one mask holds."""

    path: Path
    kind: Kind
    colours: dict[int, Colour]
    """By code: the number that is stored, with the colour that it is displayed in. Of a mask in colours the
    codes are places in a list and mean nothing."""
    counts: dict[int, int]
    """How many pixels have each code."""
    palette_size: int = 0
    """How many colours its palette has, up to the last that is not black; 0 where it has none."""


@dataclass(frozen=True, eq=False)
class RawMask:
    """One mask, turned as it is displayed."""

    path: Path
    kind: Kind
    codes: NDArray[Any]
    """(H, W), unsigned."""
    colours: NDArray[np.uint8]
    """(number of codes, 3): what each code is displayed in."""
    smeared: str = ""
    """The name of a format that keeps no exact values, if it is in one."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, as displayed."""
        height, width = self.codes.shape
        return height, width

    @cached_property
    def values(self) -> Values:
        """The different values of it."""
        counts = np.zeros(len(self.colours), np.int64)
        for row in range(0, len(self.codes), _ROWS_COUNTED):  # counting takes eight bytes for each pixel
            counts += np.bincount(self.codes[row : row + _ROWS_COUNTED].ravel(), minlength=len(counts))
        used = np.flatnonzero(counts).tolist()
        colours = {code: _colour(self.colours[code]) for code in used}
        last = np.flatnonzero(self.colours.any(1))[-1:] if self.kind == "palette" else ()
        palette_size = int(sum(last) + len(last))
        return Values(self.path, self.kind, colours, {code: int(counts[code]) for code in used}, palette_size)

    def in_between_frac(self) -> float:
        """How many of the places where values change do it in steps, as they do after smooth resizing.

        Of all pixels whose left and right neighbours differ, or upper and lower ones, the share that lies
        strictly between the two. Masks as they are drawn have next to none, those of Oxford's flowers below
        0.006; the same masks resized by bilinear, bicubic or Lanczos interpolation 0.11 and more.
        """
        if self.codes.size == 0:
            return 0.0
        # Any mixture of two colours lies between them in this sum, too, and few colours have the same.
        mixed = (self.colours.astype(np.int16) @ np.array([1, 3, 7], np.int16))[self.codes]
        numbers = [] if self.kind == "colour" else [self.codes.astype(np.int16)]
        return max(_in_between_frac(values) for values in [mixed, *numbers])


def read_raw(path: Path) -> RawMask:
    """The mask in a picture: PNG, TIFF, GIF, BMP or PNM; what others smear is read, and marked so.

    Raises:
        DataError: there is no such file, it is damaged, no picture, or larger than 500 megapixels.
        LabelError: its pixels are neither whole numbers up to 255 nor opaque colours.
    """
    if not path.is_file():
        raise DataError(
            f"{path}: needed a mask, {'got a folder' if path.is_dir() else 'there is no such file'}"
        )
    try:
        with path.open("rb") as file:
            image, name = open_pillow(file, (*_EXACT, *_SMEARED))
            _check_size(path, image.size)
            smeared = name if name in _SMEARED else ""
            if image.info.get("compression") == "jpeg":
                smeared = "TIFF with JPEG inside"
            kind, codes, colours = _values(path, ImageOps.exif_transpose(image), name)
    except PixelwiseError:
        raise
    except Exception as error:  # whatever a damaged file does to a library
        raise DataError(
            f"{path}: needed a whole picture of a mask, such as a PNG ({_reason(error)})"
        ) from error
    return RawMask(path, kind, codes, colours, smeared)


def _values(path: Path, image: Image.Image, name: str) -> tuple[Kind, NDArray[Any], NDArray[np.uint8]]:
    """Kind, codes and their colours."""
    match image.mode:
        case "P":
            return _by_palette(image, is_gif=name == "GIF")
        case "1":
            return _grey(np.asarray(image.convert("L")))
        case "L":
            return _grey(np.asarray(image))
        case "LA" | "RGBA":
            if image.getchannel("A").getextrema()[0] != 255:
                raise LabelError(f"{path}: needed a mask without transparency, got some; save it without")
            return _values(path, image.convert(image.mode[:-1]), name)
        case "RGB":
            return _by_colour(np.asarray(image))
        case mode if mode in ("I", "F") or mode.startswith("I;16"):
            return _grey(_as_bytes(path, np.asarray(image)))
    raise LabelError(
        f"{path}: needed a mask in grey, RGB or with a palette, got {image.mode}; save it as PNG"
    )


def _by_palette(image: Image.Image, is_gif: bool) -> tuple[Kind, NDArray[Any], NDArray[np.uint8]]:
    codes = np.asarray(image)
    palette = np.zeros((256, 3), np.uint8)
    stored = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    palette[: len(stored)] = stored
    used = palette[[code for code, count in enumerate(image.histogram()) if count]]
    if (used == used[:, :1]).all() and _are_greys_meant(used[:, 0].tolist(), is_gif):
        return _grey(palette[codes, 0])
    return "palette", codes, palette


def _are_greys_meant(greys: list[int], is_gif: bool) -> bool:
    """Whether a palette of greys came with shrinking a grey file, so that its own numbers mean nothing.

    GIF knows no other grey. In a PNG white before black, or greys so dark that nobody could tell them apart,
    were no one's choice.
    """
    dark = len(greys) > 1 and max(set(greys) - {255}, default=0) < SHADES_FROM and greys != [0, 255]
    return is_gif or greys == [255, 0] or dark


def _grey(codes: NDArray[np.uint8]) -> tuple[Kind, NDArray[Any], NDArray[np.uint8]]:
    return "grey", codes, np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)


def _by_colour(pixels: NDArray[np.uint8]) -> tuple[Kind, NDArray[Any], NDArray[np.uint8]]:
    """Each colour gets a number, the colours being few; equal bands are grey."""
    red, green, blue = (pixels[..., band] for band in range(3))
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return _grey(red)
    packed = red.astype(np.uint32) << 16 | green.astype(np.uint32) << 8 | blue
    places = np.zeros(2**24, np.uint32)
    places[packed] = 1
    colours = np.flatnonzero(places)
    places[colours] = np.arange(len(colours))
    return (
        "colour",
        places[packed],
        np.stack([colours >> 16, colours >> 8 & 255, colours & 255], 1).astype(np.uint8),
    )


def _as_bytes(path: Path, values: NDArray[Any]) -> NDArray[np.uint8]:
    codes = values.astype(np.uint8)
    if not np.array_equal(codes, values):
        low, high = values.min(), values.max()
        raise LabelError(
            f"{path}: needed whole class numbers up to 255, got values from {low:g} to {high:g}; "
            "save the mask in 8 bit, a number for each class"
        )
    return codes


def _in_between_frac(values: NDArray[np.int16]) -> float:
    num_steps, num_changes = 0, 0
    for lines in (values, values.T):
        before, here, after = lines[:, :-2], lines[:, 1:-1], lines[:, 2:]
        num_changes += int(np.count_nonzero(before != after))
        steps = (before < here) & (here < after) | (before > here) & (here > after)
        num_steps += int(np.count_nonzero(steps))
    return num_steps / max(num_changes, 1)


def _check_size(path: Path, size: tuple[int, int]) -> None:
    if size[0] * size[1] > MAX_MEGAPIXELS * 1e6:
        found = f"{size[0]} x {size[1]}"
        raise DataError(f"{path}: needed a mask of at most {MAX_MEGAPIXELS:g} megapixels, got {found}")


def _colour(row: NDArray[np.uint8]) -> Colour:
    red, green, blue = row.tolist()
    return red, green, blue


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
