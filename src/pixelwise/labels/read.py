"""Mask pictures read: stored numbers or colours first, then class labels by a legend."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pixelwise.colour.arrays import UInt8
from pixelwise.errors import DataError, LabelError, PixelwiseError
from pixelwise.files import reason
from pixelwise.labels.class_names import Colour
from pixelwise.labels.confusion import count_values
from pixelwise.labels.legend import SHADES_FROM, Kind, Legend, Values, legend_of
from pixelwise.network.config import MAX_MEGAPIXELS
from pixelwise.photos.formats import open_pillow

_EXACT = ("PNG", "TIFF", "GIF", "BMP", "PPM")
_LOSSY = ("JPEG", "WEBP", "AVIF", "JPEG2000")
_ROWS_COUNTED = 256
_GREYS = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)

Decoded = tuple[Kind, NDArray[Any], NDArray[np.uint8]]
"""Kind, codes (H, W) and the colours (number of codes, 3) that codes are displayed in."""


@dataclass(frozen=True, eq=False)
class RawMask:
    """One mask, turned as it is displayed."""

    codes: NDArray[Any]  # (H, W), unsigned
    values: Values

    def in_between_frac(self) -> float:
        """Return the share of changes between pixels that happen in steps, as after smooth resizing.

        Of all pixels whose left and right neighbours differ, or upper and lower ones, it is the share that
        lies strictly between the two.
        """
        # Any mixture of two colours lies between them in this sum, too, and few colours have the same.
        sums = {code: r + 3 * g + 7 * b for code, (r, g, b) in self.values.colours.items()}
        fracs = [_in_between_frac(self.mapped(sums, np.int16))]
        if self.values.kind != "colour":
            fracs.append(_in_between_frac(self.codes.astype(np.int16)))
        return max(fracs)

    def mapped(self, by_code: dict[int, int], dtype: type) -> NDArray[Any]:
        """Return the value of each pixel's code."""
        table: NDArray[Any] = np.zeros(max(by_code, default=0) + 1, dtype)
        table[list(by_code)] = list(by_code.values())
        return table.take(self.codes, mode="clip")  # which copies less than "raise"


def read_mask(path: Path, legend: Legend | None = None) -> UInt8[ndarray, "H W"]:
    """Read the labels in a picture of a mask, as it is displayed; errors as of `read_raw` and `Legend.table`.

    Without a legend the mask's own numbers count, as if it were alone.
    """
    mask = read_raw(path)
    legend = legend or legend_of([mask.values])
    return mask.mapped(legend.table(mask.values), np.uint8)


def read_raw(path: Path) -> RawMask:
    """Read a mask from a PNG, TIFF, GIF, BMP or PNM.

    DataError where there is no such file, it is damaged, no picture, or larger than 500 megapixels;
    LabelError where its format is lossy, or its pixels are neither whole numbers up to 255 nor opaque
    colours.
    """
    if not path.is_file():
        found = "got a folder" if path.is_dir() else "there is no such file"
        raise DataError(f"{path}: needed a mask, {found}")
    try:
        with path.open("rb") as file:
            image, name = open_pillow(file, (*_EXACT, *_LOSSY))
            width, height = image.size
            if width * height > MAX_MEGAPIXELS * 1e6:
                needed = f"a mask of at most {MAX_MEGAPIXELS:g} megapixels"
                raise DataError(f"{path}: needed {needed}, got {width} x {height}")
            if name in _LOSSY or image.info.get("compression") == "jpeg":
                lossy = name if name in _LOSSY else "TIFF with JPEG inside"
                remedy = "save the mask as PNG, from the program that it was drawn in"
                raise LabelError(f"{path}: needed exact values, got {lossy}, which smears them; {remedy}")
            kind, codes, colours = _decode(path, ImageOps.exif_transpose(image), name)
    except PixelwiseError:
        raise
    except Exception as error:  # whatever a damaged file does to a library
        why = reason(error) if isinstance(error, OSError) else str(error) or type(error).__name__
        raise DataError(f"{path}: needed a whole picture of a mask, such as a PNG ({why})") from error
    return RawMask(codes, _count(path, kind, codes, colours))


