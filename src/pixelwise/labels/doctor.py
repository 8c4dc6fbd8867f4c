"""The label doctor: mistakes in a folder of photos and masks, before a network learns from it.

It finds photos or masks whose other half is missing; masks of another size than their photo, or not turned as
it is; masks that were resized smoothly, drawn softly or saved with loss; values that nobody named; masks and
classes with nothing in them; the same photo twice where it would be learned from and measured on; splits and
legends that cannot be read. Each problem comes with a remedy.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pixelwise.colour.palette import IGNORE
from pixelwise.errors import PhotoError, PixelwiseError
from pixelwise.labels.class_names import ClassNames
from pixelwise.labels.folder import COCO_FILE, SPLITS_FILE, Layout, find_layout, read_splits
from pixelwise.labels.legend import LEGEND_FILE, Legend, Values, legend_of, read_legend
from pixelwise.labels.outlines import OutlinedPhoto, labelme_classes, read_coco, read_labelme, uncovered_label
from pixelwise.labels.read import RawMask, read_raw
from pixelwise.photos.duplicates import find_duplicates
from pixelwise.photos.photo import open_photo

_CRISP = 0.05  # crisp masks have in-between pixels at less than 0.006 of their edges, smooth ones at 0.11
_LEGEND_REMEDY = f'write {LEGEND_FILE} such as {{"background": 0, "flower": 1}}, or with colours [R, G, B]'


@dataclass(frozen=True)
class Problem:
    """A mistake in one file, and its remedy."""

    path: Path
    problem: str
    remedy: str


def check_folder(folder: Path) -> tuple[Problem, ...]:
    """Find all mistakes in a folder of photos and masks, in the order of the files' paths.

    Raises:
        DataError: there is no such folder, it has no photos or nothing drawn on them, or two kinds of masks.
    """
    layout = find_layout(folder)
    doctor = _Doctor(layout)
    match layout.kind:
        case "masks":
            doctor.check_masks()
        case "coco":
            doctor.check_coco()
        case "labelme":
            doctor.check_labelme()
    doctor.check_halves()
    doctor.check_empty()
    doctor.check_duplicates(doctor.check_splits())
    return tuple(sorted(doctor.problems, key=lambda one: str(one.path)))


class _Doctor:
    """Problems of one folder, and the labels that occur in it."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.problems: list[Problem] = []
        self.classes: ClassNames | None = None  # where they are known
        self.drawn_stems: set[str] | None = set(layout.masks)  # of photos; None where that cannot be read
        self.labels: dict[Path, set[int]] = {}  # that occur; by photo for COCO, else by file
        self.legend: Legend | None = None
        if layout.legend_file:
            try:
                self.legend = read_legend(layout.legend_file)
            except PixelwiseError as error:
                self.add_error(layout.legend_file, error, _LEGEND_REMEDY)

    def add(self, path: Path, problem: str, remedy: str) -> None:
        self.problems.append(Problem(path, problem, remedy))

    def add_error(self, path: Path, error: PixelwiseError, remedy: str) -> None:
        """Add an exception's message; the remedy in it, if there is one, comes first."""
        message = str(error).removeprefix(f"{path}: ")
        problem, _, own = message.partition("; ")
        if not own or own.endswith(")"):  # what a library said, in brackets, advises nothing
            problem, own = message, remedy
        self.add(path, problem, own)

    def check_size(self, photo: Path, drawn: Path, size: tuple[int, int]) -> None:
        """Compare the size of what is drawn, as displayed, with its photo's."""
        try:
            opened = open_photo(photo)
        except PhotoError as error:
            self.add_error(photo, error, "replace the photo, or take it out together with its mask")
            return
        if size == opened.upright_size:
            return
        needed, got = (f"{width} x {height}" for height, width in (opened.upright_size, size))
        if opened.orientation != 1 and size == (opened.height, opened.width):
            problem = f"drawn on {photo.name} as stored, {got}, but EXIF has it turned to {needed} on display"
            self.add(drawn, problem, "turn the mask as the photo is displayed")
        else:
            problem = f"needed the size of {photo.name}, {needed}, got {got}"
            self.add(drawn, problem, "draw at the photo's size, or resize the mask by nearest neighbour")

    def check_masks(self) -> None:
        exact = self._check_pictures()
        if not exact or (self.legend is None and self.layout.legend_file is not None):
            return  # values are unknown where none is exact, or where the legend itself is wrong
        try:
            legend = legend_of(exact, self.legend)
        except PixelwiseError as error:
            named = (values.path for values in exact if str(error).startswith(f"{values.path}: "))
            self.add_error(next(named, self.layout.folder), error, _LEGEND_REMEDY)
            return
        self.classes = legend.classes
        for values in exact:
            try:
                self.labels[values.path] = {legend.table(values)[code] for code in values.counts}
            except PixelwiseError as error:
                remedy = f"repaint these pixels, or say in {LEGEND_FILE} what the value means"
                self.add_error(values.path, error, remedy)

    def _check_pictures(self) -> list[Values]:
        """Check each mask by itself and with its photo, and return the values of those that are exact."""

        def read(pair: tuple[Path, Path]) -> tuple[Values, tuple[int, ...], bool] | PixelwiseError:
            try:
                mask: RawMask = read_raw(pair[1])
            except PixelwiseError as error:
                return error
            return mask.values, mask.codes.shape, mask.in_between_frac() < _CRISP

        exact = []
        pairs = self.layout.pairs()
        with ThreadPoolExecutor() as pool:
            for (photo, path), found in zip(pairs, pool.map(read, pairs), strict=True):
                if isinstance(found, PixelwiseError):
                    self.add_error(path, found, "save the mask again as PNG, or take it out")
                    continue
                values, (height, width), is_crisp = found
                if is_crisp:
                    exact.append(values)
                else:
                    self.add(
                        path,
                        "values change in steps along the edges, as after smooth resizing or soft brushes",
                        "resize the mask as it was drawn by nearest neighbour; draw without anti-aliasing",
                    )
                self.check_size(photo, path, (height, width))
        return exact

    def check_coco(self) -> None:
        path, self.drawn_stems = self.layout.folder / COCO_FILE, None
        try:
            self.classes, images = read_coco(path, self.legend.classes if self.legend else None)
        except PixelwiseError as error:
            self.add_error(path, error, "export the file again from the program that it comes from")
            return
        of_photo = self.layout.by_photo(images)
        for image in of_photo.pop(None, []):
            problem = f"speaks of {image.name}, but there is no such photo"
            self.add(path, problem, "add the photo, or take it out of the file")
        self.drawn_stems = {photo.stem for photo in of_photo if photo}
        for photo, (image, *others) in of_photo.items():
            assert photo
            if others:
                problem = f"has {photo.name} {1 + len(others)} times"
                self.add(path, problem, "join its annotations under one image, or give two photos two names")
                continue
            self.check_size(photo, path, image.size)
            self._fill(image, photo, "draw this outline again")

    def check_labelme(self) -> None:
        opened = []
        for photo, path in self.layout.pairs():
            try:
                opened.append(read_labelme(path))
            except PixelwiseError as error:
                self.add_error(path, error, "draw on this photo again, or take the file out")
                continue
            self.check_size(photo, path, opened[-1].size)
        try:
            self.classes = self.legend.classes if self.legend else labelme_classes(opened)
        except PixelwiseError as error:
            self.add_error(self.layout.folder, error, "give the shapes labels")
            return
        for one in opened:
            self._fill(one, one.file, "draw this shape again, or take it out")

    def _fill(self, image: OutlinedPhoto, key: Path, remedy: str) -> None:
        assert self.classes
        try:
            self.labels[key] = set(np.unique(image.labels(self.classes)).tolist())
        except PixelwiseError as error:
            self.add_error(image.file, error, remedy)

    def check_halves(self) -> None:
        """Find photos without a mask, masks without a photo, and stems that are there twice."""
        photos, masks = self.layout.photos, self.layout.masks
        places = {"masks": "masks/{}.png", "coco": COCO_FILE, "labelme": "{}.json beside it"}
        for files in (*photos.values(), *masks.values()):
            for path in files[1:]:
                self.add(path, f"has the same stem as {files[0].name}", "keep one of them, or rename one")
        for stem, files in photos.items():
            if self.drawn_stems is not None and stem not in self.drawn_stems:
                remedy = f"save one in {places[self.layout.kind].format(stem)}, or move the photo elsewhere"
                self.add(files[0], "there is no mask for this photo", remedy)
        for stem, files in masks.items():
            if stem not in photos:
                remedy = f"add the photo under the stem {stem}, or take the mask out"
                self.add(files[0], "there is no photo for this mask", remedy)

    def check_empty(self) -> None:
        """Find masks and classes with nothing in them."""
        if self.classes is None or not self.labels:
            return
        for path, labels in self.labels.items():
            if labels <= {IGNORE, uncovered_label(self.classes)}:
                problem = "no pixel has a class" if labels <= {IGNORE} else "there is nothing but background"
                self.add(path, problem, "draw what it shows, or take it out if that is none of the classes")
        used = set().union(*self.labels.values())
        folder = self.layout.folder
        places = {"masks": folder / "masks", "coco": folder / COCO_FILE, "labelme": folder}
        for label, name in enumerate(self.classes.names):
            if label not in used:
                path = self.layout.legend_file or places[self.layout.kind]
                remedy = "draw it on some photos, or take it out of the list of classes"
                self.add(path, f"no mask has a pixel of {name}", remedy)

    def check_splits(self) -> dict[str, str]:
        """Check `splits.json`, and return the part of each stem."""
        path = self.layout.folder / SPLITS_FILE
        part_of: dict[str, str] = {}
        if not path.is_file():
            return part_of
        try:
            splits = read_splits(path, str)
        except PixelwiseError as error:
            self.add_error(path, error, 'write {"train": [...], "val": [...], "test": [...]}, with stems')
            return part_of
        for part, stems in splits.items():
            for stem in stems:
                if stem not in self.layout.photos:
                    self.add(path, f"{part} has {stem}, but there is no such photo", "take it out")
                elif stem in part_of:
                    self.add(path, f"{stem} is in {part_of[stem]} and {part}", "keep it in one part, once")
                part_of.setdefault(stem, part)
        return part_of

    def check_duplicates(self, part_of: dict[str, str]) -> None:
        """Find photos that are there twice without being in one part."""
        photos = [files[0] for _, files in sorted(self.layout.photos.items())]
        for first, second in find_duplicates(photos):
            parts = [part_of.get(photo.stem) for photo in (first, second)]
            if parts[0] is None or parts[0] != parts[1]:
                where = f" ({parts[0]} and {parts[1]})" if all(parts) else ""
                problem = f"shows the same as {first.name}{where}: it would be learned from and measured on"
                self.add(second, problem, "keep one of them, or put both into one part")
