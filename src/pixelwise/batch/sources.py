"""The inputs of a batch: photos in folders, of patterns, and inside tar and zip files.

No photo is read yet. Nothing is unpacked by its name: a name from inside an archive only suggests one below
the output folder, and the photo's bytes are copied to a file that we name.
"""

from __future__ import annotations

import functools
import glob
import os
import shutil
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from pixelwise.errors import DataError, PhotoError
from pixelwise.photos.find import Failure, is_folder, walk_files
from pixelwise.photos.formats import SUFFIXES

_TAR, _ZIP = ".tar", ".zip"
_OTHER_ARCHIVES = (".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar")
_MOST_BYTES = 2**32  # of a member: one that claims more is a bomb
_PIECE_BYTES = 2**20
_open_zip = functools.lru_cache(maxsize=1)(zipfile.ZipFile)


@dataclass(frozen=True, kw_only=True)
class Item:
    """One input of a batch."""

    name: str  # in messages and in the manifest: a path, or ARCHIVE/MEMBER
    path: str  # absolute, of the photo, or of the archive that holds it
    target: str  # path of its output below the output folder, without the suffix
    position: int = -1  # offset of the member's bytes in a tar, its number in a zip; -1: a file of its own
    size: int = 0
    mtime_ns: int = 0  # when the archive was last changed
    refused: str = ""  # why the input is set aside; empty for all others


def find_items(sources: Sequence[str], out: Path) -> Iterator[Item]:
    """Yield every input of a batch, in a fixed order, each with an output name of its own.

    The folder `out` is passed over. DataError where a source does not exist, holds no photo, or cannot be
    read.
    """
    taken: set[str] = set()
    for source in sources:
        num = len(taken)
        for item in _expand(source, out):
            yield replace(item, target=_unique(item.target, taken))
        if len(taken) == num:
            exists = os.path.lexists(source) or glob.has_magic(source)
            raise DataError(
                f"{source}: needed photos, {'found none' if exists else 'there is no such file'}; "
                "give a photo, a folder, a pattern, a tar or a zip"
            )


def _expand(source: str, out: Path) -> Iterator[Item]:
    """Yield the inputs of one source, whose targets need not be unique yet."""
    if is_folder(source):
        closed: list[Failure] = []
        for found in walk_files(Path(source), True, out, closed):
            if found.path.suffix.lower() in SUFFIXES:
                yield _photo(str(found.path), str(found.folder / found.path.name))
        for failure in closed:
            yield replace(_photo(str(failure.path), failure.path.name), refused=failure.error)
        return
    matches = glob.iglob(source, recursive=True)  # noqa: PTH207 - may be absolute
    paths = [source] if os.path.lexists(source) else sorted(matches)
    for path in paths:
        suffix = Path(path).suffix.lower()
        if is_folder(path):
            continue
        if suffix in _OTHER_ARCHIVES:
            raise DataError(f"{path}: needed an archive that is a plain .tar or a .zip; unpack it first")
        if suffix in (_TAR, _ZIP):
            yield from _archive(path)
        else:
            yield _photo(path, Path(path).name)


def _photo(path: str, target: str) -> Item:
    whole = os.path.abspath(path)  # noqa: PTH100 - links in it stay links
    return Item(name=whole, path=whole, target=target)


def _archive(path: str) -> Iterator[Item]:
    """Yield the members of a tar or zip whose names end like photos'; those that are not safe are refused."""
    archive = replace(_photo(path, Path(path).stem), mtime_ns=Path(path).stat().st_mtime_ns)
    is_empty = True
    try:
        members = _zip_members(path) if path.lower().endswith(_ZIP) else _tar_members(path)
        for member, position, size, problem in members:
            if PurePosixPath(member).suffix.lower() not in SUFFIXES:
                continue
            is_empty = False
            name, parts = f"{archive.path}/{member}", member.replace("\\", "/").split("/")
            is_safe = parts[0] and not parts[0].endswith(":") and ".." not in parts and "\0" not in member
            reason = problem if is_safe else "its name leads out of the archive"
            yield replace(
                archive,
                name=name,
                target=f"{archive.target}/{member.lstrip('/')}",
                position=position,
                size=size,
                refused=f"{name}: {reason}" if reason else "",
            )
    except (tarfile.TarError, zipfile.BadZipFile, OSError) as error:
        if is_empty:
            raise DataError(f"{path}: needed a plain tar or a zip: {str(error).lower()}") from error
        yield replace(archive, refused=f"{path}: is damaged after what was read of it: {error}")


def _tar_members(path: str) -> Iterator[tuple[str, int, int, str]]:
    """Yield name, offset, size and what is wrong of each member, which is not held."""
    with tarfile.open(path, "r:", errorlevel=1) as tar:
        while (member := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined] # the stubs lack it; else all are held
            is_file = member.isreg() and not member.issparse()
            problem = "" if is_file else "is a link or a device, not a file"
            yield member.name, member.offset_data, member.size, problem


def _zip_members(path: str) -> Iterator[tuple[str, int, int, str]]:
    """Yield name, number, size and what is wrong of each member."""
    with zipfile.ZipFile(path) as archive:
        for number, member in enumerate(archive.infolist()):
            problem = f"would be {member.file_size} bytes" if member.file_size > _MOST_BYTES else ""
            yield member.filename, number, member.file_size, problem


def extract(item: Item, target: Path) -> None:
    """Write the bytes of an archive's member to a file.

    PhotoError where the archive was changed after the batch was planned.
    """
    if Path(item.path).stat().st_mtime_ns != item.mtime_ns:
        raise PhotoError(f"{item.name}: {item.path} was changed after the batch was planned")
    with target.open("wb") as file:
        if item.path.lower().endswith(_ZIP):
            archive = _open_zip(item.path)
            with archive.open(archive.infolist()[item.position]) as member:
                shutil.copyfileobj(member, file)
        else:
            with Path(item.path).open("rb") as tar:
                tar.seek(item.position)
                for start in range(0, item.size, _PIECE_BYTES):
                    file.write(tar.read(min(_PIECE_BYTES, item.size - start)))


def _unique(name: str, taken: set[str]) -> str:
    """Return a name for an output below the output folder, not given before.

    It is the input's own name without its suffix; if that is taken, with it: a.jpg and a.png become a.jpg and
    a.png.png. Names that differ in case alone are one name on some disks.
    """
    parts = [part for part in PurePosixPath(name).parts if part not in ("/", "..", ".")]
    # Hidden names below the output folder are the batch's own.
    parts = ["_" + part.lstrip(".") if part.startswith(".") else part for part in parts]
    whole = PurePosixPath(*parts or ["unnamed"])
    given = str(whole.with_suffix(""))
    num = 1
    while given.casefold() in taken:
        given = str(whole) if num == 1 else f"{whole}.{num}"
        num += 1
    taken.add(given.casefold())
    return given