def resize_mask(labels: UInt8[ndarray, "H W"], height: int, width: int) -> UInt8[ndarray, "h w"]:
    """Resize labels; each pixel takes the one that its centre falls on."""
    rows, columns = (
        (2 * np.arange(new) + 1) * old // (2 * new)
        for new, old in zip((height, width), labels.shape, strict=True)
    )
    return labels[rows[:, None], columns]


def _decode(path: Path, image: Image.Image, name: str) -> Decoded:
    match image.mode:
        case "P":
            return _decode_palette(image, is_gif=name == "GIF")
        case "1" | "L":
            return "grey", np.asarray(image.convert("L")), _GREYS
        case "LA" | "RGBA":
            if image.getchannel("A").getextrema()[0] != 255:
                remedy = (
                    "save the alpha channel itself, if that is the mask, or the mask on a ground of its own"
                )
                raise LabelError(f"{path}: needed a mask without transparency, got some; {remedy}")
            return _decode(path, image.convert(image.mode[:-1]), name)
        case "RGB":
            return _decode_colours(np.asarray(image))
        case mode if mode in ("I", "F") or mode.startswith("I;16"):
            values = np.asarray(image)
            codes = values.astype(np.uint8)
            if np.array_equal(codes, values):
                return "grey", codes, _GREYS
            got = f"values from {values.min():g} to {values.max():g}"
            remedy = "save the mask in 8 bit, a number for each class"
            raise LabelError(f"{path}: needed whole class numbers up to 255, got {got}; {remedy}")
    needed = "a mask in grey, RGB or with a palette"
    raise LabelError(f"{path}: needed {needed}, got {image.mode}; save it as PNG")


def _decode_palette(image: Image.Image, is_gif: bool) -> Decoded:
    codes = np.asarray(image)
    palette = np.zeros((256, 3), np.uint8)
    stored = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    palette[: len(stored)] = stored
    used = palette[count_values(codes, len(palette)).nonzero()]
    greys = used[:, 0].tolist()
    # GIF has no other grey. In a PNG white before black, or greys too dark to be seen apart,
    # came with shrinking a grey file, so that the numbers mean nothing.
    is_dark = len(greys) > 1 and max(set(greys) - {255}, default=0) < SHADES_FROM and greys != [0, 255]
    if (used == used[:, :1]).all() and (is_gif or is_dark or greys == [255, 0]):
        return "grey", palette[codes, 0], _GREYS
    return "palette", codes, palette


def _decode_colours(pixels: NDArray[np.uint8]) -> Decoded:
    """Number the colours, which are few; equal bands are grey."""
    red, green, blue = (pixels[..., band] for band in range(3))
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return "grey", red, _GREYS
    packed = red.astype(np.uint32) << 16 | green.astype(np.uint32) << 8 | blue
    places = np.zeros(2**24, np.uint32)
    places[packed] = 1
    colours = np.flatnonzero(places)
    places[colours] = np.arange(len(colours))
    bands = [colours >> 16, colours >> 8 & 255, colours & 255]
    return "colour", places[packed], np.stack(bands, 1).astype(np.uint8)


def _count(path: Path, kind: Kind, codes: NDArray[Any], colours: NDArray[np.uint8]) -> Values:
    counts = np.zeros(len(colours), np.int64)
    for row in range(0, len(codes), _ROWS_COUNTED):  # counting may take eight bytes for each pixel
        counts += count_values(codes[row : row + _ROWS_COUNTED], len(counts))
    used = np.flatnonzero(counts).tolist()
    shown: dict[int, Colour] = {code: tuple(colours[code].tolist()) for code in used}
    palette_size = int(np.flatnonzero(colours.any(1)).max(initial=-1)) + 1 if kind == "palette" else 0
    return Values(path, kind, shown, {code: int(counts[code]) for code in used}, palette_size)


def _in_between_frac(values: NDArray[np.int16]) -> float:
    num_steps, num_changes = 0, 0
    for lines in (values, values.T):
        before, here, after = lines[:, :-2], lines[:, 1:-1], lines[:, 2:]
        num_changes += int(np.count_nonzero(before != after))
        steps = (before < here) & (here < after) | (before > here) & (here > after)
        num_steps += int(np.count_nonzero(steps))
    return num_steps / max(num_changes, 1)
