"""Which photos a command means: files, folders and patterns, and where each one's result goes."""

from __future__ import annotations

import contextlib
import glob
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pixelwise.errors import OutputError, PixelwiseError, is_of_memory
from pixelwise.files import reason
from pixelwise.photos.formats import SUFFIXES


@dataclass(frozen=True)
class Failure:
    """One input that gave no result, and why."""

    path: Path
    error: str

    @classmethod
    def of(cls, path: Path, error: Exception) -> Failure:
        """What went wrong with one photo in a sentence that names it, whatever a library raised."""
        if isinstance(error, PixelwiseError):
            return cls(path, str(error))
        if is_of_memory(error):
            return cls(path, f"{path}: needed more memory than there is")
        if isinstance(error, OSError):
            return cls(path, f"{path}: {reason(error)}")
        return cls(path, f"{path}: could not be done: {type(error).__name__}: {error}")


@dataclass(frozen=True)
class Found:
    """One photo to read."""

    path: Path
    folder: Path
    """Where its result goes below the output folder: a recursive search keeps the folders it walked."""


def find_photos(
    inputs: list[str], recursive: bool = False, leave_out: Path | None = None
) -> tuple[list[Found], list[Failure]]:
    """The photos that `inputs` name, each once; inputs that name none, and folders that cannot be searched.

    An input is a file of any name, a folder (its photos by suffix; with `recursive` its subfolders, too)
    or a pattern such as `scans/*.tif`. Below folders `leave_out` is passed over, and links to folders are not
    followed, so that a loop of links ends.
    """
    found: dict[Path, Found] = {}
    failures: list[Failure] = []
    for given in inputs:
        photos, failed = _expand(given, recursive, leave_out)
        failures += failed
        for one in photos:
            found.setdefault(_identity(one.path), one)
    return list(found.values()), failures


def count_subfolders(inputs: list[str], leave_out: Path | None = None) -> int:
    """How many folders `find_photos` passes over without `recursive`: those directly below folders given.

    Not counted are those that it never looks into, `leave_out` and links, those given themselves, and hidden
    ones, in which people seldom keep photos.
    """
    tops = {_identity(Path(given)) for given in inputs if is_folder(given)}
    below = {
        top / name for top in tops for _, names, _ in itertools.islice(os.walk(top), 1) for name in names
    }
    seen = {one for one in below if not one.name.startswith(".") and not one.is_symlink()}
    return len(seen - tops - ({_identity(leave_out)} if leave_out is not None else set()))


def is_folder(path: str | Path) -> bool:
    """Whether this is a folder; no, where its name is too long or a folder above it is closed to us."""
    return os.path.isdir(path)  # noqa: PTH112 - pathlib raises there


def _expand(given: str, recursive: bool, leave_out: Path | None) -> tuple[list[Found], list[Failure]]:
    """What one input names, and what kept more from being found."""
    if is_folder(given):
        return _walk(Path(given), recursive, leave_out)
    if os.path.lexists(given) or not glob.has_magic(given):
        return [Found(Path(given), Path())], []
    matches = sorted(glob.glob(given, recursive=True))  # noqa: PTH207 - may be absolute
    files = [Found(Path(match), Path()) for match in matches if not is_folder(match)]
    return files, [] if files else [_no_match(given)]


def _no_match(pattern: str) -> Failure:
    """Why a pattern names no photo: its folder may be closed, which `glob` does not tell."""
    parts = Path(pattern).parts
    plain = list(itertools.takewhile(lambda part: not glob.has_magic(part), parts))
    try:
        os.scandir(Path(*plain)).close()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        return _closed(error, Path(*plain))
    return Failure(Path(pattern), f"{pattern}: needed photos, but no file matches this pattern")


def _closed(error: OSError, folder: Path) -> Failure:
    return Failure(folder, f"{folder}: cannot be searched: {reason(error)}")


def _walk(top: Path, recursive: bool, leave_out: Path | None) -> tuple[list[Found], list[Failure]]:
    failures: list[Failure] = []
    files = walk_files(top, recursive, leave_out, failures.append)
    photos = [one for one in files if one.path.suffix.lower() in SUFFIXES]
    if not photos and not failures:
        further = "" if recursive else "; look into its subfolders with --recursive"
        failures = [Failure(top, f"{top}: needed photos in this folder, found none{further}")]
    return photos, failures


def walk_files(
    top: Path, recursive: bool, leave_out: Path | None, tell: Callable[[Failure], None]
) -> Iterator[Found]:
    """The files of a folder that are not hidden, in the order of their names, one folder after another.

    No more than a folder is held at once. `tell` is called with each folder that cannot be searched.
    """
    skipped = _identity(leave_out) if leave_out is not None else None
    for place, folders, files in os.walk(
        top, onerror=lambda error: tell(_closed(error, Path(error.filename)))
    ):
        here = Path(place)
        folders[:] = sorted(f for f in folders if recursive and _identity(here / f) != skipped)
        for file in sorted(files):
            if not file.startswith("."):
                yield Found(here / file, here.relative_to(top))


def _identity(path: Path) -> Path:
    """The same for two names of one file."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # a loop of links; opening it will say so
        return path.absolute()


class Targets:
    """Where results go, each name once, and never onto an input."""

    def __init__(self, out: Path, inputs: Iterable[Path], single_file: bool) -> None:
        self.out = out
        self.single_file = single_file
        self.inputs = {_identity(path) for path in inputs}
        self.taken: dict[Path, Path] = {}
        self.replaced: set[Path] = set()
        """Targets of whose name there was a file before."""
        self.before: set[Path] = set()
        """The same, each by its identity."""

    def claim(self, photo: Found, ending: str) -> Path:
        """The path for a result of `photo` whose name ends in `ending`, kept for it.

        Raises:
            OutputError: another input has this name already, or a file of that name is itself an input.
        """
        target = self._named(photo, ending)
        identity = _identity(target)
        if identity in self.inputs:
            raise OutputError(f"{photo.path}: its result would replace the input {target}; choose another -o")
        if other := self.taken.get(identity):
            raise OutputError(
                f"{photo.path}: its result would be {target}, which {other} has taken; rename one of them"
            )
        self.taken[identity] = photo.path
        if target.exists():
            self.replaced.add(target)
            self.before.add(identity)
        return target

    def _named(self, photo: Found, ending: str) -> Path:
        if self.single_file:
            return self.out.with_name(self.out.stem + ending)
        return self.out / photo.folder / (photo.path.stem + ending)

    def undo(self, photo: Found) -> None:
        """Remove what was written for a photo that failed; what was there before stays as it is now."""
        for target, owner in self.taken.items():
            if owner == photo.path and target not in self.before:
                with contextlib.suppress(OSError):  # most were never written
                    target.unlink()

    def beside(self, photo: Found, ending: str) -> Path | None:
        """A file named like a result of `photo` that ends in `ending`, if there is one that nothing claimed.

        A file of that name that is itself an input, or the result for one, is none.
        """
        named = self._named(photo, ending)
        if not os.path.isfile(named):  # noqa: PTH113 - pathlib raises where the name is too long
            return None
        identity = _identity(named)
        return None if identity in self.inputs or identity in self.taken else named
