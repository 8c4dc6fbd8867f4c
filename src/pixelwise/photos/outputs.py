"""Paths of results, each claimed once and never an input's, and the results of many photos."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, TypeVar

from pixelwise.errors import ConfigError, OutputError
from pixelwise.files import reason
from pixelwise.photos.find import Failure, InputPhoto, count_subfolders, is_folder, resolved
from pixelwise.photos.formats import SUFFIXES


@dataclass(frozen=True, kw_only=True)
class PhotoResult:
    """One photo that was done."""

    paths: tuple[Path, ...]
    """The files made of it: one, or one for each thing that was asked."""
    megapixels: float
    notes: tuple[str, ...]
    """Remarks for the user."""
    replaced: tuple[Path, ...] = ()
    """Those of `paths` where there was a file before."""
    removed: tuple[Path, ...] = ()
    """Files beside those that an earlier run had left and this one does not make."""
    stayed: tuple[Path, ...] = ()
    """Files that may be an earlier run's, and were left."""

    @property
    def path(self) -> Path:
        """The file made of it, or the first one."""
        return self.paths[0]


R = TypeVar("R", bound=PhotoResult)


@dataclass
class PhotoResults(Generic[R]):
    """The results of many photos."""

    written: list[R] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    """Remarks on all photos together, beside the notes on single ones."""
    seconds: float = 0.0

    @property
    def megapixels(self) -> float:
        """Megapixels of all written photos together."""
        return sum(one.megapixels for one in self.written)

    def add(self, one: R | Failure, on_result: Callable[[R | Failure], None]) -> None:
        """Count a result or a failure, and call `on_result` with it."""
        if isinstance(one, Failure):
            self.failed.append(one)
        else:
            self.written.append(one)
        on_result(one)

    def add_remarks(self, inputs: list[str], out: Path, recursive: bool) -> None:
        """Add remarks on files of earlier runs that stayed, and on subfolders that were left alone."""
        if stayed := [path for one in self.written for path in one.stayed]:
            files = "a file" if len(stayed) == 1 else f"{len(stayed)} files"
            such = f"{stayed[0]}" if len(stayed) == 1 else f"such as {stayed[0]}"
            self.remarks.append(f"{files} beside the results may be of an earlier run and stayed: {such}")
        if not recursive and (num := count_subfolders(inputs, leave_out=out)):
            were = "subfolders were" if num > 1 else "subfolder was"
            self.remarks.append(f"{num} {were} left alone; --recursive takes subfolders in")


class OutputPaths:
    """Where results go, each name once, and never onto an input."""

    def __init__(self, out: Path, inputs: Iterable[Path], single_file: bool) -> None:
        self.out = out
        self.single_file = single_file
        self.inputs = {resolved(path) for path in inputs}
        self.taken: dict[Path, Path] = {}
        """Claimed files, resolved, and the photo that each is for."""
        self.before: set[Path] = set()
        """Those that were there before, resolved."""

    @staticmethod
    def prepare(
        out: Path,
        inputs: list[str],
        photos: Sequence[InputPhoto],
        writable: Collection[str],
        also_read: Sequence[Path] = (),
    ) -> OutputPaths:
        """Make the folder for the results of `inputs`, which are these photos.

        They go into the folder `out`. That of a single photo may go to a file, in the format that its name
        asks for: `out` is one if it ends like a photo and is no folder. `also_read` is never written over.

        Raises:
            ConfigError: `out` is a file of a format that cannot be written.
            OutputError: `out` cannot be a folder or cannot be written to.
        """
        single_file = False
        if len(photos) == 1 == len(inputs) and not is_folder(out) and out.suffix.lower() in SUFFIXES:
            if out.suffix.lower() not in writable:
                raise ConfigError(f"needed an output that ends in one of {', '.join(writable)}, got {out}")
            single_file = not is_folder(inputs[0])
        folder = out.parent if single_file else out
        try:
            if photos:
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            is_file = isinstance(error, FileExistsError)
            why = "it is a file" if is_file else reason(error)
            raise OutputError(f"cannot write into {folder}: {why}; choose another folder with -o") from error
        return OutputPaths(out, [*(photo.path for photo in photos), *also_read], single_file)

    def claim(self, photo: InputPhoto, ending: str) -> Path:
        """Return the path for a result of `photo` whose name ends in `ending`, and keep it for that.

        Raises:
            OutputError: another input has this name already, or a file of that name is itself an input.
        """
        path = self._named(photo, ending)
        own = resolved(path)
        if own in self.inputs:
            raise OutputError(f"{photo.path}: its result would replace the input {path}; choose another -o")
        if other := self.taken.get(own):
            raise OutputError(
                f"{photo.path}: its result would be {path}, which {other} has taken; rename one of them"
            )
        self.taken[own] = photo.path
        if path.exists():
            self.before.add(own)
        return path

    def _named(self, photo: InputPhoto, ending: str) -> Path:
        if self.single_file:
            return self.out.with_name(self.out.stem + ending)
        return self.out / photo.folder / (photo.path.stem + ending)

    @contextlib.contextmanager
    def undone_on_failure(self, photo: InputPhoto) -> Iterator[None]:
        """Remove what was written for a photo that fails inside; what was there before stays as it is now."""
        try:
            yield
        except BaseException:
            for path, owner in self.taken.items():
                if owner == photo.path and path not in self.before:
                    with contextlib.suppress(OSError):  # most were never written
                        path.unlink()
            raise

    def tidied(
        self,
        photo: InputPhoto,
        result: R,
        outdated: Iterable[str],
        ours: Callable[[Path], bool] = lambda _path: True,
    ) -> R:
        """Return a result with what became of files that an earlier run may have left of the photo.

        `outdated` are the endings of their names. Where this result replaces an earlier one, those that are
        surely `ours` are removed; all others stay.
        """
        left = [path for ending in outdated if self._is_free(path := self._named(photo, ending))]
        mine = [path for path in left if ours(path)]
        replaced = tuple(path for path in result.paths if resolved(path) in self.before)
        if not replaced:  # this is no run over an earlier one: names alone make nothing outdated
            return replace(result, stayed=tuple(mine))
        removed = []
        for path in mine:
            with contextlib.suppress(OSError):  # results are there all the same
                path.unlink()
                removed.append(path)
        stayed = tuple(path for path in left if path not in removed)
        return replace(result, replaced=replaced, removed=tuple(removed), stayed=stayed)

    def _is_free(self, path: Path) -> bool:
        """Return whether a file is there that is neither an input nor a result."""
        if not os.path.isfile(path):  # noqa: PTH113 - pathlib raises where the name is too long
            return False
        own = resolved(path)
        return own not in self.inputs and own not in self.taken
