"""Where data comes from, as users write it: `cifar10:horse`, `flowers17`, `folder:PATH`."""

from __future__ import annotations

import difflib
import logging
import os
from pathlib import Path
from typing import Final

from pixelwise.data import cifar10, synthetic
from pixelwise.data.cifar10 import load_cifar10
from pixelwise.data.flowers17 import LEGENDS, load_flowers17
from pixelwise.data.folders import load_folder
from pixelwise.data.labelled import LabelledPhotos, load_labelled_folder
from pixelwise.data.pictures import Pictures
from pixelwise.data.synthetic import load_synthetic
from pixelwise.errors import ConfigError

_logger = logging.getLogger(__name__)

DEFAULT_SIZE: Final = 64
"""Height and width in pixels to which the photos of a folder are cut."""


def load_pictures(
    source: str, data_dir: Path | None = None, seed: int = 0, *, size: int = DEFAULT_SIZE
) -> Pictures:
    """The pictures of a source, in memory.

    `cifar10:CLASS` (or `cifar10:all`) lies in `data_dir` or is downloaded there; `synthetic:NAME` is drawn by
    `seed`; `folder:PATH` holds photos, cut to `size` x `size`. What is to be known about the pictures, their
    `notes`, is logged too.

    Raises:
        ConfigError: there is no such source; the message lists what there is.
        DataError: the source is missing, damaged or empty; `DownloadError` where a download fails.
        OutputError: a download cannot be written.
    """
    pictures = _load(source, data_dir, seed, size)
    _log(pictures.notes)
    return pictures


def load_labelled(source: str, data_dir: Path | None = None, seed: int = 0) -> LabelledPhotos:
    """The labelled photos of a source, in parts that share none; labels are read when they are asked for.

    `flowers17` (the flower and the rest) and `flowers17:classes` (all four) lie in `data_dir` or are
    downloaded there; `folder:PATH` holds photos and masks, dealt by its `splits.json` or else by `seed`. What
    is to be known about them, their `notes`, is logged too.

    Raises:
        ConfigError: there is no such source; the message lists what there is.
        DataError: the source is missing, damaged or empty, or two parts share a photo; `DownloadError` where
            a download fails.
        LabelError: what the masks of a folder mean is not clear.
        OutputError: a download cannot be written.
    """
    labelled = _load_labelled(source, data_dir, seed)
    _log(labelled.notes)
    return labelled


def source_folder(source: str) -> Path | None:
    """The folder that a source names, whether it is there or not; None of sources that are no folder."""
    kind, _, name = source.partition(":")
    return _home_found(name) if kind == "folder" and name else None


def _load_labelled(source: str, data_dir: Path | None, seed: int) -> LabelledPhotos:
    if source in LEGENDS:
        return load_flowers17(source, _home_found(data_dir) if data_dir else default_data_dir())
    if folder := source_folder(source):
        return load_labelled_folder(folder, seed)
    raise ConfigError(_unknown("labelled photos", source, list(LEGENDS)))


def _load(source: str, data_dir: Path | None, seed: int, size: int) -> Pictures:
    kind, _, name = source.partition(":")
    match kind:
        case "cifar10" if name in (*cifar10.CLASSES, cifar10.ALL):
            return load_cifar10(name, _home_found(data_dir) if data_dir else default_data_dir())
        case "synthetic" if name in synthetic.NAMES:
            return load_synthetic(name, seed)
        case "folder" if name:
            return load_folder(_home_found(name), size)
    named = [f"cifar10:{name}" for name in (*cifar10.CLASSES, cifar10.ALL)]
    named += [f"synthetic:{name}" for name in synthetic.NAMES]
    raise ConfigError(_unknown("pictures", source, named))


def default_data_dir() -> Path:
    """Where data sets lie unless told otherwise: PIXELWISE_DATA, or else a folder in the user's cache.

    Raises:
        ConfigError: PIXELWISE_DATA names no folder.
    """
    if chosen := os.environ.get("PIXELWISE_DATA"):
        folder = _home_found(chosen)
        if not folder.is_dir():
            raise ConfigError(
                f"needed a folder in PIXELWISE_DATA, got {chosen}, which is none; make it, or unset it"
            )
        return folder
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "pixelwise"


def _home_found(path: str | Path) -> Path:
    """The path with the user's home for a leading tilde; one of nobody's stays, and is then not found."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises RuntimeError for nobody's


def _log(notes: tuple[str, ...]) -> None:
    for note in notes:
        _logger.warning("%s", note)


def _unknown(what: str, source: str, named: list[str]) -> str:
    there_is = f"{', '.join(named)}, or folder:PATH"
    close = [f"folder:{source}"] if source and Path(source).is_dir() else _closest(source, named)
    guess = f"; perhaps you meant {close[0]}" if close else ""
    return f"needed a source of {what}, got {source!r}; there is {there_is}{guess}"


def _closest(source: str, named: list[str]) -> list[str]:
    """The most alike name, or the one whose last word was given alone."""
    alone = [name for name in named if name.split(":")[-1] == source.lower()]
    return alone or difflib.get_close_matches(source.lower(), named, n=1, cutoff=0.6)
