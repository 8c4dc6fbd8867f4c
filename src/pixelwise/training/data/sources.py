"""Sources of pictures as users write them: `cifar10:horse`, `synthetic:shapes`, `folder:PATH`."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch
from numpy import ndarray

from pixelwise.colour.arrays import UInt8
from pixelwise.errors import PhotoError
from pixelwise.labels.sources import data_dir_of, source_folder, unknown_source
from pixelwise.photos.colour_folder import read_folder
from pixelwise.photos.photo import Photo
from pixelwise.training.data.cifar10 import ALL, CLASSES, load_cifar10
from pixelwise.training.data.pictures import Pictures, gather
from pixelwise.training.data.synthetic import SOURCE, load_synthetic

_logger = logging.getLogger(__name__)
_VAL_FRAC = 0.1
_LONGEST = 20  # times the short side; the centre of a longer strip says little, and covering takes memory
_CIFAR10 = [f"cifar10:{name}" for name in (*CLASSES, ALL)]


def load_pictures(source: str, data_dir: Path | None = None, seed: int = 0, *, size: int = 64) -> Pictures:
    """Load the pictures of a source into memory, and log their notes.

    `cifar10:CLASS` (or `cifar10:all`) lies in `data_dir` or is downloaded there; `synthetic:NAME` is drawn by
    `seed`; `folder:PATH` holds photos, cut to `size` x `size` pixels. ConfigError where there is no such
    source, DataError where it is missing, damaged or empty.
    """
    name = source.partition(":")[2]
    if source in _CIFAR10:
        pictures = load_cifar10(name, data_dir_of(data_dir))
    elif source == SOURCE:
        pictures = load_synthetic(seed)
    elif folder := source_folder(source):
        pictures = load_folder(folder, size)
    else:
        raise unknown_source("pictures", source, [*_CIFAR10, SOURCE])
    for note in pictures.notes:
        _logger.warning("%s", note)
    return pictures


def load_folder(folder: Path, size: int) -> Pictures:
    """Load the colour photos in a folder and those below it, each cut to size x size around its centre.

    A photo belongs to the val part by the checksum of its bytes, a tenth of all on average and at least one:
    so it stays where it is when others come or its name changes. The order is that of the paths. DataError
    where there is no such folder, or fewer than two different colour photos in it can be read.
    """
    photos, notes = read_folder(folder, lambda photo: read_square(photo, size), fewest=2)
    ordered = sorted({photo.checksum for photo in photos})
    low = {sha256 for sha256 in ordered if int(sha256[:8], 16) < _VAL_FRAC * 2**32}
    held_out = (low or set(ordered[:1])) - set(ordered[-1:])
    train = [photo.picture for photo in photos if photo.checksum not in held_out]
    val = [photo.picture for photo in photos if photo.checksum in held_out]
    return gather(
        f"folder:{folder}", torch.from_numpy(np.stack(train)), torch.from_numpy(np.stack(val)), notes
    )


def read_square(photo: Photo, size: int) -> UInt8[ndarray, "3 size size"]:
    """Read a photo upright, cut square around its centre; PhotoError if damaged, or much longer than wide."""
    short, long = sorted((photo.height, photo.width))
    if long > _LONGEST * short:
        raise PhotoError(
            f"{photo.path}: needed a photo at most {_LONGEST} times as long as wide, got {photo.width} x "
            f"{photo.height}"
        )
    height, width = (max(size, round(side * size / short)) for side in (photo.height, photo.width))
    row, column = (height - size) // 2, (width - size) // 2
    return photo.upright(photo.thumbnail(height, width)[:, row : row + size, column : column + size])
