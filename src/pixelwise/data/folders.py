"""A folder of photos as a data set: every photo cut to one square size, some kept apart to measure on."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyvips
import torch
from torch import Tensor

from pixelwise.data.pictures import Pictures, gather
from pixelwise.errors import ConfigError, DataError, PhotoError
from pixelwise.files import checksum
from pixelwise.progress import progress

SUFFIXES: Final = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif"),
    *(".tif", ".tiff", ".heic", ".heif", ".avif"),
)
"""Endings, in small letters, of the files that are tried; others are left out with a note."""

_VAL_FRAC = 0.1


def load_folder(folder: Path, size: int) -> Pictures:
    """The photos in a folder and those below it, each scaled to cover size x size and cut around its centre.

    A photo belongs to the val part by the checksum of its bytes, a tenth of all on average and at least one:
    so copies stay together, and a photo stays where it is when others come or its name changes. The order is
    that of the paths. What cannot be read is left out and named in the notes. Links to folders are not
    followed.

    Raises:
        ConfigError: the size is not positive.
        DataError: there is no such folder, or fewer than two different photos in it can be read.
    """
    if size < 1:
        raise ConfigError(f"size needs to be at least 1 pixel, got {size}")
    paths, notes = _find(folder)
    photos = []
    with progress("reading photos", len(paths)) as advance, ThreadPoolExecutor() as pool:
        for found in pool.map(lambda path: _try_photo(path, size), paths):
            advance(1, "")
            if isinstance(found, _Photo):
                photos.append(found)
            else:
                notes.append(found)
    held_out = _hold_out({photo.checksum for photo in photos})
    train = [photo.pixels for photo in photos if photo.checksum not in held_out]
    val = [photo.pixels for photo in photos if photo.checksum in held_out]
    if not train or not val:
        raise DataError(_too_few(folder, len(photos), notes))
    return gather(f"folder:{folder}", torch.stack(train), torch.stack(val), tuple(notes))


@dataclass(frozen=True, slots=True)
class _Photo:
    checksum: str
    pixels: Tensor
    """uint8 (3, size, size)."""


def _find(folder: Path) -> tuple[list[Path], list[str]]:
    """The files to try, sorted, and notes on what is not tried."""
    if not folder.is_dir():
        raise DataError(
            f"needed a folder of photos, {folder} is {'a file' if folder.exists() else 'not there'}"
        )
    paths, notes, others = [], [], 0
    closed: list[OSError] = []
    for place, _, files in os.walk(folder, onerror=closed.append):
        visible = [Path(place, file) for file in files if not file.startswith(".")]
        chosen = [path for path in visible if path.suffix.lower() in SUFFIXES]
        paths += chosen
        others += len(visible) - len(chosen)
    notes += [f"left out {error.filename}: {(error.strerror or '').lower()}" for error in closed]
    if others:
        notes.append(f"left out {others} files whose names do not end like a photo's")
    return sorted(paths), notes


def _try_photo(path: Path, size: int) -> _Photo | str:
    """A photo, or the note why there is none."""
    try:
        return _Photo(checksum(path), _read_square(path, size))
    except OSError as error:
        return f"left out {path}: {(error.strerror or str(error)).lower()}"
    except PhotoError as error:
        return f"left out {path}: {error}"


def _read_square(path: Path, size: int) -> Tensor:
    try:
        header = pyvips.Image.new_from_file(str(path))
        # Converting colours costs as much as all the rest: only where they are not sRGB to begin with.
        converted = header.get_typeof("icc-profile-data") or header.interpretation == "cmyk"
        into = {"output_profile": "srgb"} if converted else {}
        image = pyvips.Image.thumbnail(
            str(path), size, height=size, crop="centre", fail_on="truncated", **into
        ).colourspace("srgb")
        if image.hasalpha():
            image = image.flatten(background=255)
        pixels = torch.from_numpy(image[:3].numpy().copy())
    except pyvips.Error as error:
        raise PhotoError(str(error.detail or error).strip().splitlines()[-1]) from error
    return pixels.permute(2, 0, 1).contiguous()


def _hold_out(checksums: set[str]) -> set[str]:
    """The checksums of the val part: those in the first tenth of all possible ones."""
    ordered = sorted(checksums)
    low = {sha256 for sha256 in ordered if int(sha256[:8], 16) < _VAL_FRAC * 2**32}
    return (low or set(ordered[:1])) - set(ordered[-1:])


def _too_few(folder: Path, num: int, notes: list[str]) -> str:
    reasons = "; ".join(notes[:3]) + ("; ..." if len(notes) > 3 else "")
    found = f"{num} that could be read" + (" (all the same)" if num > 1 else "")
    return f"needed at least 2 different photos in {folder}, got {found}" + (
        f": {reasons}" if reasons else ""
    )
