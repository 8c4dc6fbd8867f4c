"""Files that appear whole or not at all, their checksums, and locks between processes."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import math
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from pixelwise.errors import OutputError

_IN_USE = ".in use"  # locked as long as the process lives whose folder it is in


@contextlib.contextmanager
def whole_file(path: Path, remedy: str = "choose another folder with -o") -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it becomes `path` in one step, on failure it goes away.

    The temporary name keeps the suffix, since writers choose their format by it. The content is flushed to
    disk before the rename, so that a power cut leaves the old file or the new one, never half of one.
    `remedy` is what to do where the folder cannot be written.

    Raises:
        OutputError: the folder cannot be written or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
        os.close(handle)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {reason(error)}; {remedy}") from error
    temporary = Path(name)
    try:
        yield temporary
        _settle(temporary, path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {reason(error)}") from error
    finally:
        temporary.unlink(missing_ok=True)


def require_writable(path: Path) -> None:
    """Make sure, before work that takes long, that a file can be written there; no file is left of the try.

    Raises:
        OutputError: its folder cannot be made or written, or the path is a folder itself.
    """
    if path.is_dir():
        raise OutputError(f"cannot write {path}: it is a folder; choose a name in it with -o")
    with contextlib.suppress(_Tried), whole_file(path):
        raise _Tried


class _Tried(Exception):
    pass


def _settle(temporary: Path, path: Path) -> None:
    """Flush, give the permissions any new file would have, and rename."""
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    permit_as_new(temporary)
    temporary.replace(path)


def permit_as_new(temporary: Path) -> None:
    """Give a temporary file, which its owner alone may read, the permissions that any new file would have."""
    umask = os.umask(0)
    os.umask(umask)
    temporary.chmod(0o666 & ~umask)


def reason(error: OSError) -> str:
    """Return why a file could not be read or written, in lower case."""
    return (error.strerror or str(error)).lower()


@contextlib.contextmanager
def alone(lock: Path) -> Iterator[IO[bytes]]:
    """Hold a lock that other processes wait for, and give its file; it goes with the process in any case."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[bool]:
    """Make a folder one's own; False where another process has it. If it is new and stays empty, it goes.

    The folder itself is locked, so that no file is left; on a disk that cannot do so, whoever asks has it.

    Raises:
        OutputError: it cannot be made.
    """
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {reason(error)}; choose another folder") from error
    try:
        yield _taken(handle)
    finally:
        os.close(handle)
        if is_new:
            with contextlib.suppress(OSError):  # something is in it
                folder.rmdir()


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # as of some disks of other machines
        return True
    return True


@contextlib.contextmanager
def swept_folder(prefix: str) -> Iterator[Path]:
    """A temporary folder of this process; what killed ones left of the same prefix is swept before."""
    for left in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        with contextlib.suppress(OSError):  # of another user, or swept by another process just now
            _sweep(left)
    with (
        tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as name,
        alone(Path(name) / _IN_USE),
    ):
        yield Path(name)


def _sweep(folder: Path) -> None:
    """Remove a folder of ours that no process holds."""
    about = folder.lstat()
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid():
        return
    with (folder / _IN_USE).open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file of bytes, atomically.

    Raises:
        OutputError: as `whole_file`.
    """
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write a whole file of UTF-8 text, atomically.

    Raises:
        OutputError: as `whole_file`.
    """
    write_bytes(path, content.encode())


def plain_json(values: Any, indent: int | None = None) -> str:
    """Values as JSON that any reader takes: ASCII; null for NaN and infinities, which JSON lacks."""
    return json.dumps(_finite(values), ensure_ascii=True, allow_nan=False, indent=indent)


def _finite(value: Any) -> Any:
    """The same values with None for every number that is none, as the loss over no pixels is."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def checksum(path: Path, algorithm: str = "sha256") -> str:
    """Hexadecimal digest of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
