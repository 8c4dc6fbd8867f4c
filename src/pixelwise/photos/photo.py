"""Photos of any size, read in strips: 8 or 16 bit, grey or colour, with or without alpha."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
from numpy import ndarray

from pixelwise.colour.arrays import Shaped, UInt8
from pixelwise.errors import PhotoError
from pixelwise.network.config import MAX_MEGAPIXELS
from pixelwise.photos.formats import (
    STREAMED,
    Opened,
    decoding,
    has_gain_map,
    image_of,
    open_file,
    reading,
    value_of,
)
from pixelwise.photos.paint import Strip
from pixelwise.photos.profiles import conversion
from pixelwise.photos.read_ahead import Ahead
from pixelwise.photos.resize import resize_codes
from pixelwise.photos.tiff import read_exif

_STRIP_PIXELS = 2**18  # fewer make Python's own time felt, more leave the processor's cache
_HELD_WHOLE_BYTES = 2**27  # a usual photo is read during the network's forward pass
_MOST_SHRUNK_WHOLE = 4  # times; for more libvips shrinks first
_KEPT_PIXELS = 2**20  # of thumbnails
_READ_AHEAD = 4  # strips of a larger one that may wait to be worked on

_MIRRORED = ((), (-1,), (-2, -1), (-2,))
"""Axes to mirror, by EXIF orientation; from 5 on rows and columns change places before. Source: EXIF 2.32."""


@dataclass(frozen=True)
class Photo:
    """One photo's size and kind, known from its header; pixels are read when asked for."""

    path: Path
    width: int  # length of the rows as stored; `orientation` may turn them on display
    height: int
    bits: int  # per sample, 8 or 16
    colour: bool  # whether it has red, green and blue
    alpha: bool
    metadata: dict[str, tuple[int, Any]]  # type and value of each piece of metadata, by libvips' names
    develop: Callable[[int], pyvips.Image]
    """Opens the pixels as sRGB or grey of `bits`, `STREAMED`, or shrunk up to a number of times if cheap."""
    orientation: int = 1  # EXIF's, 1 to 8; 1 shows the rows as they are stored
    format: str = "pngload"  # a key of `formats.VIPS_FORMATS` or `formats.PILLOW_FORMATS`
    profile: bytes | None = None  # ICC profile that a coloured copy carries; None: sRGB is understood
    into_profile: bool = False  # whether a copy coloured in sRGB has to be converted into `profile`
    notes: list[str] = field(default_factory=list)  # remarks for the user on how it was read, more as it is
    _thumbnails: dict[tuple[int, int], ndarray] = field(default_factory=dict, repr=False, compare=False)

    @property
    def megapixels(self) -> float:
        """Width times height, in millions."""
        return self.width * self.height / 1e6

    @property
    def upright_size(self) -> tuple[int, int]:
        """Height and width as the photo is displayed."""
        return (self.width, self.height) if self.orientation > 4 else (self.height, self.width)

    def upright(self, stored: Shaped[ndarray, "*batch H W"]) -> Shaped[ndarray, "*batch _H _W"]:
        """Turn rows as stored, (..., height, width), to how the photo is displayed."""
        turned = stored.swapaxes(-2, -1) if self.orientation > 4 else stored
        return np.flip(turned, _MIRRORED[(self.orientation - 1) % 4])

    def as_stored(self, upright: Shaped[ndarray, "*batch H W"]) -> Shaped[ndarray, "*batch _H _W"]:
        """Turn rows as displayed, (..., height, width), to how they are stored."""
        turned = np.flip(upright, _MIRRORED[(self.orientation - 1) % 4])
        return turned.swapaxes(-2, -1) if self.orientation > 4 else turned

    def thumbnail(self, height: int, width: int) -> UInt8[ndarray, "3 height width"]:
        """Read the whole photo squeezed to this size, sRGB, rows as stored; PhotoError if it is damaged.

        Small ones are kept for the next time.
        """
        if (kept := self._thumbnails.get((height, width))) is not None:
            return kept
        shrink = max(1, min(self.height // (2 * height), self.width // (2 * width)))
        with decoding(self.path, self.notes):
            image = self.develop(shrink)
            if self.alpha or min(image.height // height, image.width // width) > _MOST_SHRUNK_WHOLE:
                times = 1 if self.alpha else 2  # what is transparent has a colour that nobody is to see
                size = {"height": times * height, "size": "force"}
                image = image.thumbnail_image(times * width, **size, no_rotate=True)
            codes = image.colourspace("srgb").extract_band(0, n=3).cast("uchar").numpy()
        small = resize_codes(codes, height, width)
        if height * width <= _KEPT_PIXELS:
            self._thumbnails[height, width] = small
        return small

    def strips(self) -> Ahead[Strip]:
        """Return all rows from the top, as `photos.paint` takes them; reading begins now, in another thread.

        PhotoError if the file is damaged or cut short, when that strip is asked for.
        """
        rows = max(4, _STRIP_PIXELS // self.width // 4 * 4)
        bands = (3 if self.colour else 1) + self.alpha
        whole = self.height * self.width * bands * self.bits // 8 <= _HELD_WHOLE_BYTES
        return Ahead(self._strips(rows, bands), -(-self.height // rows) if whole else _READ_AHEAD)

    def _strips(self, rows: int, bands: int) -> Iterator[Strip]:
        dtype = np.uint8 if self.bits == 8 else np.uint16
        with reading(self.path):
            region = pyvips.Region.new(self.develop(STREAMED))
            for row in range(0, self.height, rows):
                codes = region.fetch(0, row, self.width, min(rows, self.height - row))
                yield np.frombuffer(codes, dtype).reshape(-1, self.width, bands)


def open_photo(path: Path, max_megapixels: float = MAX_MEGAPIXELS) -> Photo:
    """Open the photo in a file; now only its header is read, and pixels of other numbers than 8 or 16 bit.

    PhotoError where there is no such file, it is no photo, or it is larger than `max_megapixels`.
    """
    opened = open_file(path, max_megapixels)
    image, load = opened.image, opened.load
    if image.bands > 4:
        raise PhotoError(f"{path}: needed grey or colour, with or without alpha, got {image.bands} bands")
    needed = conversion(path, image)
    with reading(path):
        plain = needed.convert(image)
    orientation = value_of(image, "orientation", 1)
    metadata, notes = _metadata(path, opened)
    return Photo(
        path=path,
        **_kind(plain),
        metadata=metadata,
        develop=lambda shrink: needed.convert(load(shrink)),
        orientation=orientation if 1 <= orientation <= 8 else 1,
        format=opened.format,
        profile=needed.profile,
        into_profile=needed.into_profile,
        notes=[f"{path}: {note}" for note in (needed.note, *notes) if note],
    )


def upright_size(path: Path) -> tuple[int, int]:
    """Return height and width of a photo as it is displayed, in a fifth of the time of `open_photo`.

    PhotoError as of `open_photo`, as far as these are concerned.
    """
    image = open_file(path, MAX_MEGAPIXELS).image
    turned = value_of(image, "orientation", 1) in (5, 6, 7, 8)
    return (image.width, image.height) if turned else (image.height, image.width)


def _kind(image: pyvips.Image) -> dict[str, Any]:
    """Return the size of an image in sRGB or grey and what its numbers are, by the names of `Photo`."""
    return {
        "width": image.width,
        "height": image.height,
        "bits": 8 if image.format == "uchar" else 16,
        "colour": image.bands >= 3,
        "alpha": image.bands in (2, 4),
    }


def _metadata(path: Path, opened: Opened) -> tuple[dict[str, tuple[int, Any]], list[str]]:
    """Return a file's metadata, type and value by libvips' names, and notes on what is left out of it."""
    image, picture = opened.image, opened.picture
    metadata = {key: (image.get_typeof(key), image.get(key)) for key in image.get_fields()}
    notes = []
    num_pictures = value_of(image, "n-pages", 1)
    if picture:
        if picture.page:
            notes.append(f"took picture {picture.page + 1} of {num_pictures}, the first in full resolution")
            num_pictures = 1
        if picture.surplus:
            notes.append("left out each further channel that is not said to be transparency")
        try:
            exif, note = read_exif(picture)
            metadata |= exif
            notes.append(note)
        except ValueError as error:
            notes.append(f"{error}; it was left out")
    if num_pictures > 1:
        notes.append(f"took the first of {num_pictures} pictures")
    if opened.is_endless:
        notes.append("its last marker was missing, which takes no pixel away")
    if opened.format == "jpegload" and has_gain_map(path):
        metadata.pop("xmp-data", None)  # it says where in the file the second picture was
        notes.append("its gain map for HDR screens, and the XMP that describes it, were left out")
    elif b"HasExtendedXMP" in value_of(image, "xmp-data", b""):
        notes.append("its second packet of XMP, for what one does not hold, was left out")
    return metadata, notes


def photo_of_codes(codes: Strip, path: Path) -> Photo:
    """Return codes (H, W, bands), grey or sRGB with alpha or not, as a photo that messages call `path`."""
    image = image_of(codes)
    metadata = {name: (image.get_typeof(name), image.get(name)) for name in ("xres", "yres")}
    return Photo(path=path, **_kind(image), metadata=metadata, develop=lambda _shrink: image)
