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

from pixelwise.classnames import ClassNames
from pixelwise.errors import PhotoError, PixelwiseError
from pixelwise.labelspace import IGNORE
from pixelwise.masks.folder import COCO_FILE, SPLITS_FILE, Layout, find_layout, read_splits
from pixelwise.masks.legend import LEGEND_FILE, Legend, Values, find_mixture, legend_of, read_legend
from pixelwise.masks.outlines import OutlinedPhoto, labelme_classes, read_coco, read_labelme, uncovered_label
from pixelwise.masks.read import RawMask, read_raw
from pixelwise.photos.duplicates import find_duplicates
from pixelwise.photos.photo import open_photo

_CRISP = 0.05  # crisp masks have in-between pixels at less than 0.006 of their edges, smooth ones at 0.11
_BLACK_AND_WHITE = {0, 255}
_LEGEND_REMEDY = f'write {LEGEND_FILE} such as {{"background": 0, "flower": 1}}, or with colours [R, G, B]'
_SPLITS_REMEDY = 'write it as {"train": [...], "val": [...], "test": [...]}, with photos\' stems'


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
        """Add a problem."""
        self.problems.append(Problem(path, problem, remedy))

    def add_error(self, path: Path, error: PixelwiseError, remedy: str) -> None:
        """Add what an exception says; the remedy in it, if there is one, comes first."""
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
            self.add(
                drawn,
                f"drawn on {photo.name} as stored, {got}, but EXIF has it turned to {needed} on display",
                "turn the mask as the photo is displayed, or store the photo turned, without EXIF's turn",
            )
        else:
            self.add(
                drawn,
                f"needed the size of {photo.name}, {needed}, got {got}",
                "draw at the photo's size, or resize the mask to it by nearest neighbour, never smoothly",
            )

    def check_masks(self) -> None:
        """Check pictures of masks, each by itself and their values together."""
        exact = self._check_pictures()
        if not exact or (self.legend is None and self.layout.legend_file is not None):
            return  # values are unknown where none is exact, or where the legend itself is wrong
        try:
            legend = _most_likely_legend(exact, self.legend)
        except PixelwiseError as error:
            named = (values.path for values in exact if str(error).startswith(f"{values.path}: "))
            self.add_error(next(named, self.layout.folder), error, _LEGEND_REMEDY)
            return
        self.classes = legend.classes
        for values in exact:
            try:
                table = legend.table(values)
            except PixelwiseError as error:
                remedy = f"repaint these pixels, or say in {LEGEND_FILE} what the value means"
                self.add_error(values.path, error, remedy)
                continue
            self.labels[values.path] = {table[code] for code in values.counts}

    def _check_pictures(self) -> list[Values]:
        """Check each mask by itself and with its photo, and return the values of those that are exact."""

        def read(pair: tuple[Path, Path]) -> tuple[RawMask, bool] | PixelwiseError:
            try:
                mask = read_raw(pair[1])
            except PixelwiseError as error:
                return error
            return mask, mask.in_between_frac() < _CRISP

        exact = []
        pairs = self.layout.pairs()
        with ThreadPoolExecutor() as pool:
            for (photo, path), found in zip(pairs, pool.map(read, pairs), strict=True):
                if isinstance(found, PixelwiseError):
                    self.add_error(path, found, "save the mask again as PNG, or take it out")
                    continue
                mask, is_crisp = found
                if mask.lossy_format:
                    self.add(
                        path,
                        f"saved as {mask.lossy_format}, which smears the values along every edge",
                        "save it again as PNG from the program that it was drawn in; what was smeared cannot "
                        "be mended",
                    )
                elif not is_crisp:
                    self.add(
                        path,
                        "values change in steps along the edges, as after smooth resizing or drawing with "
                        "soft brushes",
                        "take the mask as it was drawn and resize it by nearest neighbour; draw without "
                        "anti-aliasing",
                    )
                else:
                    exact.append(mask.values)
                self.check_size(photo, path, mask.size)
        return exact

    def check_coco(self) -> None:
        """Check a COCO file and its outlines."""
        path, self.drawn_stems = self.layout.coco_file, None
        try:
            self.classes, images = read_coco(path, self.legend.classes if self.legend else None)
        except PixelwiseError as error:
            self.add_error(path, error, "export the file again from the program that it comes from")
            return
        of_photo: dict[Path, list[OutlinedPhoto]] = {}
        for image in images:
            if photo := self.layout.photo_of(image):
                of_photo.setdefault(photo, []).append(image)
            else:
                self.add(
                    path,
                    f"speaks of {image.name}, but there is no such photo",
                    f"put the photo into {self.layout.folder}, or take it out of the file",
                )
        self.drawn_stems = {photo.stem for photo in of_photo}
        for photo, (image, *others) in of_photo.items():
            if others:
                self.add(
                    path,
                    f"has {photo.name} {1 + len(others)} times",
                    "join its annotations under one image, or give photos of different folders different "
                    "names",
                )
                continue
            self.check_size(photo, path, image.size)
            self._fill(image, self.classes, photo, "draw this outline again")

    def check_labelme(self) -> None:
        """Check LabelMe's files and their outlines."""
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
            self._fill(one, self.classes, one.file, "draw this shape again, or take it out")

    def _fill(self, image: OutlinedPhoto, classes: ClassNames, key: Path, remedy: str) -> None:
        try:
            self.labels[key] = set(np.unique(image.labels(classes)).tolist())
        except PixelwiseError as error:
            self.add_error(image.file, error, remedy)

    def check_halves(self) -> None:
        """Find photos without a mask, masks without a photo, and stems that are there twice."""
        photos, masks, kind = self.layout.photos, self.layout.masks, self.layout.kind
        for files in (*photos.values(), *masks.values()):
            for path in files[1:]:
                self.add(path, f"has the same stem as {files[0].name}", "keep one of them, or rename one")
        for stem, files in photos.items():
            if self.drawn_stems is not None and stem not in self.drawn_stems:
                place = {
                    "masks": f"save it as masks/{stem}.png",
                    "coco": f"add it to {COCO_FILE}",
                    "labelme": f"save it as {stem}.json beside it",
                }[kind]
                self.add(
                    files[0],
                    "there is no mask for this photo",
                    f"draw one and {place}, or move the photo to another folder",
                )
        for stem, files in masks.items():
            if stem not in photos:
                self.add(
                    files[0],
                    "there is no photo for this mask",
                    f"put the photo beside the others under the stem {stem}, or take the mask out",
                )

    def check_empty(self) -> None:
        """Find masks and classes with nothing in them."""
        if self.classes is None or not self.labels:
            return
        background = uncovered_label(self.classes)
        for path, labels in self.labels.items():
            if labels <= {IGNORE, background}:
                problem = "no pixel has a class" if labels <= {IGNORE} else "there is nothing but background"
                remedy = "draw what the photo shows, or take it out if it shows none of the classes"
                self.add(path, problem, remedy)
        used = set().union(*self.labels.values())
        folder, kind = self.layout.folder, self.layout.kind
        places = {"masks": folder / "masks", "coco": self.layout.coco_file, "labelme": folder}
        for label, name in enumerate(self.classes.names):
            if label not in used:
                self.add(
                    self.layout.legend_file or places[kind],
                    f"no mask has a pixel of {name}",
                    "draw it on some photos, or take it out of the list of classes",
                )

    def check_splits(self) -> dict[str, str]:
        """Check `splits.json`, and return the part of each stem."""
        path = self.layout.folder / SPLITS_FILE
        try:
            splits = read_splits(self.layout.folder) or {}
        except PixelwiseError as error:
            self.add(path, str(error).removeprefix(f"{path}: "), _SPLITS_REMEDY)
            return {}
        part_of: dict[str, str] = {}
        for part, stems in splits.items():
            for stem in stems:
                first = part_of.get(stem)
                if stem not in self.layout.photos:
                    problem = f"{part} has {stem}, but there is no such photo"
                    self.add(path, problem, "take it out, or add the photo")
                elif first:
                    both = part if first == part else f"{first} and {part}"
                    self.add(path, f"{stem} is in {both} twice", "keep it in one part, once")
                part_of.setdefault(stem, part)
        return part_of

    def check_duplicates(self, part_of: dict[str, str]) -> None:
        """Find photos that are there twice without being in one part."""
        photos = [files[0] for _, files in sorted(self.layout.photos.items())]
        for first, second in find_duplicates(photos):
            parts = [part_of.get(photo.stem) for photo in (first, second)]
            if parts[0] is None or parts[0] != parts[1]:
                where = f" ({parts[0]} and {parts[1]})" if all(parts) else ""
                self.add(
                    second,
                    f"shows the same as {first.name}{where}: it would be learned from and measured on",
                    "keep one of them, or put both into one part",
                )


def _most_likely_legend(exact: list[Values], given: Legend | None) -> Legend:
    """Return the masks' legend, or that of black and white where most are that and the others seem wrong."""
    try:
        return legend_of(exact, given)
    except PixelwiseError:
        usual = [mask for mask in exact if mask.kind == "grey" and mask.counts.keys() <= _BLACK_AND_WHITE]
        if find_mixture(exact) or 2 * len(usual) <= len(exact):
            raise
        return legend_of(usual)
