"""Paths of results, each claimed once and never an input's, and the results of many photos."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from pixelwise.errors import ConfigError, OutputError
from pixelwise.files import reason
from pixelwise.photos.find import (
    Failure,
    InputPhoto,
    caseless,
    count_subfolders,
    is_folder,
    kinds_left_alone,
    resolved,
)
from pixelwise.photos.formats import SUFFIXES
from pixelwise.photos.read_ahead import worked_ahead
from pixelwise.progress import progress


@dataclass(frozen=True, kw_only=True)
class PhotoResult:
    """One photo that was done."""

    paths: tuple[Path, ...]  # the files made of it: one, or one for each thing that was asked
    megapixels: float
    notes: tuple[str, ...]  # remarks for the user

    @property
    def path(self) -> Path:
        """The file made of it, or the first one."""
        return self.paths[0]

    @property
    def remarks(self) -> tuple[str, ...]:
        """All that is to be known of it by itself; among many photos some of it is only counted."""
        return self.notes


R = TypeVar("R", bound=PhotoResult)
T = TypeVar("T")
_logger = logging.getLogger(__name__)


@dataclass
class PhotoResults(Generic[R]):
    """The results of many photos."""

    written: list[R] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)  # on all photos together, beside the notes on each
    seconds: float = 0.0

    @property
    def megapixels(self) -> float:
        """Megapixels of all written photos together."""
        return sum(photo.megapixels for photo in self.written)

    def do(
        self,
        task: str,
        photos: Sequence[InputPhoto],
        begin: Callable[[InputPhoto], T],
        finish: Callable[[InputPhoto, T], R],
        outputs: OutputPaths,
    ) -> None:
        """Do each photo, showing progress on the `task`; log failures, and the notes on each at once.

        Another thread calls `begin` for a photo while the one before is finished: it must write nothing.
        """
        for failure in self.failed:  # inputs that are no photos
            _logger.error(failure.error)

        def tried(photo: InputPhoto) -> T | Exception:
            try:
                return begin(photo)
            except Exception as error:  # whatever one photo does to a library, the others go on
                return error

        begun = worked_ahead(tried, iter(photos), 1)
        with outputs.without_empty_folder(), closing(begun), progress(task, len(photos)) as advance:
            for photo, one in zip(photos, begun, strict=True):
                try:
                    with outputs.undone_on_failure(photo):
                        if isinstance(one, Exception):
                            raise one
                        result = finish(photo, one)
                except Exception as error:
                    failure = Failure.of(photo.path, error)
                    self.failed.append(failure)
                    _logger.error(failure.error)
                else:
                    self.written.append(result)
                    for note in result.notes:
                        _logger.warning(note)
                advance(1, photo.path.name)

    def add_remarks(self, inputs: list[str], out: Path, recursive: bool) -> None:
        """Add remarks on subfolders and files of other kinds that were left alone."""
        if self.written and (kinds := kinds_left_alone(inputs, recursive, leave_out=out)):
            self.remarks.append(f"left alone {kinds}")
        if not recursive and (num := count_subfolders(inputs, leave_out=out)):
            were = "subfolders were" if num > 1 else "subfolder was"
            self.remarks.append(f"{num} {were} left alone; --recursive takes subfolders in")


class OutputPaths:
    """Where results go, each name once, and never onto an input."""

    def __init__(self, out: Path, inputs: Iterable[Path], single_file: bool) -> None:
        self.out = out
        self.single_file = single_file
        self.inputs = {resolved(path) for path in inputs}
        self.claimed: dict[Path, Path] = {}  # files, resolved, and the photo that each is for
        self.spelled: dict[str, list[Path]] = {}  # both, by their names without case
        for path in self.inputs:
            self.spelled.setdefault(caseless(path), []).append(path)
        self.before: set[Path] = set()  # claimed files that were there before
        self.made: Path | None = None  # the folder, if it was not there before

    @staticmethod
    def prepare(
        out: Path,
        inputs: list[str],
        photos: Sequence[InputPhoto],
        writable: Collection[str],
        also_read: Sequence[Path] = (),
    ) -> OutputPaths:
        """Make the folder `out` for the results of `inputs`, which are these photos.

        That of a single photo may go to a file, in the format that its name asks for: `out` is one if it ends
        like a photo and is no folder. `also_read` is never written over. ConfigError where that format cannot
        be written, OutputError where `out` cannot be made.
        """
        single_file = False
        if len(photos) == 1 == len(inputs) and not is_folder(out) and out.suffix.lower() in SUFFIXES:
            if out.suffix.lower() not in writable:
                raise ConfigError(f"needed an output that ends in one of {', '.join(writable)}, got {out}")
            single_file = not is_folder(inputs[0])
        outputs = OutputPaths(out, [*(photo.path for photo in photos), *also_read], single_file)
        folder = out.parent if single_file else out
        try:
            if photos and not is_folder(folder):
                folder.mkdir(parents=True, exist_ok=True)
                outputs.made = folder
        except OSError as error:
            why = "it is a file" if isinstance(error, FileExistsError) else reason(error)
            raise OutputError(f"cannot write into {folder}: {why}; choose another folder with -o") from error
        return outputs

    def claim(self, photo: InputPhoto, ending: str) -> Path:
        """Return the path for a result of `photo` whose name ends in `ending`, and keep it for that.

        OutputError where another photo has the name already, or a file of that name is itself an input.
        """
        if self.single_file:
            path = self.out.with_name(self.out.stem + ending)
        else:
            path = self.out / photo.folder / (photo.path.stem + ending)
        own = self._as_known(resolved(path))
        if own in self.inputs:
            raise OutputError(f"{photo.path}: its result would replace the input {path}; choose another -o")
        if other := self.claimed.get(own):
            raise OutputError(
                f"{photo.path}: its result would be {path}, which {other} has taken; rename one of them"
            )
        self.claimed[own] = photo.path
        self.spelled.setdefault(caseless(own), []).append(own)
        if path.exists():
            self.before.add(own)
        return path

    def _as_known(self, path: Path) -> Path:
        """Return a path as it is spelled here, where the file system takes both spellings for one file."""
        for known in self.spelled.get(caseless(path), ()):
            with contextlib.suppress(OSError):  # there is no such file yet
                if known.samefile(path):
                    return known
        return path

    @contextlib.contextmanager
    def without_empty_folder(self) -> Iterator[None]:
        """Remove the folder afterwards, if it was made for results and there are none."""
        try:
            yield
        finally:
            if self.made:
                with contextlib.suppress(OSError):  # something is in it
                    self.made.rmdir()

    @contextlib.contextmanager
    def undone_on_failure(self, photo: InputPhoto) -> Iterator[None]:
        """Remove what was written for a photo that fails inside; files that were there before stay."""
        try:
            yield
        except BaseException:
            for path, owner in self.claimed.items():
                if owner == photo.path and path not in self.before:
                    with contextlib.suppress(OSError):  # most were never written
                        path.unlink()
            raise
