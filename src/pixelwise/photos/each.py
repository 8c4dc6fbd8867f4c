"""One piece of work for each photo that a command means: found, named, counted; what fails is told of."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, TypeVar

from pixelwise.errors import ConfigError, OutputError
from pixelwise.files import reason
from pixelwise.photos.find import Failure, Found, Targets, count_subfolders, find_photos, is_folder
from pixelwise.photos.formats import SUFFIXES
from pixelwise.progress import progress


@dataclass(frozen=True, kw_only=True)
class Done:
    """One photo that was done."""

    paths: tuple[Path, ...]
    """What was made of it: one file, or one for each thing that was asked."""
    megapixels: float
    notes: tuple[str, ...]
    """Remarks for the user."""
    replaced: tuple[Path, ...] = ()
    """Those of `paths` where there was a file before."""
    removed: tuple[Path, ...] = ()
    """What an earlier run had left beside those, and that was not this one's."""
    stayed: tuple[Path, ...] = ()
    """What may be an earlier run's, and was left where it is."""

    @property
    def path(self) -> Path:
        """What was made of it, or the first of that."""
        return self.paths[0]


D = TypeVar("D", bound=Done)


@dataclass
class Batch(Generic[D]):
    """What came of many photos."""

    written: list[D] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    """What is to be known of the batch, beside the notes on single photos."""
    seconds: float = 0.0

    @property
    def megapixels(self) -> float:
        """Of all written photos together."""
        return sum(one.megapixels for one in self.written)


@dataclass(frozen=True, kw_only=True)
class Work(Generic[D]):
    """What is done with each photo."""

    name: str
    """As progress calls it: colouring."""
    do: Callable[[Found, Targets], D]
    """Claims its targets and writes them."""
    writable: Collection[str]
    """Suffixes of the files that it can write."""
    outdated: tuple[str, ...] = ()
    """How the names end of files that an earlier run may have left of a photo, and that this one will not
    make: they go when a result for it is replaced, and are told of otherwise."""
    ours: Callable[[Path], bool] = lambda _path: True
    """Whether such a file is surely an earlier run's: others stay."""
    reads: tuple[Path, ...] = ()
    """What is read beside the photos, and so never written over either."""


def each_photo(
    inputs: list[str],
    out: Path,
    work: Work[D],
    result: Batch[D],
    recursive: bool,
    tell: Callable[[D | Failure], None],
) -> None:
    """Do the work for files, folders and patterns of files, and count in `result`; what fails is named there.

    Results go into the folder `out`. That of a single photo may go to a file, in the format that its name
    asks for: `out` is one if it ends like a photo and is no folder. `tell` is called with each photo as soon
    as it is done or has failed.

    Raises:
        ConfigError: `out` is a file of a format that cannot be written.
        OutputError: `out` cannot be a folder or cannot be written to.
    """
    start_s = time.perf_counter()
    photos, unfound = find_photos(inputs, recursive, leave_out=out)
    single_file = len(photos) == 1 == len(inputs) and _names_file(out, work) and not is_folder(inputs[0])
    if photos:
        _make_folder(out.parent if single_file else out)
    targets = Targets(out, [*(photo.path for photo in photos), *work.reads], single_file)
    with progress(work.name, len(photos)) as advance:
        for failure in unfound:
            result.failed.append(failure)
            tell(failure)
        for found in photos:
            done = _try(found, targets, work)
            if isinstance(done, Failure):
                result.failed.append(done)
            else:
                result.written.append(done)
            tell(done)
            advance(1, found.path.name)
    if stayed := [path for one in result.written for path in one.stayed]:
        files = "a file" if len(stayed) == 1 else f"{len(stayed)} files"
        such = f"{stayed[0]}" if len(stayed) == 1 else f"such as {stayed[0]}"
        result.remarks.append(f"{files} beside the results may be of an earlier run and stayed: {such}")
    if not recursive and (num := count_subfolders(inputs, leave_out=out)):
        were = "subfolders were" if num > 1 else "subfolder was"
        result.remarks.append(f"{num} {were} left alone; --recursive takes subfolders in")
    result.seconds = time.perf_counter() - start_s


def require_limit(max_megapixels: float) -> None:
    """Refuse a limit that no photo keeps.

    Raises:
        ConfigError: it is not above 0.
    """
    if not max_megapixels > 0:  # NaN is not, either
        raise ConfigError(f"max-megapixels needs to be above 0, got {max_megapixels:g}")


def _try(found: Found, targets: Targets, work: Work[D]) -> D | Failure:
    try:
        done = work.do(found, targets)
    except BaseException as error:
        targets.undo(found)
        if isinstance(error, Exception):  # whatever one photo does to a library, the others are done
            return Failure.of(found.path, error)
        raise
    replaced = tuple(path for path in done.paths if path in targets.replaced)
    beside = [targets.beside(found, ending) for ending in work.outdated]
    left = [one for one in beside if one is not None]
    ours = [one for one in left if work.ours(one)]
    if not replaced:  # this is no run over an earlier one: names alone make nothing outdated
        return replace(done, stayed=tuple(ours))
    removed = tuple(one for one in ours if _removed(one))
    stayed = tuple(one for one in left if one not in removed)
    return replace(done, replaced=replaced, removed=removed, stayed=stayed)


def _removed(path: Path) -> bool:
    """Remove a file; whether that could be done, since results are there all the same."""
    try:
        path.unlink()
    except OSError:
        return False
    return True


def _names_file(out: Path, work: Work[D]) -> bool:
    """Whether `out` means a file.

    Raises:
        ConfigError: it does, of a format that cannot be written.
    """
    if is_folder(out) or out.suffix.lower() not in SUFFIXES:
        return False
    if out.suffix.lower() not in work.writable:
        endings = ", ".join(work.writable)
        raise ConfigError(f"needed an output that ends in one of {endings}, got {out}")
    return True


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = "it is a file" if isinstance(error, FileExistsError) else reason(error)
        raise OutputError(f"cannot write into {folder}: {why}; choose another folder with -o") from error
