"""Folders of photos and of what is drawn on them, side by side.

    images/ and masks/              a picture for each photo, of the same stem, and perhaps classes.json
    images/ and annotations.json    COCO's
    images/ and NAME.json there     LabelMe's, beside each photo

Without `images/` the photos lie in the folder itself. A `splits.json` may deal the photos, by their stems, to
{"train": [...], "val": [...], "test": [...]}.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from jaxtyping import UInt8
from numpy import ndarray

from pixelwise.errors import DataError, LabelError
from pixelwise.labels.class_names import ClassNames
from pixelwise.labels.json_file import get, read_json
from pixelwise.labels.legend import LEGEND_FILE, Legend, legend_of, read_legend
from pixelwise.labels.outlines import OutlinedPhoto, labelme_classes, read_coco, read_labelme
from pixelwise.labels.read import read_exact, read_mask
from pixelwise.photos.formats import SUFFIXES

COCO_FILE = "annotations.json"
SPLITS_FILE = "splits.json"
SPLITS = ("train", "val", "test")

ReadLabels = Callable[[], UInt8[ndarray, "H W"]]


@dataclass(frozen=True)
class Layout:
    """Files of a folder, before any is read."""

    folder: Path
    kind: Literal["masks", "coco", "labelme"]
    photos: dict[str, list[Path]]
    """By stem; more than one file of a stem is a mistake of whoever made the folder."""
    masks: dict[str, list[Path]]
    """Mask pictures or LabelMe's files by stem; empty for COCO, which has one file for all."""

    @property
    def legend_file(self) -> Path | None:
        """`classes.json`, if it is there."""
        file = self.folder / LEGEND_FILE
        return file if file.is_file() else None

    @property
    def coco_file(self) -> Path:
        """`annotations.json`, of COCO."""
        return self.folder / COCO_FILE

    def pairs(self) -> list[tuple[Path, Path]]:
        """Return photo and mask of all stems that have one of each."""
        return [
            (photos[0], masks[0])
            for stem, photos in sorted(self.photos.items())
            if len(photos) == 1 and len(masks := self.masks.get(stem, [])) == 1
        ]

    def photo_of(self, image: OutlinedPhoto) -> Path | None:
        """Return the photo that a COCO file names, whatever folders it puts before the name."""
        named = Path(image.name.replace("\\", "/"))
        return next((photo for photo in self.photos.get(named.stem, []) if photo.name == named.name), None)


@dataclass(frozen=True)
class Drawn:
    """One photo and its labels."""

    photo: Path
    labels_file: Path
    read_labels: ReadLabels
    """Reads the labels; raises `DataError` or `LabelError` where they are damaged."""


@dataclass(frozen=True)
class DrawnFolder:
    """A folder's classes, its photos with labels in the order of their stems, and those without."""

    classes: ClassNames
    drawn: tuple[Drawn, ...]
    unlabelled: tuple[Path, ...]


def open_folder(folder: Path) -> DrawnFolder:
    """Open the photos of a folder and what is drawn on them; labels are read when they are asked for.

    Raises:
        DataError: there is no such folder, no photo in it with anything drawn on it, or one of them is there
            twice.
        LabelError: the meaning of the masks is not clear.
    """
    layout = find_layout(folder)
    for files in (*layout.photos.values(), *layout.masks.values()):
        if len(files) > 1:
            raise DataError(f"{files[0]}: needed one file of this stem, got {files[1].name} as well")
    given = read_legend(layout.legend_file) if layout.legend_file else None
    match layout.kind:
        case "coco":
            classes, drawn = _open_coco(layout, given)
        case "labelme":
            outlined = {photo: read_labelme(path) for photo, path in layout.pairs()}
            classes = given.classes if given else labelme_classes(outlined.values())
            drawn = [Drawn(photo, one.file, partial(one.labels, classes)) for photo, one in outlined.items()]
        case "masks":
            classes, drawn = _open_masks(layout, given)
    if not drawn:
        raise DataError(
            f"{folder}: needed a photo with a mask, got none; run pixelwise check-labels {folder}"
        )
    done = {one.photo for one in drawn}
    unlabelled = (files[0] for _, files in sorted(layout.photos.items()) if files[0] not in done)
    return DrawnFolder(classes, tuple(drawn), tuple(unlabelled))


def find_layout(folder: Path) -> Layout:
    """Find the photos and the masks of a folder.

    Raises:
        DataError: there is no such folder, it has no photos or nothing drawn on them, or two kinds of masks.
    """
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
    return Layout(folder, kind, photos, masks)


def read_splits(folder: Path) -> dict[str, tuple[str, ...]] | None:
    """Read the stems of each part from `splits.json`; None where there is no such file.

    Raises:
        DataError: it is no JSON.
        LabelError: it has none of the three parts, or one is no list of stems.
    """
    path = folder / SPLITS_FILE
    if not path.is_file():
        return None
    values = read_json(path)
    if isinstance(values, dict) and not values.keys().isdisjoint(SPLITS):
        values = {part: [] for part in SPLITS} | values  # a part that is not there is empty
    parts = {part: get(values, part, list, path) for part in SPLITS}
    if wrong := [stem for stems in parts.values() for stem in stems if not isinstance(stem, str)]:
        raise LabelError(f"{path}: needed stems of photos, in quotes, got {wrong[0]!r}")
    return {part: tuple(stems) for part, stems in parts.items()}


def _by_stem(folder: Path, suffixes: Iterable[str]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file():
            found[path.stem].append(path)
    return dict(found)


def _open_masks(layout: Layout, given: Legend | None) -> tuple[ClassNames, list[Drawn]]:
    pairs = layout.pairs()
    # Masks are read for their values only where a legend leaves anything open.
    is_open = given is None or given.is_plain_pair
    with ThreadPoolExecutor() as pool:
        values = pool.map(lambda pair: read_exact(pair[1]).values, pairs if is_open else ())
        legend = legend_of(values, given)
    return legend.classes, [Drawn(photo, mask, partial(read_mask, mask, legend)) for photo, mask in pairs]


def _open_coco(layout: Layout, given: Legend | None) -> tuple[ClassNames, list[Drawn]]:
    path = layout.coco_file
    classes, outlined = read_coco(path, given.classes if given else None)
    images: dict[Path, OutlinedPhoto] = {}
    for image in outlined:
        if (photo := layout.photo_of(image)) is None:
            continue
        if (first := images.setdefault(photo, image)) is not image:
            raise DataError(
                f"{path}: needed one image for each photo, got {first.name} and {image.name} for {photo}; "
                "join the annotations of one photo under one image, or give two photos two names"
            )
    drawn = [Drawn(photo, path, partial(image.labels, classes)) for photo, image in images.items()]
    return classes, sorted(drawn, key=lambda one: one.photo.stem)
