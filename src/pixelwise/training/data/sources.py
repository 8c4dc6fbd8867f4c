"""Sources of pictures as users write them: `cifar10:horse`, `synthetic:shapes`, `folder:PATH`."""

from __future__ import annotations

import logging
from pathlib import Path

from pixelwise.labels.sources import data_dir_of, source_folder, unknown_source
from pixelwise.training.data import cifar10, synthetic
from pixelwise.training.data.cifar10 import load_cifar10
from pixelwise.training.data.folder import load_folder
from pixelwise.training.data.pictures import Pictures
from pixelwise.training.data.synthetic import load_synthetic

_logger = logging.getLogger(__name__)
_CIFAR10 = [f"cifar10:{name}" for name in (*cifar10.CLASSES, cifar10.ALL)]


def load_pictures(source: str, data_dir: Path | None = None, seed: int = 0, *, size: int = 64) -> Pictures:
    """Load the pictures of a source into memory, and log their notes.

    `cifar10:CLASS` (or `cifar10:all`) lies in `data_dir` or is downloaded there; `synthetic:NAME` is drawn by
    `seed`; `folder:PATH` holds photos, cut to `size` x `size` pixels.

    Raises:
        ConfigError: there is no such source.
        DataError: the source is missing, damaged or empty.
    """
    name = source.partition(":")[2]
    if source in _CIFAR10:
        pictures = load_cifar10(name, data_dir_of(data_dir))
    elif source == synthetic.SOURCE:
        pictures = load_synthetic(seed)
    elif folder := source_folder(source):
        pictures = load_folder(folder, size)
    else:
        raise unknown_source("pictures", source, [*_CIFAR10, synthetic.SOURCE])
    for note in pictures.notes:
        _logger.warning("%s", note)
    return pictures
