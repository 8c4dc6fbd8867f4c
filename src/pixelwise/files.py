"""Files that appear whole or not at all, their checksums, and locks between processes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pixelwise.errors import OutputError

_IN_USE = ".in use"  # locked as long as the process lives whose folder it is in


def reason(error: OSError) -> str:
    """Return why a file failed, in the system's words: "no space left on device"."""
    return (error.strerror or str(error)).lower()


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
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        umask = os.umask(
            0
        )  # the temporary file is its owner's alone; give it the permissions of any new file
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {reason(error)}") from error
    finally:
        temporary.unlink(missing_ok=True)


def require_writable(path: Path) -> None:
    """Make sure, before work that takes long, that a file can be written there; nothing is left of the try.

    Raises:
        OutputError: its folder cannot be made or written, or the path is a folder itself.
    """
    if path.is_dir():
        raise OutputError(f"cannot write {path}: it is a folder; choose a name in it with -o")
    with contextlib.suppress(_Tried), whole_file(path):
        raise _Tried


class _Tried(Exception):
    pass


@contextlib.contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Hold a lock that other processes wait for; it goes with the process in any case."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        yield


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[bool]:
    """Make a folder one's own; give False where another process has it. A new one that stays empty goes.

    Raises:
        OutputError: it cannot be made or written.
    """
    is_new = not folder.exists()
    lock = FileLock(folder / ".lock", blocking=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        yield False
        return
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {reason(error)}; choose another folder") from error
    try:
        yield True
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
        if is_new:
            with contextlib.suppress(OSError):  # something is in it
                folder.rmdir()


@contextlib.contextmanager
def swept_folder(prefix: str) -> Iterator[Path]:
    """Give a temporary folder of this process; those of the same prefix that killed ones left are removed."""
    for left in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        # of another user, in use, or removed by another process just now
        with contextlib.suppress(OSError, Timeout):
            is_ours = os.name == "nt" or left.lstat().st_uid == os.getuid()
            if is_ours and not left.is_symlink() and (left / _IN_USE).is_file():
                with FileLock(left / _IN_USE, blocking=False):
                    shutil.rmtree(left, ignore_errors=True)
    with (
        tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as name,
        FileLock(Path(name) / _IN_USE),
    ):
        yield Path(name)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file of bytes, atomically, or raise an OutputError."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write a whole file of UTF-8 text, atomically, or raise an OutputError."""
    write_bytes(path, content.encode())


def plain_json(values: Any, indent: int | None = None) -> str:
    """Return values as JSON that any reader takes: ASCII; null for NaN and infinities, which JSON lacks."""
    return json.dumps(_finite(values), ensure_ascii=True, allow_nan=False, indent=indent)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def checksum(path: Path, algorithm: str = "sha256") -> str:
    """Return the hexadecimal digest of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
