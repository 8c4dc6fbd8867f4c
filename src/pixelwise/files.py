"""Files that appear whole or not at all, their checksums, and folders that one process has to itself."""

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

from pixelwise.errors import ConfigError, OutputError

_IN_USE = ".in use"  # locked as long as the process lives
_UMASK = os.umask(0o077)  # reading it sets it, for all threads: once, while there is one
os.umask(_UMASK)


def cache_folder() -> Path:
    """Return the folder of what can be made again: PIXELWISE_CACHE, or one in the user's cache."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return Path(os.environ.get("PIXELWISE_CACHE") or caches / "pixelwise")


def reason(error: OSError) -> str:
    """Return why a file failed, in the system's words: "no space left on device"."""
    return (error.strerror or str(error)).lower()


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it becomes `path` in one step, on failure it goes away.

    It keeps the suffix, by which writers choose their format. The content is flushed to disk before the
    rename, so that a power cut leaves the old file or the new one. OutputError where it cannot be written.
    """
    temporary = _make_beside(path)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_UMASK)  # it was its owner's alone; now it has a new file's permissions
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {reason(error)}") from error
    finally:
        with contextlib.suppress(OSError):  # Windows removes no file that a library still has open
            temporary.unlink(missing_ok=True)


def require_writable(path: Path) -> None:
    """Raise an OutputError, before work that takes long, where no file can be written; leave nothing."""
    if path.is_dir():
        raise OutputError(f"cannot write {path}: it is a folder; choose a name in it with -o")
    _make_beside(path).unlink()


def require_learnable(path: Path) -> None:
    """Raise an error, as `require_writable`, where what is learned cannot be written or opened again."""
    if path.suffix.lower() == ".onnx":
        remedy = "name a .safetensors file, and make ONNX of it by pixelwise export"
        raise ConfigError(f"what is learned is no ONNX file, got {path}; {remedy}")
    require_writable(path)


def _make_beside(path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
        os.close(handle)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {reason(error)}; choose another folder with -o") from error
    return Path(name)


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[bool]:
    """Lock a folder, made if need be; give False where another process has it. A new one left empty goes.

    OutputError where it cannot be made or written.
    """
    from filelock import FileLock, Timeout  # a fortieth of a second, and few need it

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
        # Removed while it is locked, since later the name may be another owner's; filelock refuses to lock a
        # file that has lost its name. Windows removes no open file: there filelock does it on release.
        with contextlib.suppress(OSError):
            Path(lock.lock_file).unlink()
        lock.release()
        if is_new:
            with contextlib.suppress(OSError):  # something is in it
                folder.rmdir()


@contextlib.contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """Give a temporary folder, removed at the end; those that killed processes left are removed now."""
    from filelock import FileLock, Timeout

    for left in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        # of another user, in use, or removed by another process just now
        with contextlib.suppress(OSError, Timeout):
            if not left.is_symlink() and (left / _IN_USE).is_file():
                with FileLock(left / _IN_USE, blocking=False):
                    pass  # its process is gone; Windows removes nothing while the lock is open
                shutil.rmtree(left, ignore_errors=True)
    with (
        tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder,
        FileLock(Path(folder) / _IN_USE),
    ):
        yield Path(folder)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file of bytes, atomically, or raise an OutputError."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write a whole file of UTF-8 text, atomically, or raise an OutputError."""
    write_bytes(path, content.encode())


def to_json(values: Any, indent: int | None = None) -> str:
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
