"""The photos that a command means: files, folders and patterns; and the reason why one failed."""

from __future__ import annotations

import glob
import itertools
import os
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pixelwise.errors import PixelwiseError, is_of_memory
from pixelwise.files import reason
from pixelwise.photos.formats import SUFFIXES

_MOST_KINDS = 6  # that are named


@dataclass(frozen=True)
class Failure:
    """One input that gave no result, and why."""

    path: Path
    error: str

    @classmethod
    def of(cls, path: Path, error: Exception) -> Failure:
        """Say in a sentence that names the photo what went wrong, whatever a library raised."""
        if isinstance(error, PixelwiseError):
            return cls(path, str(error))
        if is_of_memory(error):
            return cls(path, f"{path}: needed more memory than there is")
        if isinstance(error, OSError):
            return cls(path, f"{path}: {reason(error)}")
        return cls(path, f"{path}: could not be done: {type(error).__name__}: {error}")


@dataclass(frozen=True)
class InputPhoto:
    """One photo to read."""

    path: Path
    folder: Path = Path()  # of its result below the output folder: a recursive search keeps those it walked


def find_photos(
    inputs: list[str], recursive: bool = False, leave_out: Path | None = None
) -> tuple[list[InputPhoto], list[Failure]]:
    """Find the photos that `inputs` name, each once; also give the inputs and folders where that failed.

    An input is a file of any name, a folder (its photos by suffix; with `recursive` its subfolders, too)
    or a pattern such as `scans/*.tif`. Below folders `leave_out` is passed over, and links to folders are not
    followed, so that a loop of links ends.
    """
    found: dict[tuple[str, int], InputPhoto] = {}
    failures: list[Failure] = []
    for given in inputs:
        path, error = Path(given), ""
        num_failures = len(failures)
        if is_folder(path):
            files = walk_files(path, recursive, leave_out, failures)
            photos = [file for file in files if file.path.suffix.lower() in SUFFIXES]
            if not photos:
                deeper = not recursive and count_subfolders([given], leave_out)
                further = "; look into its subfolders with --recursive" if deeper else ""
                kinds = kinds_left_alone([given], recursive, leave_out)
                but = f", but {kinds}" if kinds else ""
                error = f"{path}: needed photos in this folder, found none{but}{further}"
        elif os.path.lexists(path) or not glob.has_magic(given):
            photos = [InputPhoto(path)]
        else:
            matches = sorted(glob.glob(given, recursive=True))  # noqa: PTH207 - may be absolute
            photos = [InputPhoto(Path(match)) for match in matches if not is_folder(match)]
            error = f"{path}: needed photos, but no file matches this pattern"
            if not photos:  # the folder may be closed, which `glob` keeps to itself
                fixed = itertools.takewhile(lambda part: not glob.has_magic(part), path.parts)
                list(walk_files(Path(*fixed), False, None, failures))
        if not photos and len(failures) == num_failures:
            failures.append(Failure(path, error))
        for photo in photos:
            found.setdefault(_identity(photo.path), photo)
    return list(found.values()), failures


def _identity(path: Path) -> tuple[str, int]:
    """Return what all spellings of one file share; a link beside its photo is a photo of its own."""
    place = resolved(path.parent) / path.name
    try:
        return caseless(place), place.lstat().st_ino
    except OSError:  # opening it will say so
        return str(place), 0


def caseless(path: Path) -> str:
    """Return what is equal of all spellings that some file system takes for one: macOS, Windows, cards."""
    return unicodedata.normalize("NFC", str(path)).casefold()


def walk_files(
    top: Path, recursive: bool, leave_out: Path | None, failures: list[Failure]
) -> Iterator[InputPhoto]:
    """Yield the files of a folder that are not hidden, by name, one folder after another.

    No more than a folder is held at once. Folders that cannot be searched are added to `failures`.
    """
    skipped = resolved(leave_out) if leave_out is not None else None

    def add_failure(error: OSError) -> None:
        folder = Path(error.filename)
        failures.append(Failure(folder, f"{folder}: cannot be searched: {reason(error)}"))

    for place, folders, files in os.walk(top, onerror=add_failure):
        here = Path(place)
        folders[:] = sorted(f for f in folders if recursive and resolved(here / f) != skipped)
        for file in sorted(files):
            if not file.startswith("."):
                yield InputPhoto(here / file, here.relative_to(top))


def count_subfolders(inputs: list[str], leave_out: Path | None = None) -> int:
    """Count the folders directly below those given, which `find_photos` passes over without `recursive`.

    Not counted are `leave_out`, links, folders given themselves, and hidden ones.
    """
    tops = {resolved(Path(given)) for given in inputs if is_folder(given)}
    below = {path for top in tops for path in top.glob("[!.]*/") if not path.is_symlink()}
    return len(below - tops - ({resolved(leave_out)} if leave_out is not None else set()))


def kinds_left_alone(inputs: list[str], recursive: bool, leave_out: Path | None = None) -> str:
    """Say how many files of other kinds lie in folders given, and of which; nothing where there are none."""
    files = [
        file.path.suffix.lower() or "without suffix"
        for given in inputs
        if is_folder(given)
        for file in walk_files(Path(given), recursive, leave_out, [])
        if file.path.suffix.lower() not in SUFFIXES
    ]
    kinds = [kind for kind, _ in Counter(files).most_common()]
    named = ", ".join(kinds[:_MOST_KINDS]) + (", ..." if len(kinds) > _MOST_KINDS else "")
    return f"{len(files)} file{'s' if len(files) > 1 else ''} of other kinds: {named}" if files else ""


def is_folder(path: str | Path) -> bool:
    """Return whether this is a folder; no, where its name is too long or a folder above it is closed."""
    return os.path.isdir(path)  # noqa: PTH112 - pathlib raises there


def resolved(path: Path) -> Path:
    """Return the same path for two names of one file."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # a loop of links; opening it will say so
        return path.absolute()
