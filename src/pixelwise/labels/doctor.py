"""The label doctor: mistakes in a folder of photos and masks, before a network learns from it.

Each comes with a remedy. Where there are none, whatever else keeps the folder from being learned from is one.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pixelwise.colour.palette import IGNORE
from pixelwise.errors import PhotoError, PixelwiseError
from pixelwise.labels.class_names import ClassNames
from pixelwise.labels.folder import SPLITS_FILE, Layout, find_layout, load_labelled_folder, read_splits
from pixelwise.labels.legend import LEGEND_FILE, Values, legend_of
from pixelwise.labels.outlines import uncovered_label
from pixelwise.labels.read import read_raw
from pixelwise.photos.duplicates import find_duplicates
from pixelwise.photos.photo import open_photo

_PLACES = {"masks": "masks/{}.png", "coco": "annotations.json", "labelme": "{}.json beside it"}
"""Where the labels of a photo go, {} being its stem."""
_SMOOTH = "values change in steps along the edges, as after smooth resizing or soft brushes"
_CRISP = 0.05  # crisp masks have in-between pixels at less than 0.006 of their edges, smooth ones at 0.11


@dataclass(frozen=True)
class LabelProblem:
    """A mistake in one file, and its remedy."""

    path: Path
    problem: str
    remedy: str


def check_folder(folder: Path) -> tuple[LabelProblem, ...]:
    """Find mistakes in a folder of photos and masks, by path; DataError where it cannot be one at all."""
    doctor = _Doctor(find_layout(folder))
    try:
        if doctor.layout.format == "masks":
            doctor.check_masks()
        else:
            doctor.check_outlines()
        doctor.check_empty()
    except PixelwiseError as error:
        doctor.add_refusal(error)
    doctor.check_halves()
    doctor.check_duplicates()
    if not doctor.problems:
        try:
            load_labelled_folder(folder)
        except PixelwiseError as error:
            doctor.add_refusal(error)
    return tuple(sorted(doctor.problems, key=lambda problem: str(problem.path)))


class _Doctor:
    """Problems of one folder, and the labels that occur in it."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.problems: list[LabelProblem] = []
        self.classes: ClassNames | None = None  # where they are known
        self.drawn_stems = set(layout.masks if layout.format == "masks" else layout.photos)
        self.labels: dict[Path, set[int]] = {}  # that occur; by file, or by photo where one file has all

    def add(self, path: Path, problem: str, remedy: str) -> None:
        self.problems.append(LabelProblem(path, problem, remedy))

    def add_error(self, path: Path, error: PixelwiseError, remedy: str) -> None:
        """Add an exception's message; the remedy in it, if there is one, comes first."""
        message = str(error).removeprefix(f"{path}: ")
        problem, _, own = message.partition("; ")
        if own and not own.endswith(")"):  # what a library said, in brackets, advises nothing
            self.add(path, problem, own)
        else:
            self.add(path, message, remedy)

    def add_refusal(self, error: PixelwiseError) -> None:
        folder = self.layout.folder
        named = (path for path in folder.rglob("*") if str(error).startswith(f"{path}: "))
        self.add_error(next(named, folder), error, "write it as docs/labels.md says")

    def check_size(self, photo: Path, drawn: Path, size: tuple[int, ...]) -> None:
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
        given = self.layout.legend()
        if not exact:
            return
        legend = legend_of(exact, given)
        self.classes = legend.classes
        for values in exact:
            try:
                self.labels[values.path] = {legend.table(values)[code] for code in values.counts}
            except PixelwiseError as error:
                remedy = f"repaint these pixels, or say in {LEGEND_FILE} what the value means"
                self.add_error(values.path, error, remedy)

    def _check_pictures(self) -> list[Values]:
        """Check each mask by itself and with its photo, and return the values of those that are exact."""
        exact = []
        pairs = self.layout.pairs()
        with ThreadPoolExecutor() as pool:
            read = pool.map(_try_mask, [path for _, path in pairs])  # whose rest is not read after Ctrl-C
            for (photo, path), found in zip(pairs, read, strict=True):
                if isinstance(found, PixelwiseError):
                    self.add_error(path, found, "save the mask again as PNG, or take it out")
                    continue
                values, size, is_crisp = found
                if is_crisp:
                    exact.append(values)
                else:
                    remedy = "resize the mask as drawn by nearest neighbour; draw without anti-aliasing"
                    self.add(path, _SMOOTH, remedy)
                self.check_size(photo, path, size)
        return exact

    def check_outlines(self) -> None:
        classes, outlined, strays = self.layout.outlines()
        self.classes = classes
        self.drawn_stems = {photo.stem for photo in outlined}
        for stray in strays:
            problem = f"speaks of {stray.name}, but there is no such photo"
            self.add(stray.file, problem, "add the photo, or take it out of the file")
        for photo, outlines in outlined.items():
            self.check_size(photo, outlines.file, outlines.size)
            key = outlines.file if self.layout.masks else photo
            try:
                self.labels[key] = set(np.unique(outlines.labels(classes)).tolist())
            except PixelwiseError as error:
                self.add_error(outlines.file, error, "draw this outline again, or take it out")

    def check_halves(self) -> None:
        photos, masks = self.layout.photos, self.layout.masks
        for stem, files in photos.items():
            if stem not in self.drawn_stems:
                place = _PLACES[self.layout.format].format(stem)
                remedy = f"save one in {place}, or move the photo elsewhere"
                self.add(files[0], "there is no mask for this photo", remedy)
        for stem, files in masks.items():
            if stem not in photos:
                remedy = f"add the photo under the stem {stem}, or take the mask out"
                self.add(files[0], "there is no photo for this mask", remedy)

    def check_empty(self) -> None:
        if self.classes is None or not self.labels:
            return
        for path, labels in self.labels.items():
            if labels <= {IGNORE, uncovered_label(self.classes)}:
                problem = "no pixel has a class" if labels <= {IGNORE} else "there is nothing but background"
                self.add(path, problem, "draw what it shows, or take it out if that is none of the classes")
        used = set().union(*self.labels.values())
        path = self.layout.legend_file or self.layout.root
        alike: dict[str, str] = {}
        for name in self.classes.names:
            if (first := alike.setdefault(" ".join(name.lower().split()), name)) != name:
                problem = (
                    f"{first!r} and {name!r} are two classes, though they differ by case or blanks alone"
                )
                self.add(path, problem, "give them one name, if they are one class")
        for label, name in enumerate(self.classes.names):
            if label not in used:
                remedy = "draw it on some photos, or take it out of the list of classes"
                self.add(path, f"no mask has a pixel of {name}", remedy)

    def check_duplicates(self) -> None:
        splits_file, part_of = self.layout.folder / SPLITS_FILE, {}
        if splits_file.is_file():
            with contextlib.suppress(PixelwiseError):
                splits = read_splits(splits_file, str)
                part_of = {stem: part for part, stems in splits.items() for stem in stems}
        photos = [files[0] for _, files in sorted(self.layout.photos.items())]
        for first, second in find_duplicates(photos):
            parts = [part_of.get(photo.stem) for photo in (first, second)]
            if parts[0] is None or parts[0] != parts[1]:
                where = f" ({parts[0]} and {parts[1]})" if all(parts) else ""
                problem = f"shows the same as {first.name}{where}: it would be learned from and measured on"
                self.add(second, problem, "keep one of them, or put both into one part")


def _try_mask(path: Path) -> tuple[Values, tuple[int, ...], bool] | PixelwiseError:
    try:
        mask = read_raw(path)
    except PixelwiseError as error:
        return error
    return mask.values, mask.codes.shape, mask.in_between_frac() < _CRISP
