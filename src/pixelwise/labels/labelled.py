"""Labelled photos as a data set: parts that share no photo, labels read when they are asked for."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import UInt8
from torch import Tensor

from pixelwise.errors import ConfigError, DataError
from pixelwise.files import checksum, reason
from pixelwise.labels.class_names import ClassNames
from pixelwise.labels.folder import SPLITS, SPLITS_FILE, Drawn, ReadLabels, open_folder, read_splits
from pixelwise.labels.legend import LEGEND_FILE
from pixelwise.photos.photo import open_photo

_VAL_FRAC = 0.2
_FEWEST_TO_SPLIT = 5  # labelled photos; of fewer every one is needed to learn from

HeldOut = Literal["test", "val"]
"""Parts that are not learned from."""
Part = Literal["test", "val", "all"]
"""Parts that a head may be scored on; `all` is every labelled photo, for heads that learned elsewhere."""


@dataclass(frozen=True)
class LabelledPhoto:
    """One photo, and where its labels come from."""

    photo: Path
    labels_file: Path
    """The file that the labels are read from; COCO has one for all photos."""
    make_labels: ReadLabels = field(repr=False, compare=False)

    @property
    def stem(self) -> str:
        """The file name without its suffix."""
        return self.photo.stem

    def read_labels(self) -> UInt8[Tensor, "H W"]:
        """Return the class of each pixel or IGNORE, as the photo is displayed and of its size.

        Raises:
            DataError: the file is missing or damaged, or its size is not the photo's.
            LabelError: a value in it means no class.
            PhotoError: the photo cannot be read.
        """
        labels = self.make_labels()
        size = open_photo(self.photo).upright_size
        if labels.shape != size:
            raise DataError(
                f"{self.labels_file}: needed labels of the size that {self.photo} is displayed in,"
                f" {size[1]} x {size[0]}, got {labels.shape[1]} x {labels.shape[0]};"
                " pixelwise check-labels says what to do"
            )
        return torch.from_numpy(labels)


@dataclass(frozen=True)
class LabelledPhotos:
    """Labelled photos in three parts that share none."""

    name: str
    """The source they were found in, such as `flowers17`."""
    classes: ClassNames
    train: tuple[LabelledPhoto, ...]
    """To learn from."""
    val: tuple[LabelledPhoto, ...]
    """To choose by; empty where there are too few."""
    test: tuple[LabelledPhoto, ...]
    """To measure on at the end; empty unless the source names such a part."""
    unlabelled: tuple[Path, ...]
    """Photos without labels."""
    digest: str
    """SHA-256 of class names and of the files in each part: equal digests mean equal photos and labels."""
    notes: tuple[str, ...] = ()
    """Remarks for the user, such as photos left out."""

    @property
    def labelled(self) -> tuple[LabelledPhoto, ...]:
        """All labelled photos, whatever their part."""
        return self.train + self.val + self.test

    def held_out(self, part: HeldOut | None = None) -> tuple[HeldOut, tuple[LabelledPhoto, ...]]:
        """Return the part to score on, `test` or else `val`, and its photos; there may be none."""
        name: HeldOut = part or ("test" if self.test else "val")
        return name, self.test if name == "test" else self.val

    def require_held_out(self, part: HeldOut | None = None) -> tuple[HeldOut, tuple[LabelledPhoto, ...]]:
        """Return the part to score on and its photos.

        Raises:
            ConfigError: there is no such part; scores on what was learned from say nothing.
        """
        name, photos = self.held_out(part)
        if photos:
            return name, photos
        where = f" in the part {part}" if part else ""
        needed = f"labelled photos that are not learned from{where}, to score on"
        raise ConfigError(f"{self.name} needs {needed}; label at least 5, or name the parts in splits.json")


def load_labelled_folder(folder: Path, seed: int = 0) -> LabelledPhotos:
    """Load the labelled photos in a folder, laid out as `masks.folder` says.

    Its `splits.json` deals them to the parts. Without one, a fifth of the different photos (none of fewer
    than 5) is `val`, drawn by the seed and the bytes of each: names and order change nothing, and copies of a
    photo stay together.

    Raises:
        DataError: there is no such folder, it has no labelled photo, or two parts share one.
        LabelError: what the masks mean is not clear.
    """
    found = open_folder(folder)
    given = read_splits(folder)
    legend = [file] if (file := folder / LEGEND_FILE).is_file() else []
    notes: tuple[str, ...] = ()
    if given is None:
        parts = _draw(found.drawn, seed)
    else:
        parts, notes = deal({one.photo.stem: one for one in found.drawn}, given, folder / SPLITS_FILE)
    return gather_labelled(f"folder:{folder}", found.classes, parts, found.unlabelled, notes, legend)


def deal(
    by_stem: Mapping[str, Drawn], splits: Mapping[str, Collection[str]], splits_file: Path
) -> tuple[dict[str, list[Drawn]], tuple[str, ...]]:
    """Return the labelled photos of each part, and a note on those that are in none.

    Raises:
        DataError: a part names a photo twice, or one that has no labels or is not there.
    """
    parts = {}
    for part, stems in splits.items():
        if missing := [stem for stem in stems if stem not in by_stem]:
            found = f"{part} has {missing[0]} ({len(missing)} such in all)"
            raise DataError(f"{splits_file}: needed a photo and its labels for each stem, {found}")
        if twice := [stem for stem, num in Counter(stems).items() if num > 1]:
            found = f"{part} has {twice[0]} more than once ({len(twice)} such in all)"
            raise DataError(f"{splits_file}: needed each photo once, {found}; take the others out")
        parts[part] = [by_stem[stem] for stem in stems]
    left = set(by_stem).difference(*splits.values())
    if not left:
        return parts, ()
    first = by_stem[min(left)].photo
    note = f"left out {len(left)} labelled photos, {first} the first: {splits_file} names them nowhere"
    return parts, (note,)


def gather_labelled(
    name: str,
    classes: ClassNames,
    parts: Mapping[str, Iterable[Drawn]],
    unlabelled: Iterable[Path],
    notes: tuple[str, ...] = (),
    legend_files: Iterable[Path] = (),
) -> LabelledPhotos:
    """Check that the parts share no photo, whatever it is called, and compute the digest.

    Raises:
        DataError: two parts share a photo, or there is none.
    """
    dealt = {
        part: tuple(LabelledPhoto(one.photo, one.labels_file, one.read_labels) for one in parts.get(part, ()))
        for part in SPLITS
    }
    if not any(dealt.values()):
        raise DataError(f"{name}: needed labelled photos, got none")
    photos = [one for part in SPLITS for one in dealt[part]]
    files = {file for one in photos for file in (one.photo, one.labels_file)} | set(legend_files)
    checksums = file_checksums(files)
    _require_disjoint(name, dealt, checksums)
    lines = [repr(classes), *(checksums[file] for file in legend_files)]
    for part in SPLITS:
        lines += [f"{part} {checksums[one.photo]} {checksums[one.labels_file]}" for one in dealt[part]]
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return LabelledPhotos(
        name=name, classes=classes, **dealt, unlabelled=tuple(unlabelled), digest=digest, notes=notes
    )


def file_checksums(files: Iterable[Path]) -> dict[Path, str]:
    """Return the SHA-256 of each file.

    Raises:
        DataError: one cannot be read.
    """
    ordered = sorted(files)
    try:
        with ThreadPoolExecutor() as pool:  # hashing lets other threads run
            return dict(zip(ordered, pool.map(checksum, ordered), strict=True))
    except OSError as error:
        why = reason(error)
        raise DataError(f"{error.filename}: cannot be read: {why}") from error


def _require_disjoint(
    name: str, parts: Mapping[str, tuple[LabelledPhoto, ...]], checksums: Mapping[Path, str]
) -> None:
    """Refuse parts that share a photo: what is learned by heart scores high and knows nothing."""
    seen: dict[str, tuple[str, Path]] = {}
    shared = []
    for part, photos in parts.items():
        for one in photos:
            other_part, other = seen.setdefault(checksums[one.photo], (part, one.photo))
            if other_part != part:
                shared.append(f"{other} of {other_part} and {one.photo} of {part}")
    if shared:
        found = f"{shared[0]} are the same ({len(shared)} such in all)"
        raise DataError(f"{name}: needed parts that share no photo, {found}; name each photo once")


def _draw(drawn: tuple[Drawn, ...], seed: int) -> dict[str, list[Drawn]]:
    """Draw a part to learn from and a part to choose by."""
    checksums = file_checksums(one.photo for one in drawn)
    different = sorted(
        set(checksums.values()), key=lambda sha256: hashlib.sha256(f"{seed}:{sha256}".encode()).hexdigest()
    )
    num_val = max(1, round(_VAL_FRAC * len(different))) if len(different) >= _FEWEST_TO_SPLIT else 0
    held_out = set(different[:num_val])
    parts: dict[str, list[Drawn]] = {part: [] for part in SPLITS}
    for one in drawn:
        parts["val" if checksums[one.photo] in held_out else "train"].append(one)
    return parts
