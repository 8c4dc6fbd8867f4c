"""Which photos a command means: files, folders and patterns, and where each one's result goes."""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass
from pathlib import Path

from pixelwise.data.formats import SUFFIXES
from pixelwise.errors import OutputError, PhotoError


@dataclass(frozen=True)
class Failure:
    """One input that gave no result, and why."""

    path: Path
    error: str


@dataclass(frozen=True)
class Found:
    """One photo to read."""

    path: Path
    folder: Path
    """Where its result goes below the output folder: a recursive search keeps the folders it walked."""


def find_photos(
    inputs: list[str], recursive: bool = False, leave_out: Path | None = None
) -> tuple[list[Found], list[Failure]]:
    """The photos that `inputs` name, each once, and the inputs that name none.

    An input is a file of any name, a folder (its photos by suffix; with `recursive` its subfolders, too)
    or a pattern such as `scans/*.tif`. Below folders `leave_out` is passed over, and links to folders are not
    followed, so that a loop of links ends.
    """
    found: dict[Path, Found] = {}
    failures = []
    for given in inputs:
        try:
            for one in _expand(given, recursive, leave_out):
                found.setdefault(_identity(one.path), one)
        except PhotoError as error:
            failures.append(Failure(Path(given), str(error)))
    return list(found.values()), failures


def _expand(given: str, recursive: bool, leave_out: Path | None) -> list[Found]:
    """What one input names.

    Raises:
        PhotoError: it is a folder or a pattern, and no photo is in it.
    """
    path = Path(given)
    if path.is_dir():
        photos = _walk(path, recursive, leave_out)
        if not photos:
            further = "" if recursive else "; look into its subfolders with --recursive"
            raise PhotoError(f"{path}: needed photos in this folder, found none{further}")
        return photos
    if not os.path.lexists(path) and glob.has_magic(given):
        matches = [Path(match) for match in sorted(glob.glob(given, recursive=True))]  # noqa: PTH207 - may be absolute
        files = [match for match in matches if not match.is_dir()]
        if not files:
            raise PhotoError(f"{given}: needed photos, but no file matches this pattern")
        return [Found(file, Path()) for file in files]
    return [Found(path, Path())]


def _walk(top: Path, recursive: bool, leave_out: Path | None) -> list[Found]:
    skipped = leave_out.resolve() if leave_out is not None else None
    photos = []
    for place, folders, files in os.walk(top):
        here = Path(place)
        folders[:] = sorted(f for f in folders if recursive and (here / f).resolve() != skipped)
        photos += [
            Found(here / file, here.relative_to(top))
            for file in sorted(files)
            if Path(file).suffix.lower() in SUFFIXES and not file.startswith(".")
        ]
    return photos


def _identity(path: Path) -> Path:
    """The same for two names of one file."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # a loop of links; opening it will say so
        return path.absolute()


class Targets:
    """Where results go, each name once, and never onto an input."""

    def __init__(self, out: Path, photos: list[Found], single_file: bool) -> None:
        self.out = out
        self.single_file = single_file
        self.inputs = {_identity(photo.path) for photo in photos}
        self.taken: dict[Path, Path] = {}

    def claim(self, photo: Found, ending: str) -> Path:
        """The path for a result of `photo` whose name ends in `ending`, kept for it.

        Raises:
            OutputError: another input has this name already, or a file of that name is itself an input.
        """
        target = self.out if self.single_file else self.out / photo.folder / (photo.path.stem + ending)
        if self.single_file and ending != target.suffix:
            target = target.with_name(target.stem + ending)
        identity = _identity(target)
        if identity in self.inputs:
            raise OutputError(f"{photo.path}: its result would replace the input {target}; choose another -o")
        if other := self.taken.get(identity):
            raise OutputError(
                f"{photo.path}: its result would be {target}, which {other} has taken; rename one of them"
            )
        self.taken[identity] = photo.path
        return target
