"""The label doctor: what is wrong with a folder of photos and masks, before a network learns from it.

It finds photos or masks whose other half is missing; masks of another size than their photo, or not turned as
it is; masks that were resized smoothly, drawn softly or saved with loss; values that nobody named; masks and
classes with nothing in them; the same photo twice where it would be learned from and measured on; splits and
legends that cannot be read. Each problem comes with a remedy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pixelwise.errors import PixelwiseError
from pixelwise.labelspace import IGNORE
from pixelwise.masks.examine import Findings, Problem, examine
from pixelwise.masks.folder import COCO_FILE, SPLITS_FILE, Layout, find_layout, read_splits
from pixelwise.masks.outlines import uncovered_label
from pixelwise.photos.duplicates import find_duplicates

__all__ = ["Problem", "check_folder"]


def check_folder(folder: Path) -> tuple[Problem, ...]:
    """Everything that is wrong with a folder of photos and masks, in the order of the files' paths.

    Raises:
        DataError: there is no such folder, it has no photos or nothing drawn on them, or two kinds of masks.
    """
    layout = find_layout(folder)
    findings = examine(layout)
    problems = [
        *findings.problems,
        *_without_other_half(layout, findings),
        *_empty(layout, findings),
        *_splits(layout),
    ]
    return tuple(sorted(problems, key=lambda one: str(one.path)))


def _without_other_half(layout: Layout, findings: Findings) -> Iterator[Problem]:
    for files in (*layout.photos.values(), *layout.masks.values()):
        for path in files[1:]:
            yield Problem(path, f"has the same stem as {files[0].name}", "keep one of them, or rename one")
    for stem, photos in layout.photos.items():
        if findings.drawn_stems is not None and stem not in findings.drawn_stems:
            yield Problem(
                photos[0],
                "there is no mask for this photo",
                f"draw one and {_place(layout, stem)}, or move the photo to another folder",
            )
    for stem, masks in layout.masks.items():
        if stem not in layout.photos:
            yield Problem(
                masks[0],
                "there is no photo for this mask",
                f"put the photo beside the others under the stem {stem}, or take the mask out",
            )


def _place(layout: Layout, stem: str) -> str:
    match layout.kind:
        case "masks":
            return f"save it as masks/{stem}.png"
        case "coco":
            return f"add it to {COCO_FILE}"
        case "labelme":
            return f"save it as {stem}.json beside it"


def _empty(layout: Layout, findings: Findings) -> Iterator[Problem]:
    """Masks and classes with nothing in them."""
    if findings.classes is None:
        return
    names = findings.classes.names
    background = uncovered_label(findings.classes)
    used: Counter[int] = Counter()
    for path, counts in findings.labels.items():
        used.update(counts)
        if counts.keys() <= {IGNORE, background}:
            what = "no pixel has a class" if counts.keys() <= {IGNORE} else "there is nothing but background"
            yield Problem(
                path, what, "draw what the photo shows, or take it out if it shows none of the classes"
            )
    if not findings.labels:
        return
    for label, name in enumerate(names):
        if not used[label]:
            yield Problem(
                layout.legend_file or layout.labels_place,
                f"no mask has a pixel of {name}",
                "draw it on some photos, or take it out of the list of classes",
            )


def _splits(layout: Layout) -> Iterator[Problem]:
    """What is wrong with the parts, and photos that are there twice without being in one part."""
    path = layout.folder / SPLITS_FILE
    try:
        splits = read_splits(layout.folder)
    except PixelwiseError as error:
        problem = str(error).removeprefix(f"{path}: ")
        yield Problem(
            path, problem, 'write it as {"train": [...], "val": [...], "test": [...]}, with photos\' stems'
        )
        splits = None
    part_of: dict[str, str] = {}
    for part, stems in (splits or {}).items():
        for stem in stems:
            if stem not in layout.photos:
                yield Problem(
                    path, f"{part} has {stem}, but there is no such photo", "take it out, or add the photo"
                )
            elif stem in part_of:
                both = part if part_of[stem] == part else f"{part_of[stem]} and {part}"
                yield Problem(path, f"{stem} is in {both} twice", "keep it in one part, once")
            part_of.setdefault(stem, part)
    photos = [files[0] for _, files in sorted(layout.photos.items())]
    for first, second in find_duplicates(photos):
        parts = [part_of.get(photo.stem) for photo in (first, second)]
        if parts[0] is None or parts[0] != parts[1]:
            yield Problem(second, _same(first, parts), "keep one of them, or put both into one part")


def _same(first: Path, parts: list[str | None]) -> str:
    where = f" ({parts[0]} and {parts[1]})" if all(parts) else ""
    return f"shows the same as {first.name}{where}: it would be learned from and measured on"
