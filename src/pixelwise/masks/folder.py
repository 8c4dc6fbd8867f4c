"""A folder of photos and of what is drawn on them, side by side.

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
from pathlib import Path
from typing import Literal

from jaxtyping import UInt8
from numpy import ndarray

from pixelwise.classnames import ClassNames
from pixelwise.errors import DataError, LabelError
from pixelwise.masks.coco import CocoFile, CocoImage, read_coco
from pixelwise.masks.json_file import entries, read_json
from pixelwise.masks.labelme import LabelMeFile, labelme_classes, read_labelme
from pixelwise.masks.legend import LEGEND_FILE, Legend, legend_of, read_legend
from pixelwise.masks.read import read_exact, read_mask
from pixelwise.photos.formats import SUFFIXES

COCO_FILE = "annotations.json"
SPLITS_FILE = "splits.json"
SPLITS = ("train", "val", "test")

ReadLabels = Callable[[], UInt8[ndarray, "H W"]]


@dataclass(frozen=True)
class Layout:
    """Which files a folder has, before any is read."""

    folder: Path
    kind: Literal["masks", "coco", "labelme"]
    photos: dict[str, list[Path]]
    """By stem; more than one file of a stem is a mistake of whoever made the folder."""
    masks: dict[str, list[Path]]
    """What is drawn, in pictures or LabelMe's files, by stem; empty for COCO, which has one file for all."""

    @property
    def legend_file(self) -> Path | None:
        """Where `classes.json` is, if it is there."""
        file = self.folder / LEGEND_FILE
        return file if file.is_file() else None

    @property
    def labels_place(self) -> Path:
        """Where all labels are."""
        return {"masks": self.folder / "masks", "coco": self.folder / COCO_FILE, "labelme": self.folder}[
            self.kind
        ]

    def pairs(self) -> list[tuple[Path, Path]]:
        """A photo and what is drawn on it, for all that have one of each."""
        return [
            (photos[0], masks[0])
            for stem, photos in sorted(self.photos.items())
            if len(photos) == 1 and len(masks := self.masks.get(stem, [])) == 1
        ]


@dataclass(frozen=True)
class Drawn:
    """One photo and its labels."""

    photo: Path
    labels_file: Path
    """Where the labels are read from."""
    read_labels: ReadLabels
    """Gives the labels; raises `DataError` or `LabelError` where they are damaged."""


@dataclass(frozen=True)
class DrawnFolder:
    """A folder's classes, its photos with labels in the order of their stems, and those without."""

    classes: ClassNames
    drawn: tuple[Drawn, ...]
    unlabelled: tuple[Path, ...]


def open_folder(folder: Path) -> DrawnFolder:
    """The photos of a folder and what is drawn on them; labels are read when they are asked for.

    Raises:
        DataError: there is no such folder, no photo in it with anything drawn on it, or one of them is there
            twice.
        LabelError: what the masks mean is not clear.
    """
    layout = find_layout(folder)
    if twice := [files for files in (*layout.photos.values(), *layout.masks.values()) if len(files) > 1]:
        raise DataError(f"{twice[0][0]}: needed one file of this stem, got {twice[0][1].name} as well")
    given = read_legend(layout.legend_file) if layout.legend_file else None
    match layout.kind:
        case "coco":
            classes, drawn = _open_coco(layout, given)
        case "labelme":
            classes, drawn = _open_labelme(layout, given)
        case "masks":
            classes, drawn = _open_masks(layout, given)
    if not drawn:
        raise DataError(
            f"{folder}: needed a photo with a mask, got none; run pixelwise check-labels {folder}"
        )
    done = {one.photo for one in drawn}
    left = (photos[0] for _, photos in sorted(layout.photos.items()) if photos[0] not in done)
    return DrawnFolder(classes, tuple(drawn), tuple(left))


