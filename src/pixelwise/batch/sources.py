"""What a source means: folders, patterns, lists of paths, Parquet and WebDataset tars, item by item.

Nothing is read of a photo yet, and no more than a folder, a list's line or a few rows are held at once.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from pixelwise.batch.archives import parquet_items, tar_items
from pixelwise.batch.item import Item
from pixelwise.batch.names import Names, below, shown
from pixelwise.errors import DataError
from pixelwise.files import reason
from pixelwise.photos.find import Failure, is_folder, walk_files
from pixelwise.photos.formats import SUFFIXES

_LISTS, _PARQUET, _TARS = (".txt", ".lst"), (".parquet",), (".tar",)
_PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".zip")


def items(sources: Sequence[str], out: Path, column: str = "") -> Iterator[Item]:
    """Every input of a batch, in an order that does not change, each with an output of its own.

    `out` is passed over in folders. `column` names the column of Parquet files that holds the photos.

    Raises:
        DataError: a source is not there, names no photo, or is of a kind that cannot be read.
        ConfigError: which column holds the photos is not clear.
    """
    names = Names()
    for source in sources:
        num = 0
        for item in _of(source, out, column, names):
            num += 1
            yield item
        if not num:
            raise DataError(
                f"{source}: needed photos, found none; give a folder, list, Parquet or tar of them"
            )


def _of(source: str, out: Path, column: str, names: Names) -> Iterator[Item]:
    if is_folder(source):
        yield from _folder(Path(source), out, column, names)
    elif os.path.lexists(source):
        yield from _file(Path(source), column, names)
    elif glob.has_magic(source):
        for path in sorted(glob.glob(source, recursive=True)):  # noqa: PTH207 - may be absolute
            if not is_folder(path):
                yield from _file(Path(path), column, names)
    else:
        raise DataError(f"{source}: needed a folder, list, Parquet, tar or photo, and there is no such file")


def _folder(top: Path, out: Path, column: str, names: Names) -> Iterator[Item]:
    """Its photos, with those of its subfolders; of a folder without any, what its archives hold."""
    closed: list[Failure] = []
    archives, num = [], 0
    for found in walk_files(top, True, out, closed.append):
        suffix = found.path.suffix.lower()
        if suffix in SUFFIXES:
            num += 1
            yield _photo(found.path, names.give(str(found.folder / found.path.name)))
        elif suffix in (*_PARQUET, *_TARS):
            archives.append(found.path)
    if not num:
        for path in archives:
            yield from _file(path, column, names)
    for failure in closed:
        yield _refused(failure.path, failure.error, names)


def _file(path: Path, column: str, names: Names) -> Iterator[Item]:
    if path.name.lower().endswith(_PACKED):
        raise DataError(f"{path}: is compressed, and needed a plain .tar; unpack it first")
    suffix = path.suffix.lower()
    if suffix in _LISTS:
        yield from _list(path, names)
    elif suffix in _PARQUET:
        yield from parquet_items(path, column, names)
    elif suffix in _TARS:
        yield from tar_items(path, names)
    else:
        yield _photo(path, names.give(path.name))


def _list(path: Path, names: Names) -> Iterator[Item]:
    """A path a line; those that are relative begin where the list lies."""
    folder = os.path.abspath(path.parent)  # noqa: PTH100 - links in it stay links
    try:
        with path.open(encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                if named := line.rstrip("\r\n"):
                    photo = os.path.join(folder, named)  # noqa: PTH118 - bytes that are no UTF-8 stay
                    yield _photo(Path(photo), names.give(below(photo, folder)))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {reason(error)}") from error


def _photo(path: Path, target: str) -> Item:
    whole = os.path.abspath(path)  # noqa: PTH100 - links in it stay links
    return Item(name=shown(whole), path=whole, target=target)


def _refused(path: Path, why: str, names: Names) -> Item:
    item = _photo(path, names.give(path.name))
    return Item(name=item.name, path=item.path, target=item.target, refused=shown(why))
