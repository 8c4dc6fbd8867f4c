"""A folder of colour photos as a data set: grey, sepia and equal photos left out, some held out."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy import ndarray

from pixelwise.colour.arrays import UInt8
from pixelwise.errors import DataError
from pixelwise.files import checksum
from pixelwise.photos.crop_view import WHOLE, read_view, reading_size
from pixelwise.photos.duplicates import same_photos
from pixelwise.photos.find import Failure, find_photos
from pixelwise.photos.photo import Photo, open_photo
from pixelwise.photos.tone import is_grey, is_sepia
from pixelwise.progress import progress

_THUMBNAIL_SIDE = 64  # pixels on the short side: enough to find grey, sepia and equal photos
_PHOTOS_PER_HELD_OUT = 5
_MOST_HELD_OUT = 60

Picture = UInt8[ndarray, "3 H W"]
"""A picture's sRGB codes."""


@dataclass(frozen=True)
class ColourDataset:
    """Different photos in colour."""

    train: tuple[Path, ...]  # to learn from
    held_out: tuple[Path, ...]  # to score on: a fifth of all, 60 at most; none of fewer than 5
    notes: tuple[str, ...]  # on each photo that was left out


def open_colour_folder(folder: Path) -> ColourDataset:
    """Find the colour photos in a folder and those below it; of equal ones the first is taken.

    Their contents decide which are held out, so that they stay the same under other names. DataError where
    there is no such folder, or no photo in colour in it.
    """
    photos, notes = read_folder(
        folder,
        lambda photo: read_view(photo, WHOLE, *reading_size(*photo.upright_size, _THUMBNAIL_SIDE, 1)),
        fewest=1,
    )
    num = min(_MOST_HELD_OUT, len(photos) // _PHOTOS_PER_HELD_OUT)
    held_out = {photo.path for photo in sorted(photos, key=lambda photo: photo.checksum)[:num]}
    train = tuple(photo.path for photo in photos if photo.path not in held_out)
    return ColourDataset(train, tuple(sorted(held_out)), notes)


@dataclass(frozen=True)
class ColourPhoto:
    """A photo in colour, as it was read."""

    path: Path
    checksum: str
    picture: Picture
    ratio: float  # height over width of the whole photo


def read_folder(
    folder: Path, read: Callable[[Photo], Picture], fewest: int
) -> tuple[list[ColourPhoto], tuple[str, ...]]:
    """Read the different colour photos, in the order of their paths, and note what was left out and why."""
    if not folder.is_dir():
        what = "a file" if folder.exists() else "not there"
        raise DataError(f"needed a folder of colour photos, {folder} is {what}")

    def try_photo(path: Path) -> ColourPhoto | str:
        try:
            photo = open_photo(path)
            picture = np.ascontiguousarray(read(photo))
            if is_grey(picture):
                return f"{path}: it is grey"
            if is_sepia(picture):
                return f"{path}: it is in sepia"
            height, width = photo.upright_size
            return ColourPhoto(path, checksum(path), picture, height / width)
        except Exception as error:  # whatever one photo does to a library, the others are read
            return Failure.of(path, error).error

    found, failures = find_photos([str(folder)], recursive=True)
    photos: list[ColourPhoto] = []
    left_out = [failure.error for failure in failures]
    with progress("reading photos", len(found)) as advance, ThreadPoolExecutor() as pool:
        for result in pool.map(try_photo, sorted(photo.path for photo in found)):
            advance(1, "")
            if isinstance(result, str):
                left_out.append(result)
            else:
                photos.append(result)
    repeats: dict[Path, Path] = {}  # photos that are there before, each with the first one that it equals
    for first, second in same_photos([photo.picture for photo in photos], [photo.ratio for photo in photos]):
        repeats.setdefault(photos[second].path, photos[first].path)
    photos = [photo for photo in photos if photo.path not in repeats]
    left_out += [f"{path}: it is the same photo as {original}" for path, original in repeats.items()]
    notes = tuple(f"left out {reason}" for reason in left_out)
    if len(photos) < fewest:
        why = f": {'; '.join(notes[:3])}" if notes else ""
        needed = f"at least {fewest} different photos in colour in {folder}"
        raise DataError(f"needed {needed}, got {len(photos)}{why}")
    return photos, notes
