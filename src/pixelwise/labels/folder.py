"""Folders of photos and their labels, as data sets.

A `splits.json` may deal the photos, by their stems, to {"train": [...], "val": [...], "test": [...]}.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from pixelwise.errors import DataError, LabelError
from pixelwise.labels.class_names import ClassNames
from pixelwise.labels.json_file import get, read_json
from pixelwise.labels.labelled import (
    SPLITS,
    LabelledPhoto,
    LabelledPhotos,
    deal,
    file_checksums,
    gather_labelled,
)
from pixelwise.labels.layout import SPLITS_FILE, Layout, find_layout
from pixelwise.labels.legend import legend_of
from pixelwise.labels.read import read_mask, read_raw

_VAL_FRAC = 0.2
_FEWEST_TO_SPLIT = 5  # labelled photos; of fewer every one is needed to learn from
T = TypeVar("T", str, int)


def load_labelled_folder(folder: Path, seed: int = 0) -> LabelledPhotos:
    """Load the labelled photos in a folder.

    Its `splits.json` deals them to the parts. Without one, a fifth of the different photos (none of fewer
    than 5) is `val`, drawn by the seed and the bytes of each: names and order change nothing, and copies of a
    photo stay together.

    Raises:
        DataError: there is no such folder, it has no labelled photo, or two parts share one.
        LabelError: what the masks mean is not clear.
    """
    layout = find_layout(folder)
    classes, photos, unlabelled = _open(layout)
    splits_file = folder / SPLITS_FILE
    notes: tuple[str, ...] = ()
    if splits_file.is_file():
        parts, notes = deal(photos, read_splits(splits_file, str), splits_file)
    else:
        parts = _draw(photos, seed)
    legend_files = [layout.legend_file] if layout.legend_file else []
    return gather_labelled(f"folder:{folder}", classes, parts, unlabelled, notes, legend_files)


def open_folder(folder: Path) -> tuple[ClassNames, list[LabelledPhoto], list[Path]]:
    """Return a folder's classes, its photos with labels in the order of their stems, and those without.

    Raises:
        DataError: no photo in it has anything drawn on it, or one is there twice.
        LabelError: the meaning of the masks is not clear.
    """
    return _open(find_layout(folder))


def _open(layout: Layout) -> tuple[ClassNames, list[LabelledPhoto], list[Path]]:
    for files in (*layout.photos.values(), *layout.masks.values()):
        if len(files) > 1:
            raise DataError(f"{files[0]}: needed one file of this stem, got {files[1].name} as well")
    if layout.format.read_outlines is None:
        classes, photos = _open_masks(layout)
    else:
        classes, outlined, _ = layout.format.read_outlines(layout)
        photos = [
            LabelledPhoto(photo, one.file, partial(one.labels, classes)) for photo, one in outlined.items()
        ]
        photos.sort(key=lambda one: one.stem)
    if not photos:
        needed = "needed a photo with a mask, got none; run pixelwise check-labels on it"
        raise DataError(f"{layout.folder}: {needed}")
    done = {one.photo for one in photos}
    return classes, photos, [files[0] for _, files in sorted(layout.photos.items()) if files[0] not in done]


def read_splits(path: Path, kind: type[T]) -> dict[str, list[T]]:
    """Read the photos of each part, by stems (str) or numbers (int); a part that is left out is empty."""
    values = read_json(path)
    if isinstance(values, dict) and not values.keys().isdisjoint(SPLITS):
        values = {part: [] for part in SPLITS} | values
    parts = {part: get(values, part, list, path) for part in SPLITS}
    if wrong := [one for part in parts.values() for one in part if type(one) is not kind]:
        needed = "stems of photos, in quotes" if kind is str else "numbers of photos"
        raise LabelError(f"{path}: needed {needed}, got {wrong[0]!r}")
    return parts


def _open_masks(layout: Layout) -> tuple[ClassNames, list[LabelledPhoto]]:
    given, pairs = layout.legend(), layout.pairs()
    # Masks are read for their values only where a legend leaves anything open.
    is_open = given is None or given.is_plain_pair
    with ThreadPoolExecutor() as pool:
        values = pool.map(lambda pair: read_raw(pair[1]).values, pairs if is_open else ())
        legend = legend_of(values, given)
    return legend.classes, [LabelledPhoto(*pair, partial(read_mask, pair[1], legend)) for pair in pairs]


def _draw(photos: Sequence[LabelledPhoto], seed: int) -> dict[str, list[LabelledPhoto]]:
    checksums = file_checksums(one.photo for one in photos)
    different = sorted(
        set(checksums.values()), key=lambda sha256: hashlib.sha256(f"{seed}:{sha256}".encode()).hexdigest()
    )
    num_val = max(1, round(_VAL_FRAC * len(different))) if len(different) >= _FEWEST_TO_SPLIT else 0
    held_out = set(different[:num_val])
    return {
        "train": [one for one in photos if checksums[one.photo] not in held_out],
        "val": [one for one in photos if checksums[one.photo] in held_out],
    }
