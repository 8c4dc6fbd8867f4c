"""Layouts of a folder: where its photos are, and their labels in one of `FORMATS`.

    images/ and masks/              a picture for each photo, of the same stem, and perhaps classes.json
    images/ and annotations.json    COCO's
    images/ and NAME.json there     LabelMe's, beside each photo

Without `images/` the photos lie in the folder itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from pixelwise.errors import DataError
from pixelwise.labels.class_names import ClassNames
from pixelwise.labels.legend import LEGEND_FILE, Legend, read_legend
from pixelwise.labels.outlines import OutlinedPhoto, labelme_classes, read_coco, read_labelme
from pixelwise.photos.formats import SUFFIXES

SPLITS_FILE = "splits.json"
_COCO_FILE = "annotations.json"

Outlines = tuple[ClassNames, dict[Path, OutlinedPhoto], list[OutlinedPhoto]]
"""The classes of a folder, outlines by their photos, and outlines without a photo."""


@dataclass(frozen=True)
class LabelFormat:
    """A format of the labels in a folder."""

    name: str
    place: str  # where a photo's labels go, {} being its stem; for messages
    root: str = ""  # the folder or the file that has all labels; they lie beside the photos if empty
    suffixes: Collection[str] = ()  # of files that have the labels of one photo each
    read_outlines: Callable[[Layout], Outlines] | None = None  # None if labels are pictures

    def find(self, folder: Path, photo_folder: Path) -> dict[str, list[Path]] | None:
        """Return the files of labels by stem, none where one file has all; None where there are no labels."""
        if not self.root:
            return _by_stem(photo_folder, self.suffixes) or None
        root = folder / self.root
        if self.suffixes:
            return _by_stem(root, self.suffixes) if root.is_dir() else None
        return {} if root.is_file() else None


@dataclass(frozen=True)
class Layout:
    """Files of a folder, before any is read."""

    folder: Path
    format: LabelFormat
    photos: dict[str, list[Path]]
    """By stem; more than one file of a stem is a mistake of whoever made the folder."""
    masks: dict[str, list[Path]]
    """Files of labels by stem; empty where one file has all."""
    legend_file: Path | None  # `classes.json`, if it is there

    def legend(self) -> Legend | None:
        """Read the legend; None where there is no file of it."""
        return read_legend(self.legend_file) if self.legend_file else None

    def pairs(self) -> list[tuple[Path, Path]]:
        """Return photo and mask of all stems that have one of each."""
        return [
            (photos[0], masks[0])
            for stem, photos in sorted(self.photos.items())
            if len(photos) == 1 and len(masks := self.masks.get(stem, [])) == 1
        ]


def find_layout(folder: Path) -> Layout:
    """Find the photos and the labels of a folder; DataError where it lacks one, or has two formats."""
    if not folder.is_dir():
        found = "a file" if folder.exists() else "not there"
        raise DataError(f"needed a folder of photos and masks, {folder} is {found}")
    photo_folder = images if (images := folder / "images").is_dir() else folder
    photos = _by_stem(photo_folder, SUFFIXES)
    if not photos:
        raise DataError(f"{folder}: needed photos in it or in images/, found none")
    masks = {one: files for one in FORMATS if (files := one.find(folder, photo_folder)) is not None}
    if len(masks) != 1:
        needed = f"masks/, {_COCO_FILE}, or a LabelMe file beside each photo"
        names = " and ".join(one.name for one in masks) or "none"
        raise DataError(f"{folder}: needed one of {needed}; found {names}")
    ((label_format, files),) = masks.items()
    legend_file = folder / LEGEND_FILE
    return Layout(folder, label_format, photos, files, legend_file if legend_file.is_file() else None)


def _by_stem(folder: Path, suffixes: Collection[str]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.iterdir()):
        is_own = path.name in (_COCO_FILE, SPLITS_FILE, LEGEND_FILE) or path.name.startswith(".")
        if path.suffix.lower() in suffixes and not is_own and path.is_file():
            found[path.stem].append(path)
    return dict(found)


def _read_labelme(layout: Layout) -> Outlines:
    legend = layout.legend()
    outlined = {photo: read_labelme(path) for photo, path in layout.pairs()}
    return legend.classes if legend else labelme_classes(outlined.values()), outlined, []


def _read_coco(layout: Layout) -> Outlines:
    legend = layout.legend()
    path = layout.folder / _COCO_FILE
    classes, images = read_coco(path, legend.classes if legend else None)
    outlined: dict[Path, OutlinedPhoto] = {}
    strays = []
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


FORMATS = (
    LabelFormat("masks", place="masks/{}.png", root="masks", suffixes=SUFFIXES),
    LabelFormat("coco", place=_COCO_FILE, root=_COCO_FILE, read_outlines=_read_coco),
    LabelFormat("labelme", place="{}.json beside it", suffixes=(".json",), read_outlines=_read_labelme),
)
