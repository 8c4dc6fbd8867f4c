"""What each mask of a folder holds, and what is wrong with it on its own or with its photo."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from pixelwise.classnames import ClassNames
from pixelwise.errors import PhotoError, PixelwiseError
from pixelwise.masks.coco import CocoImage, read_coco
from pixelwise.masks.folder import COCO_FILE, Layout, coco_photo
from pixelwise.masks.labelme import labelme_classes, read_labelme
from pixelwise.masks.legend import LEGEND_FILE, Legend, find_mixture, legend_of, read_legend
from pixelwise.masks.raw import Values, read_raw
from pixelwise.photos.photo import open_photo

_CRISP = 0.05  # crisp masks have in-between pixels at less than 0.006 of their edges, smooth ones at 0.11
_BLACK_AND_WHITE = {0, 255}
_HOW_LEGENDS_LOOK = f'write {LEGEND_FILE} such as {{"background": 0, "flower": 1}}, or with colours [R, G, B]'

Counts = Mapping[int, int]
"""Pixels of each label."""


@dataclass(frozen=True)
class Problem:
    """Something wrong with one file, and what to do about it."""

    path: Path
    problem: str
    remedy: str


@dataclass
class Findings:
    """What an examination brought: the classes if they are known, the labels of each file, and problems."""

    classes: ClassNames | None = None
    drawn_stems: set[str] | None = None
    """Stems of the photos on which anything is drawn; None where that cannot be read."""
    labels: dict[Path, Counts] = field(default_factory=dict)
    """By file, or by photo where one file holds the labels of all."""
    problems: list[Problem] = field(default_factory=list)

    def add(self, path: Path, problem: str, remedy: str) -> None:
        """One more problem."""
        self.problems.append(Problem(path, problem, remedy))

    def add_error(self, path: Path, error: PixelwiseError, remedy: str) -> None:
        """One more problem, as an exception told it; its own remedy, if it tells one, comes first."""
        told = str(error).removeprefix(f"{path}: ")
        problem, _, own = told.partition("; ")
        if not own or own.endswith(")"):  # what a library said, in brackets, advises nothing
            problem, own = told, remedy
        self.add(path, problem, own)

    def check_size(self, photo: Path, drawn: Path, size: tuple[int, int]) -> None:
        """Hold the size of what is drawn, as displayed, against its photo's."""
        try:
            seen = open_photo(photo)
        except PhotoError as error:
            self.add_error(photo, error, "replace the photo, or take it out together with its mask")
            return
        if size == seen.upright_size:
            return
        needed, got = (f"{width} x {height}" for height, width in (seen.upright_size, size))
        if seen.orientation != 1 and size == (seen.height, seen.width):
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


@dataclass(frozen=True)
class _Seen:
    """One mask, without its pixels."""

    photo: Path
    values: Values
    size: tuple[int, int]
    smeared: str
    is_crisp: bool


def examine(layout: Layout) -> Findings:
    """Look into every mask of a folder that has a photo, and at the sizes of both."""
    findings = Findings(drawn_stems=set(layout.masks) if layout.kind != "coco" else None)
    given = _given(layout, findings)
    match layout.kind:
        case "masks":
            _examine_pictures(layout, given, findings)
        case "coco":
            _examine_coco(layout, given, findings)
        case "labelme":
            _examine_labelme(layout, given, findings)
    return findings


def _given(layout: Layout, findings: Findings) -> Legend | None:
    if layout.legend_file is None:
        return None
    try:
        return read_legend(layout.legend_file)
    except PixelwiseError as error:
        findings.add_error(layout.legend_file, error, _HOW_LEGENDS_LOOK)
        return None


def _examine_pictures(layout: Layout, given: Legend | None, findings: Findings) -> None:
    seen = list(_see(layout, findings))
    for one in seen:
        _tell_damage(one, findings)
        findings.check_size(one.photo, one.values.path, one.size)
    exact = [one.values for one in seen if one.is_crisp and not one.smeared]
    if not exact or (given is None and layout.legend_file is not None):
        return  # what values mean cannot be said where none is exact, or where the legend itself is wrong
    try:
        legend = _most_likely_legend(exact, given)
    except PixelwiseError as error:
        path = next(
            (values.path for values in exact if str(error).startswith(f"{values.path}: ")), layout.folder
        )
        findings.add_error(path, error, _HOW_LEGENDS_LOOK)
        return
    findings.classes = legend.classes
    for values in exact:
        try:
            table = legend.table(values)
        except PixelwiseError as error:
            findings.add_error(
                values.path, error, f"repaint these pixels, or say in {LEGEND_FILE} what the value means"
            )
            continue
        counts: Counter[int] = Counter()
        for code, label in table.items():
            counts[label] += values.counts.get(code, 0)
        findings.labels[values.path] = +counts


