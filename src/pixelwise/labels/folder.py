"""Folders of photos and their labels, as data sets.

    images/ and masks/              a picture for each photo, of the same stem, and perhaps classes.json
    images/ and annotations.json    COCO's, also under the names that CVAT, Roboflow and Label Studio give it
    images/ and NAME.json there     LabelMe's, beside each photo

Without `images/` the photos lie in the folder itself. A `splits.json` may deal them, by their stems, to
{"train": [...], "val": [...], "test": [...]}.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Literal, TypeVar

from pixelwise.errors import DataError, LabelError
from pixelwise.labels.class_names import ClassNames
from pixelwise.labels.json_file import get, read_json
from pixelwise.labels.labelled import SPLITS, LabelledPhoto, LabelledPhotos, deal, file_checksums
from pixelwise.labels.legend import LEGEND_FILE, Legend, legend_of, read_legend
from pixelwise.labels.outlines import OutlinedPhoto, labelme_classes, read_coco, read_labelme
from pixelwise.labels.read import read_mask, read_raw
from pixelwise.photos.formats import SUFFIXES

SPLITS_FILE = "splits.json"
_COCO_FILE = "annotations.json"
_COCO_PLACES = (  # below a folder; the others are CVAT's, Roboflow's and Label Studio's
    *(_COCO_FILE, "annotations/instances_*.json", "instances_*.json"),
    *("_annotations.coco.json", "images/_annotations.coco.json", "result.json"),
)
_VAL_FRAC = 0.2
_FEWEST_TO_SPLIT = 5  # labelled photos; of fewer every one is needed to learn from

T = TypeVar("T", str, int)
LabelFormat = Literal["masks", "coco", "labelme"]


@dataclass(frozen=True)
class Layout:
    """Files of a folder, before any is read."""

    folder: Path
    format: LabelFormat
    root: Path  # the folder or the file that the labels are in
    photos: dict[str, list[Path]]
    """By stem; more than one file of a stem is a mistake of whoever made the folder."""
    masks: dict[str, list[Path]]  # files of labels by stem; empty where one file has all
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

    def outlines(self) -> tuple[ClassNames, dict[Path, OutlinedPhoto], list[OutlinedPhoto]]:
        """Return the classes, COCO's or LabelMe's outlines by their photos, and outlines without a photo."""
        legend = self.legend()
        classes = legend.classes if legend else None
        outlined: dict[Path, OutlinedPhoto] = {}
        if self.format == "labelme":
            outlined = {photo: read_labelme(path) for photo, path in self.pairs()}
            return classes or labelme_classes(outlined.values()), outlined, []
        classes, images = read_coco(self.root, classes)
        strays = []
        for image in images:
            named = Path(image.name.replace("\\", "/"))  # whatever folders come before the name
            photo = next((path for path in self.photos.get(named.stem, []) if path.name == named.name), None)
            if photo is None:
                strays.append(image)
            elif (first := outlined.setdefault(photo, image)) is not image:
                got = f"{first.name} and {image.name} for {photo}"
                remedy = "join the annotations of one photo under one image, or give two photos two names"
                raise DataError(f"{self.root}: needed an image for each photo, got {got}; {remedy}")
        return classes, outlined, strays


def find_layout(folder: Path) -> Layout:
    """Find the photos and the labels of a folder; DataError where it lacks one, or has two formats."""
    if not folder.is_dir():
        found = "a file" if folder.exists() else "not there"
        raise DataError(f"needed a folder of photos and masks, {folder} is {found}")
    photo_folder = images if (images := folder / "images").is_dir() else folder
    photos = _by_stem(photo_folder, SUFFIXES)
    if not photos:
        raise DataError(f"{folder}: needed photos in it or in images/, found none")
    labels: dict[LabelFormat, tuple[Path, dict[str, list[Path]]]] = {}
    if (masks := folder / "masks").is_dir():
        labels["masks"] = masks, _by_stem(masks, SUFFIXES)
    named = list(dict.fromkeys(path for place in _COCO_PLACES for path in sorted(folder.glob(place))))
    files = _by_stem(photo_folder, (".json",))
    # Beside other labels a file of such a name may be anything, or LabelMe's for a photo called like it.
    is_rivalled = labels or folder / _COCO_FILE in named or not set(chain(*files.values())) <= set(named)
    coco = [path for path in named if not is_rivalled or path.name == _COCO_FILE or _is_coco(path)]
    if len(coco) > 1:
        raise DataError(f"{folder}: needed one file of COCO's, found {coco[0].name} and {coco[1].name}")
    if coco:
        labels["coco"] = coco[0], {}
    strays = {*coco, *(path for path in named if path.stem not in photos)}
    beside = {
        stem: own for stem, paths in files.items() if (own := [one for one in paths if one not in strays])
    }
    if beside:
        labels["labelme"] = folder, beside
    if len(labels) != 1:
        needed = f"masks/, {_COCO_FILE}, or a LabelMe file beside each photo"
        raise DataError(f"{folder}: needed one of {needed}; found {' and '.join(labels) or 'none'}")
    ((label_format, (root, drawn)),) = labels.items()
    legend_file = folder / LEGEND_FILE
    return Layout(folder, label_format, root, photos, drawn, legend_file if legend_file.is_file() else None)


def _is_coco(path: Path) -> bool:
    try:
        values = read_json(path)
    except DataError:
        return False
    return isinstance(values, dict) and {"images", "annotations", "categories"} <= values.keys()


def _by_stem(folder: Path, suffixes: Collection[str]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.iterdir()):
        is_own = path.name in (_COCO_FILE, SPLITS_FILE, LEGEND_FILE) or path.name.startswith(".")
        if path.suffix.lower() in suffixes and not is_own and path.is_file():
            found[path.stem].append(path)
    return dict(found)


def load_labelled_folder(folder: Path, seed: int = 0) -> LabelledPhotos:
    """Load the labelled photos in a folder; errors as of `open_folder`, or DataError if two parts share one.

    Its `splits.json` deals them to the parts. Without one, a fifth of the different photos (none of fewer
    than 5) is `val`, drawn by the seed and the bytes of each: names and order change nothing, and copies of a
    photo stay together.
    """
    classes, photos, unlabelled = open_folder(folder)
    splits_file = folder / SPLITS_FILE
    notes: tuple[str, ...] = ()
    if splits_file.is_file():
        parts, notes = deal(photos, read_splits(splits_file, str), splits_file)
    else:
        parts = _draw(photos, seed)
    return LabelledPhotos.of(f"folder:{folder}", classes, parts, unlabelled, notes)


def open_folder(folder: Path) -> tuple[ClassNames, list[LabelledPhoto], list[Path]]:
    """Return a folder's classes, its photos with labels in the order of their stems, and those without.

    DataError where no photo in it has anything drawn on it, or one is there twice; LabelError where the
    meaning of the masks is not clear.
    """
    layout = find_layout(folder)
    for files in (*layout.photos.values(), *layout.masks.values()):
        if len(files) > 1:
            raise DataError(f"{files[0]}: needed one file of this stem, got {files[1].name} as well")
    if layout.format == "masks":
        classes, photos = _open_masks(layout)
    else:
        classes, outlined, _ = layout.outlines()
        photos = [
            LabelledPhoto(photo, outlines.file, partial(outlines.labels, classes))
            for photo, outlines in sorted(outlined.items(), key=lambda item: item[0].stem)
        ]
    if not photos:
        raise DataError(f"{folder}: needed a photo with a mask, got none; run pixelwise check-labels on it")
    labelled = {photo.photo for photo in photos}
    others = [files[0] for _, files in sorted(layout.photos.items()) if files[0] not in labelled]
    return classes, photos, others


def _open_masks(layout: Layout) -> tuple[ClassNames, list[LabelledPhoto]]:
    given, pairs = layout.legend(), layout.pairs()
    # Masks are read for their values only where a legend leaves anything open.
    is_open = given is None or given.is_plain_pair
    with ThreadPoolExecutor() as pool:
        values = pool.map(lambda pair: read_raw(pair[1]).values, pairs if is_open else ())
        legend = legend_of(values, given)
    return legend.classes, [LabelledPhoto(*pair, partial(read_mask, pair[1], legend)) for pair in pairs]


def read_splits(path: Path, kind: type[T]) -> dict[str, list[T]]:
    """Read the photos of each part, by stems (str) or numbers (int); a part that is left out is empty."""
    values = read_json(path)
    if isinstance(values, dict) and not values.keys().isdisjoint(SPLITS):
        values = {part: [] for part in SPLITS} | values
    parts = {part: get(values, part, list, path) for part in SPLITS}
    if wrong := [name for part in parts.values() for name in part if type(name) is not kind]:
        needed = "stems of photos, in quotes" if kind is str else "numbers of photos"
        raise LabelError(f"{path}: needed {needed}, got {wrong[0]!r}")
    return parts


def _draw(photos: Sequence[LabelledPhoto], seed: int) -> dict[str, list[LabelledPhoto]]:
    checksums = file_checksums(photo.photo for photo in photos)
    different = sorted(
        set(checksums.values()), key=lambda sha256: hashlib.sha256(f"{seed}:{sha256}".encode()).hexdigest()
    )
    num_val = max(1, round(_VAL_FRAC * len(different))) if len(different) >= _FEWEST_TO_SPLIT else 0
    held_out = set(different[:num_val])
    return {
        "train": [photo for photo in photos if checksums[photo.photo] not in held_out],
        "val": [photo for photo in photos if checksums[photo.photo] in held_out],
    }
