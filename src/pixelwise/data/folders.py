"""A folder of colour photos as a data set: each cut to one square size, some kept apart to measure on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from pixelwise.data.in_colour import Glimpse, left_out
from pixelwise.data.pictures import Pictures, gather
from pixelwise.errors import ConfigError, DataError, PhotoError
from pixelwise.files import checksum
from pixelwise.photos.find import Failure, find_photos
from pixelwise.photos.photo import Photo, open_photo
from pixelwise.progress import progress

_VAL_FRAC = 0.1
_LONGEST = (
    20  # times the short side; the centre of a longer strip says little, and covering takes much memory
)


def load_folder(folder: Path, size: int) -> Pictures:
    """The photos in a folder and those below it, each scaled to cover size x size and cut around its centre.

    A photo belongs to the val part by the checksum of its bytes, a tenth of all on average and at least one:
    so it stays where it is when others come or its name changes. The order is that of the paths. What cannot
    be read or is grey, in sepia or the same photo as an earlier one is left out and named in the notes.

    Raises:
        ConfigError: the size is not positive.
        DataError: there is no such folder, or fewer than two different colour photos in it can be read.
    """
    if size < 1:
        raise ConfigError(f"size needs to be at least 1 pixel, got {size}")
    if not folder.is_dir():
        raise DataError(
            f"needed a folder of photos, {folder} is {'a file' if folder.exists() else 'not there'}"
        )
    found, closed = find_photos([str(folder)], recursive=True)
    photos, notes = _read_photos(sorted(one.path for one in found), size)
    unfit = left_out([photo.glimpse for photo in photos])
    photos = [photo for photo in photos if photo.glimpse.path not in unfit]
    notes += unfit.values()
    if found:
        notes += [f"left out {failure.error}" for failure in closed]
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
    glimpse: Glimpse


def _read_photos(paths: list[Path], size: int) -> tuple[list[_Photo], list[str]]:
    """The photos that can be read, and a note on each that cannot."""
    photos, notes = [], []
    with progress("reading photos", len(paths)) as advance, ThreadPoolExecutor() as pool:
        for read in pool.map(lambda path: _try_photo(path, size), paths):
            advance(1, "")
            if isinstance(read, _Photo):
                photos.append(read)
            else:
                notes.append(f"left out {read.error}")
    return photos, notes


def _try_photo(path: Path, size: int) -> _Photo | Failure:
    try:
        photo = open_photo(path)
        height, width = photo.upright_size
        square = read_square(photo, size)
        return _Photo(checksum(path), square, Glimpse.of(path, square, height / width))
    except Exception as error:  # whatever one photo does to a library, the others are read
        return Failure.of(path, error)


def read_square(photo: Photo, size: int) -> UInt8[Tensor, "3 size size"]:
    """A photo scaled to cover size x size and cut around its centre, upright.

    Raises:
        PhotoError: it is damaged, or much longer than wide.
    """
    short, long = sorted((photo.height, photo.width))
    if long > _LONGEST * short:
        found = f"{photo.width} x {photo.height}"
        raise PhotoError(
            f"{photo.path}: needed a photo at most {_LONGEST} times as long as wide, got {found}"
        )
    height, width = (max(size, round(side * size / short)) for side in (photo.height, photo.width))
    row, column = (height - size) // 2, (width - size) // 2
    square = photo.thumbnail(height, width)[:, row : row + size, column : column + size]
    return photo.upright(square).contiguous()


def _hold_out(checksums: set[str]) -> set[str]:
    """The checksums of the val part: those in the first tenth of all possible ones."""
    ordered = sorted(checksums)
    low = {sha256 for sha256 in ordered if int(sha256[:8], 16) < _VAL_FRAC * 2**32}
    return (low or set(ordered[:1])) - set(ordered[-1:])


def _too_few(folder: Path, num: int, notes: list[str]) -> str:
    reasons = "; ".join(notes[:3]) + ("; ..." if len(notes) > 3 else "")
    return f"needed at least 2 different photos in colour in {folder}, got {num}" + (
        f": {reasons}" if reasons else ""
    )