def _see(layout: Layout, findings: Findings) -> Iterator[_Seen]:
    """Each mask that can be read; the others are problems."""

    def look(pair: tuple[Path, Path]) -> _Seen | PixelwiseError:
        photo, path = pair
        try:
            mask = read_raw(path)
            is_crisp = mask.in_between_frac() < _CRISP
            return _Seen(photo, mask.values, mask.size, mask.smeared, is_crisp)
        except PixelwiseError as error:
            return error

    pairs = layout.pairs()
    with ThreadPoolExecutor() as pool:
        for (_, path), seen in zip(pairs, pool.map(look, pairs), strict=True):
            if isinstance(seen, _Seen):
                yield seen
            else:
                findings.add_error(path, seen, "save the mask again as PNG, or take it out")


def _tell_damage(mask: _Seen, findings: Findings) -> None:
    if mask.smeared:
        findings.add(
            mask.values.path,
            f"saved as {mask.smeared}, which smears the values along every edge",
            "save it again as PNG from the program that it was drawn in; what was smeared cannot be mended",
        )
    elif not mask.is_crisp:
        findings.add(
            mask.values.path,
            "values change in steps along the edges, as after smooth resizing or drawing with soft brushes",
            "take the mask as it was drawn and resize it by nearest neighbour; draw without anti-aliasing",
        )


def _most_likely_legend(exact: list[Values], given: Legend | None) -> Legend:
    """The masks' legend; where most are black and white, that is what the others should have been."""
    try:
        return legend_of(exact, given)
    except PixelwiseError:
        usual = [mask for mask in exact if mask.kind == "grey" and mask.counts.keys() <= _BLACK_AND_WHITE]
        if find_mixture(exact) or 2 * len(usual) <= len(exact):
            raise
        return legend_of(usual)


def _examine_coco(layout: Layout, given: Legend | None, findings: Findings) -> None:
    path = layout.folder / COCO_FILE
    try:
        file = read_coco(path, given.classes if given else None)
    except PixelwiseError as error:
        findings.add_error(path, error, "export the file again from the program that it comes from")
        return
    findings.classes = file.classes
    photos = [(image, coco_photo(layout, image.file_name)) for image in file.images]
    findings.drawn_stems = {photo.stem for _, photo in photos if photo}
    for image, photo in photos:
        if photo is None:
            findings.add(
                path,
                f"speaks of {image.file_name}, but there is no such photo",
                f"put the photo into {layout.folder}, or take it out of the file",
            )
    times = Counter(photo for _, photo in photos if photo)
    for photo, num in times.items():
        if num > 1:
            findings.add(
                path,
                f"has {photo.name} {num} times",
                "join its annotations under one image, or give photos of different folders different names",
            )
    for image, photo in photos:
        if photo is not None and times[photo] == 1:
            findings.check_size(photo, path, (image.height, image.width))
            _fill(image, photo, path, findings)


def _fill(image: CocoImage, photo: Path, path: Path, findings: Findings) -> None:
    try:
        findings.labels[photo] = count_labels(image.labels())
    except PixelwiseError as error:
        findings.add_error(path, error, "draw this outline again")


def _examine_labelme(layout: Layout, given: Legend | None, findings: Findings) -> None:
    files = []
    for photo, path in layout.pairs():
        try:
            file = read_labelme(path)
        except PixelwiseError as error:
            findings.add_error(path, error, "draw on this photo again, or take the file out")
            continue
        findings.check_size(photo, path, (file.height, file.width))
        files.append(file)
    try:
        findings.classes = given.classes if given else labelme_classes(files)
    except PixelwiseError as error:
        findings.add_error(layout.folder, error, "give the shapes labels")
        return
    for file in files:
        try:
            findings.labels[file.path] = count_labels(file.labels(findings.classes))
        except PixelwiseError as error:
            findings.add_error(file.path, error, "draw this shape again, or take it out")


def count_labels(labels: UInt8[ndarray, "H W"]) -> Counts:
    """How many pixels have each label that occurs."""
    values, counts = np.unique(labels, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))
