"""Folders of photos and of what is drawn on them, side by side.

    images/ and masks/              a picture for each photo, of the same stem, and perhaps classes.json
    images/ and annotations.json    COCO's
    images/ and NAME.json there     LabelMe's, beside each photo

Without `images/` the photos lie in the folder itself. A `splits.json` may deal the photos, by their stems, to
{"train": [...], "val": [...], "test": [...]}.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

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
from pixelwise.labels.legend import LEGEND_FILE, legend_of, read_legend
from pixelwise.labels.outlines import OutlinedPhoto, labelme_classes, read_coco, read_labelme
from pixelwise.labels.read import read_mask, read_raw
from pixelwise.photos.formats import SUFFIXES

COCO_FILE = "annotations.json"
SPLITS_FILE = "splits.json"

_VAL_FRAC = 0.2
_FEWEST_TO_SPLIT = 5  # labelled photos; of fewer every one is needed to learn from
T = TypeVar("T", str, int)


@dataclass(frozen=True)
class Layout:
    """Files of a folder, before any is read."""

    folder: Path
    kind: Literal["masks", "coco", "labelme"]
    photos: dict[str, list[Path]]
    """By stem; more than one file of a stem is a mistake of whoever made the folder."""
    masks: dict[str, list[Path]]
    """Mask pictures or LabelMe's files by stem; empty for COCO, which has one file for all."""
    legend_file: Path | None  # `classes.json`, if it is there

    def pairs(self) -> list[tuple[Path, Path]]:
        """Return photo and mask of all stems that have one of each."""
        return [
            (photos[0], masks[0])
            for stem, photos in sorted(self.photos.items())
            if len(photos) == 1 and len(masks := self.masks.get(stem, [])) == 1
        ]


def load_labelled_folder(folder: Path, seed: int = 0) -> LabelledPhotos:
    """Load the labelled photos in a folder.

    Its `splits.json` deals them to the parts. Without one, a fifth of the different photos (none of fewer
    than 5) is `val`, drawn by the seed and the bytes of each: names and order change nothing, and copies of a
    photo stay together.

    Raises:
        DataError: there is no such folder, it has no labelled photo, or two parts share one.
        LabelError: what the masks mean is not clear.
    """
    classes, photos, unlabelled = open_folder(folder)
    splits_file, legend_file = folder / SPLITS_FILE, folder / LEGEND_FILE
    notes: tuple[str, ...] = ()
    if splits_file.is_file():
        parts, notes = deal(photos, read_splits(splits_file, str), splits_file)
    else:
        parts = _draw(photos, seed)
    legend_files = [legend_file] if legend_file.is_file() else []
    return gather_labelled(f"folder:{folder}", classes, parts, unlabelled, notes, legend_files)


def open_folder(folder: Path) -> tuple[ClassNames, list[LabelledPhoto], list[Path]]:
    """Return a folder's classes, its photos with labels in the order of their stems, and those without.

    Raises:
        DataError: no photo in it has anything drawn on it, or one is there twice.
        LabelError: the meaning of the masks is not clear.
    """
    layout = find_layout(folder)
    for files in (*layout.photos.values(), *layout.masks.values()):
        if len(files) > 1:
            raise DataError(f"{files[0]}: needed one file of this stem, got {files[1].name} as well")
    if layout.kind == "masks":
        classes, photos = _open_masks(layout)
    else:
        classes, outlined, _ = open_outlines(layout)
        photos = [
            LabelledPhoto(photo, one.file, partial(one.labels, classes)) for photo, one in outlined.items()
        ]
        photos.sort(key=lambda one: one.stem)
    if not photos:
        raise DataError(f"{folder}: needed a photo with a mask, got none; run check-labels on it")
    done = {one.photo for one in photos}
    return classes, photos, [files[0] for _, files in sorted(layout.photos.items()) if files[0] not in done]


def find_layout(folder: Path) -> Layout:
    """Find the photos and the masks of a folder; DataError where it lacks one, or has two kinds of masks."""
    if not folder.is_dir():
        found = "a file" if folder.exists() else "not there"
        raise DataError(f"needed a folder of photos and masks, {folder} is {found}")
    place = images if (images := folder / "images").is_dir() else folder
    photos = _by_stem(place, SUFFIXES)
    if not photos:
        raise DataError(f"{folder}: needed photos in it or in images/, found none")
    beside = _by_stem(place, {".json"})
    for own in (COCO_FILE, SPLITS_FILE, LEGEND_FILE):
        beside.pop(Path(own).stem, None)
    kinds: dict[Literal["masks", "coco", "labelme"], dict[str, list[Path]]] = {}
    if (folder / "masks").is_dir():
        kinds["masks"] = _by_stem(folder / "masks", SUFFIXES)
    if (folder / COCO_FILE).is_file():
        kinds["coco"] = {}
    if beside:
        kinds["labelme"] = beside
    if len(kinds) != 1:
        needed = f"masks/, {COCO_FILE}, or a LabelMe file beside each photo"
        raise DataError(f"{folder}: needed one of {needed}; found {' and '.join(kinds) or 'none'}")
    ((kind, masks),) = kinds.items()
    legend_file = folder / LEGEND_FILE
    return Layout(folder, kind, photos, masks, legend_file if legend_file.is_file() else None)


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


def _by_stem(folder: Path, suffixes: Iterable[str]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file():
            found[path.stem].append(path)
    return dict(found)


def _open_masks(layout: Layout) -> tuple[ClassNames, list[LabelledPhoto]]:
    given, pairs = read_legend(layout.legend_file) if layout.legend_file else None, layout.pairs()
    # Masks are read for their values only where a legend leaves anything open.
    is_open = given is None or given.is_plain_pair
    with ThreadPoolExecutor() as pool:
        values = pool.map(lambda pair: read_raw(pair[1]).values, pairs if is_open else ())
        legend = legend_of(values, given)
    return legend.classes, [LabelledPhoto(*pair, partial(read_mask, pair[1], legend)) for pair in pairs]


def open_outlines(layout: Layout) -> tuple[ClassNames, dict[Path, OutlinedPhoto], list[OutlinedPhoto]]:
    """Read the outlines of a folder: its classes, outlines by their photos, and those without a photo."""
    given = read_legend(layout.legend_file).classes if layout.legend_file else None
    if layout.kind == "labelme":
        outlined = {photo: read_labelme(path) for photo, path in layout.pairs()}
        return given or labelme_classes(outlined.values()), outlined, []
    path = layout.folder / COCO_FILE
    classes, images = read_coco(path, given)
    outlined, strays = {}, []
    for image in images:
        named = Path(image.name.replace("\\", "/"))  # whatever folders come before the name
        photo = next((one for one in layout.photos.get(named.stem, []) if one.name == named.name), None)
        if photo is None:
            strays.append(image)
        elif (first := outlined.setdefault(photo, image)) is not image:
            raise DataError(
                f"{path}: needed an image for each photo, got {first.name} and {image.name} for {photo}; "
                "join the annotations of one photo under one image, or give two photos two names"
            )
    return classes, outlined, strays


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
