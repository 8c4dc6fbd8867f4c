"""Labelled photos as a data set: parts that share no photo, labels read when they are asked for."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from numpy import ndarray

from pixelwise.colour.arrays import UInt8
from pixelwise.errors import ConfigError, DataError
from pixelwise.files import checksum, reason
from pixelwise.labels.class_names import ClassNames
from pixelwise.photos.photo import upright_size

SPLITS = ("train", "val", "test")
HeldOut = Literal["test", "val"]
Part = Literal["test", "val", "all"]  # to score on; `all` is for heads that learned elsewhere


@dataclass(frozen=True)
class LabelledPhoto:
    """A photo, and where its labels come from."""

    photo: Path
    labels_file: Path  # COCO has one for all photos
    make_labels: Callable[[], UInt8[ndarray, "H W"]] = field(repr=False, compare=False)

    @property
    def stem(self) -> str:
        """Its file name without the suffix."""
        return self.photo.stem

    def read_labels(self) -> UInt8[ndarray, "H W"]:
        """Return the class of each pixel or IGNORE, as the photo is displayed and of its size.

        DataError where the file is missing or damaged, or its size is not the photo's; LabelError where a
        value in it means no class.
        """
        labels = self.make_labels()
        size = upright_size(self.photo)
        if labels.shape != size:
            needed = f"labels of the size that {self.photo} is displayed in, {size[1]} x {size[0]}"
            got = f"{labels.shape[1]} x {labels.shape[0]}; pixelwise check-labels says what to do"
            raise DataError(f"{self.labels_file}: needed {needed}, got {got}")
        return labels


@dataclass(frozen=True)
class LabelledPhotos:
    """Labelled photos in three parts that share none."""

    name: str  # of the source, such as `flowers17`
    classes: ClassNames
    train: tuple[LabelledPhoto, ...]
    val: tuple[LabelledPhoto, ...]  # to choose by; empty where there are too few
    test: tuple[LabelledPhoto, ...]  # to measure on at the end; empty unless the source names such a part
    unlabelled: tuple[Path, ...]
    digest: str  # SHA-256 of class names, and of photos and files of labels in each part
    notes: tuple[str, ...] = ()  # remarks for the user, such as photos left out

    @staticmethod
    def of(
        name: str,
        classes: ClassNames,
        parts: Mapping[str, Iterable[LabelledPhoto]],
        unlabelled: Iterable[Path],
        notes: tuple[str, ...] = (),
    ) -> LabelledPhotos:
        """Join parts and compute their digest; DataError where two share a photo, or there is none."""
        dealt = {part: tuple(parts.get(part, ())) for part in SPLITS}
        if not any(dealt.values()):
            raise DataError(f"{name}: needed labelled photos, got none")
        files = {file for part in dealt.values() for shot in part for file in (shot.photo, shot.labels_file)}
        checksums, lines = file_checksums(files), [repr(classes)]
        seen: dict[str, tuple[str, Path]] = {}
        shared = []  # by two parts: what is learned by heart scores high and knows nothing
        for part, photos in dealt.items():
            for shot in photos:
                sha256 = checksums[shot.photo]
                lines.append(f"{part} {sha256} {checksums[shot.labels_file]}")
                other_part, other = seen.setdefault(sha256, (part, shot.photo))
                if other_part != part:
                    shared.append(f"{other} of {other_part} and {shot.photo} of {part}")
        if shared:
            found = f"{shared[0]} are the same ({len(shared)} such in all)"
            raise DataError(f"{name}: needed parts that share no photo, {found}; name each photo once")
        digest, others = hashlib.sha256("\n".join(lines).encode()).hexdigest(), tuple(unlabelled)
        return LabelledPhotos(name, classes, **dealt, unlabelled=others, digest=digest, notes=notes)

    @property
    def labelled(self) -> tuple[LabelledPhoto, ...]:
        """All parts together."""
        return self.train + self.val + self.test

    def held_out(self) -> tuple[HeldOut, tuple[LabelledPhoto, ...]]:
        """Return the part to score on, `test` or else `val`, and its photos; there may be none."""
        return ("test", self.test) if self.test else ("val", self.val)

    def require_held_out(self, part: HeldOut | None = None) -> tuple[HeldOut, tuple[LabelledPhoto, ...]]:
        """Return the named part, or the one to score on, and its photos; ConfigError if there are none."""
        name, photos = (part, getattr(self, part)) if part else self.held_out()
        if photos:
            return name, photos
        where = f" in the part {part}" if part else ""
        needed = f"labelled photos that are not learned from{where}, to score on"
        raise ConfigError(f"{self.name} needs {needed}; label at least 5, or name the parts in splits.json")


def deal(
    photos: Iterable[LabelledPhoto], splits: Mapping[str, Collection[str]], splits_file: Path
) -> tuple[dict[str, list[LabelledPhoto]], tuple[str, ...]]:
    """Return the photos of each part, and a note on the others; DataError of a stem that is none or twice."""
    by_stem = {photo.stem: photo for photo in photos}
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


def file_checksums(files: Iterable[Path]) -> dict[Path, str]:
    """Return the SHA-256 of each file; DataError where one cannot be read."""
    ordered = sorted(files)
    try:
        with ThreadPoolExecutor() as pool:  # hashing lets other threads run
            return dict(zip(ordered, pool.map(checksum, ordered), strict=True))
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read: {reason(error)}") from error