def find_layout(folder: Path) -> Layout:
    """Which photos and which masks a folder has.

    Raises:
        DataError: there is no such folder, it has no photos or nothing drawn on them, or two kinds of masks.
    """
    if not folder.is_dir():
        raise DataError(f"needed a folder of photos and masks, {folder} is {_what(folder)}")
    place = images if (images := folder / "images").is_dir() else folder
    photos = by_stem(place, SUFFIXES)
    if not photos:
        raise DataError(f"{folder}: needed photos in it or in images/, found none")
    beside = by_stem(place, {".json"})
    beside = {stem: files for stem, files in beside.items() if files[0].name not in _OWN_FILES}
    found: dict[Literal["masks", "coco", "labelme"], dict[str, list[Path]]] = {}
    if (folder / "masks").is_dir():
        found["masks"] = by_stem(folder / "masks", SUFFIXES)
    if (folder / COCO_FILE).is_file():
        found["coco"] = {}
    if beside:
        found["labelme"] = beside
    if len(found) != 1:
        needed = f"masks/, {COCO_FILE}, or a LabelMe file beside each photo"
        raise DataError(f"{folder}: needed one of {needed}; found {' and '.join(found) or 'none'}")
    ((kind, masks),) = found.items()
    return Layout(folder, kind, photos, masks)


def by_stem(folder: Path, suffixes: Iterable[str]) -> dict[str, list[Path]]:
    """The files of a folder with one of these suffixes, but for hidden ones, by their stems."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file():
            found[path.stem].append(path)
    return dict(found)


def read_splits(folder: Path) -> dict[str, tuple[str, ...]] | None:
    """The stems of each part in `splits.json`; None where there is no such file.

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
    parts = {part: entries(values, part, path) for part in SPLITS}
    if wrong := [stem for stems in parts.values() for stem in stems if not isinstance(stem, str)]:
        raise LabelError(f"{path}: needed stems of photos, in quotes, got {wrong[0]!r}")
    return {part: tuple(stems) for part, stems in parts.items()}


def coco_photo(layout: Layout, file_name: str) -> Path | None:
    """The photo that a COCO file speaks of, whatever folders it puts before the name."""
    named = Path(file_name.replace("\\", "/"))
    return next((photo for photo in layout.photos.get(named.stem, []) if photo.name == named.name), None)


_OWN_FILES = (COCO_FILE, SPLITS_FILE, LEGEND_FILE)


def _open_masks(layout: Layout, given: Legend | None) -> tuple[ClassNames, list[Drawn]]:
    pairs = layout.pairs()
    # Masks are read for their values only where a legend leaves anything open.
    open_to_both = given is None or given.is_plain_pair
    with ThreadPoolExecutor() as pool:
        values = pool.map(lambda pair: read_exact(pair[1]).values, pairs if open_to_both else ())
        legend = legend_of(values, given)

    def reader(mask: Path) -> ReadLabels:
        return lambda: read_mask(mask, legend)

    return legend.classes, [Drawn(photo, mask, reader(mask)) for photo, mask in pairs]


def _open_coco(layout: Layout, given: Legend | None) -> tuple[ClassNames, list[Drawn]]:
    path = layout.folder / COCO_FILE
    file: CocoFile = read_coco(path, given.classes if given else None)
    images: dict[Path, CocoImage] = {}
    for image in file.images:
        if (photo := coco_photo(layout, image.file_name)) is None:
            continue
        if (first := images.setdefault(photo, image)) is not image:
            raise DataError(
                f"{path}: needed one image for each photo, got {first.file_name} and {image.file_name} for"
                f" {photo}; join the annotations of one photo under one image, or give two photos two names"
            )
    drawn = [Drawn(photo, path, image.labels) for photo, image in images.items()]
    return file.classes, sorted(drawn, key=lambda one: one.photo.stem)


def _open_labelme(layout: Layout, given: Legend | None) -> tuple[ClassNames, list[Drawn]]:
    files = {photo: read_labelme(path) for photo, path in layout.pairs()}
    classes = given.classes if given else labelme_classes(files.values())

    def reader(file: LabelMeFile) -> ReadLabels:
        return lambda: file.labels(classes)

    return classes, [Drawn(photo, file.path, reader(file)) for photo, file in files.items()]


def _what(path: Path) -> str:
    return "a file" if path.exists() else "not there"
