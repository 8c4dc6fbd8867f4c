"""Sources of data as users write them: `flowers17`, `folder:PATH`."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from pixelwise.errors import ConfigError
from pixelwise.labels.flowers17 import LEGENDS, load_flowers17
from pixelwise.labels.folder import load_labelled_folder
from pixelwise.labels.labelled import LabelledPhotos

_logger = logging.getLogger(__name__)


def load_labelled(source: str, data_dir: Path | None = None, seed: int = 0) -> LabelledPhotos:
    """Find the labelled photos of a source, in parts that share none, and log their notes.

    `flowers17` (the flower and the rest) and `flowers17:classes` (all four) lie in `data_dir` or are
    downloaded there; `folder:PATH` holds photos and masks, dealt by its `splits.json` or else by `seed`.
    ConfigError where there is no such source; DataError where it is missing, damaged or empty, or two parts
    share a photo; LabelError where what the masks of a folder mean is not clear.
    """
    if source in LEGENDS:
        labelled = load_flowers17(source, data_dir_of(data_dir))
    elif folder := source_folder(source):
        labelled = load_labelled_folder(folder, seed)
    else:
        raise unknown_source("labelled photos", source, list(LEGENDS))
    for note in labelled.notes:
        _logger.warning("%s", note)
    return labelled


def source_folder(source: str) -> Path | None:
    """Return the folder that a source names, whether it is there or not; None of other sources."""
    kind, _, name = source.partition(":")
    return _expanded(name) if kind == "folder" and name else None


def require_source_folder(source: str) -> Path:
    """Return the folder of colour photos that a source names; ConfigError if it names none."""
    folder = source_folder(source)
    if folder is None:
        raise ConfigError(f"needed a folder of colour photos as folder:PATH, got {source}")
    return folder


def data_dir_of(given: Path | None) -> Path:
    """Return the directory of data sets: the given one, or PIXELWISE_DATA, or one in the user's cache."""
    if given:
        return _expanded(given)
    if chosen := os.environ.get("PIXELWISE_DATA"):
        folder = _expanded(chosen)
        if not folder.is_dir():
            raise ConfigError(f"needed a folder in PIXELWISE_DATA, got {chosen}; make it, or unset it")
        return folder
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "pixelwise")


def _expanded(path: str | Path) -> Path:
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises RuntimeError for nobody's


def unknown_source(what: str, source: str, named: list[str]) -> ConfigError:
    """Return the error that names the sources there are."""
    guess = f"; perhaps you meant folder:{source}" if source and Path(source).is_dir() else ""
    there_is = f"{', '.join(named)}, or folder:PATH"
    return ConfigError(f"needed a source of {what}, got {source!r}; there is {there_is}{guess}")
