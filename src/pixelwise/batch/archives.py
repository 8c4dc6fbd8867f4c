"""Photos inside other files: rows of Parquet, members of WebDataset tars. Nothing is ever unpacked by name.

Names from inside an archive are names only: bytes are copied to a file that we call, and outputs go where
`names.Names` says. Links, devices and names that climb out are set aside, each with its reason.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from pixelwise.batch.item import Item
from pixelwise.batch.names import Names, below, hostile, shown
from pixelwise.errors import ConfigError, DataError, PhotoError
from pixelwise.photos.formats import SUFFIXES

_ROWS_AT_ONCE = 16  # of photos' bytes
_PATHS_AT_ONCE = 4096
_PIECE_BYTES = 2**20


def tar_items(path: Path, names: Names) -> Iterator[Item]:
    """The photos of a WebDataset tar: its members whose names end like photos'.

    Raises:
        DataError: the file is no plain tar.
    """
    whole = os.path.abspath(path)  # noqa: PTH100 - links in it stay links
    try:
        with tarfile.open(path, "r:", errorlevel=1) as tar:
            about = path.stat()
            try:
                while (member := tar.next()) is not None:
                    tar.members.clear()  # type: ignore[attr-defined] # the stubs lack it; else all are held
                    if PurePosixPath(member.name).suffix.lower() in SUFFIXES:
                        yield _member(whole, about, member, names)
            except tarfile.TarError as error:
                told = f"{shown(path)}: is damaged after what was read of it: {error}"
                yield Item(name=shown(whole), path=whole, target=names.give(path.stem), refused=told)
    except (tarfile.TarError, OSError) as error:
        raise DataError(f"{path}: needed a plain tar: {str(error).lower()}") from error


def _member(whole: str, about: os.stat_result, member: tarfile.TarInfo, names: Names) -> Item:
    name = f"{whole}/{member.name}"
    refused = hostile(member.name)
    if not refused and not member.isreg():
        refused = "is a link or a device, and no file" if not member.isdir() else "is a folder"
    if not refused and (member.issparse() or member.offset_data + member.size > about.st_size):
        refused = "is cut short" if not member.issparse() else "has holes"
    return Item(
        name=shown(name),
        target=names.give(f"{Path(whole).stem}/{member.name.lstrip('/')}"),
        kind="member",
        path=whole,
        place=member.offset_data,
        size=member.size,
        stamp=about.st_mtime_ns,
        refused=shown(f"{name}: {refused}") if refused else "",
    )


def parquet_items(path: Path, column: str, names: Names) -> Iterator[Item]:
    """The photos of a Parquet file: a column of paths, or of photos' bytes.

    Paths that are relative begin where the Parquet file lies. A column may be a structure with a field
    `bytes`, as data sets of images have it. What holds bytes is called by its row.

    Raises:
        DataError: the file is no Parquet.
        ConfigError: which column holds the photos is not clear.
    """
    whole = os.path.abspath(path)  # noqa: PTH100 - links in it stay links
    try:
        with pq.ParquetFile(path, memory_map=False) as file:
            chosen, has_bytes = _column(path, file.schema_arrow, column)
            if has_bytes:
                yield from _rows(whole, file, chosen, names)
            else:
                yield from _paths(whole, file, chosen, names)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: needed a Parquet file: {str(error).splitlines()[0]}") from error


def _column(path: Path, schema: pa.Schema, wanted: str) -> tuple[str, bool]:
    """The column that holds the photos, and whether it holds their bytes."""
    bytes_in = [field.name for field in schema if _holds_bytes(field.type)]
    paths_in = [field.name for field in schema if str(field.type) in ("string", "large_string")]
    if wanted in bytes_in or wanted in paths_in:
        return wanted, wanted in bytes_in
    for some in (bytes_in, paths_in):
        if len(some) == 1 and not wanted:
            return some[0], some is bytes_in
    told = ", ".join([*bytes_in, *paths_in]) or "none"
    raise ConfigError(
        f"{path}: needed one column of paths or of photos' bytes, got {wanted or 'no name of it'}; "
        f"name it with --column (columns that could be it: {told})"
    )


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        index = kind.get_field_index("bytes")
        return index >= 0 and _holds_bytes(kind.field(index).type)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _rows(whole: str, file: pq.ParquetFile, column: str, names: Names) -> Iterator[Item]:
    row = 0
    stamp = Path(whole).stat().st_mtime_ns
    for group in range(file.num_row_groups):
        for place in range(file.metadata.row_group(group).num_rows):
            yield Item(
                name=shown(f"{whole}[{row}]"),
                target=names.give(f"{Path(whole).stem}/{row:09}"),
                kind="row",
                path=whole,
                group=group,
                place=place,
                column=column,
                stamp=stamp,
            )
            row += 1


def _paths(whole: str, file: pq.ParquetFile, column: str, names: Names) -> Iterator[Item]:
    folder = str(Path(whole).parent)
    row = 0
    for batch in file.iter_batches(_PATHS_AT_ONCE, columns=[column]):
        for named in batch.column(0).to_pylist():
            name = f"{whole}[{row}]"
            row += 1
            if not named or "\0" in named:
                target = names.give(f"{Path(whole).stem}/{row - 1:09}")
                yield Item(name=shown(name), path=whole, target=target, refused=f"{name}: holds no path")
                continue
            photo = os.path.join(folder, named)  # noqa: PTH118 - as it was written
            yield Item(name=shown(photo), path=photo, target=names.give(below(photo, folder)))


class Archives:
    """Takes the bytes of inputs out of the files that hold them; those of a row group in their order.

    A row group is read a few rows at a time and never twice, as long as its rows are asked for in order.
    """

    def __init__(self) -> None:
        self._rows: Iterator[tuple[int, bytes | None]] = iter(())
        self._at = ("", -1, "", -1)  # path, group, column, and the row that came last

    def copy(self, item: Item, target: Path) -> None:
        """Write an item's bytes to a file.

        Raises:
            PhotoError: they are not there, or no longer.
        """
        if item.kind == "member":
            self._copy_member(item, target)
        else:
            target.write_bytes(self._row(item))

    def _copy_member(self, item: Item, target: Path) -> None:
        with Path(item.path).open("rb") as tar, target.open("wb") as file:
            tar.seek(item.place)
            left = item.size
            while left:
                piece = tar.read(min(left, _PIECE_BYTES))
                if not piece:
                    raise PhotoError(f"{item.name}: is cut short")
                file.write(piece)
                left -= len(piece)

    def _row(self, item: Item) -> bytes:
        *where, last = self._at
        if where != [item.path, item.group, item.column] or last >= item.place:
            self._rows = _bytes_of(item)
        self._at = (item.path, item.group, item.column, item.place)
        try:
            content = next((content for place, content in self._rows if place == item.place), None)
        except (pa.ArrowException, OSError) as error:
            self._at = ("", -1, "", -1)
            raise PhotoError(f"{item.name}: cannot be read: {str(error).splitlines()[0]}") from error
        if content is None:
            raise PhotoError(f"{item.name}: holds no photo")
        return content


def _bytes_of(item: Item) -> Iterator[tuple[int, bytes | None]]:
    """The bytes of each row of an item's row group, with its number in the group."""
    with pq.ParquetFile(item.path, memory_map=False, pre_buffer=False, buffer_size=_PIECE_BYTES) as file:
        place = 0
        groups = [item.group]
        for batch in file.iter_batches(_ROWS_AT_ONCE, row_groups=groups, columns=[item.column]):
            for value in batch.column(0):
                content = value.as_py()
                yield place, content["bytes"] if isinstance(content, dict) else content
                place += 1
