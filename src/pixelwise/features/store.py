"""A folder of entries that many processes use at once: each is there whole or not at all, within a limit.

KEY.safetensors        an entry; its time of modification is that of its last use
.KEY.xxx.safetensors   one in the making; what a killed process left is swept later
xxx.held               the keys that one call uses, locked as long as anything of that call is alive
lock                   whose holder makes room; in it the bytes of all entries, or somewhat more
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from pixelwise.errors import OutputError
from pixelwise.files import alone, permit_as_new, whole_file

_SUFFIX = ".safetensors"
_HELD = ".held"
_ABANDONED_S = 300.0  # no entry takes longer to write
_LIMIT_BYTES = 10_000_000_000
_FREE_FRAC = 0.1  # of what the disk would have free without the cache
_SPARE_FRAC = 0.1  # of the limit, free after each eviction: so that not every entry needs one


class Hold:
    """Keys whose entries stay, as long as this object lives. A process that is killed holds nothing."""

    def __init__(self, folder: Path, keys: Iterable[str]) -> None:
        handle, name = tempfile.mkstemp(dir=folder, suffix=_HELD)
        weakref.finalize(self, _let_go, handle, Path(name), os.getpid())
        fcntl.flock(handle, fcntl.LOCK_EX)
        permit_as_new(Path(name))  # others who share the folder have to see what is in use
        Path(name).write_text("\n".join(keys))


def _let_go(handle: int, path: Path, pid: int) -> None:
    """The process that holds lets go; one that was forked from it only closes its copy."""
    if os.getpid() == pid:
        path.unlink(missing_ok=True)
    os.close(handle)


def _is_free(path: Path) -> bool:
    """Whether no process holds a file."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class Store:
    """Entries by key."""

    def __init__(self, folder: Path, limit_bytes: int | None = None) -> None:
        """`limit_bytes`: for all entries together; None: 10 GB, or a tenth of a disk with less to spare."""
        self.folder = folder
        self.limit_bytes = limit_bytes
        self._swept = False

    def path(self, key: str) -> Path:
        """Where an entry is, if it is there."""
        return self.folder / f"{key}{_SUFFIX}"

    def hold(self, keys: Iterable[str]) -> Hold | None:
        """Keep these entries, those to come as well; None where the folder cannot be written."""
        with contextlib.suppress(OSError), alone(self.folder / "lock"):
            return Hold(self.folder, keys)
        return None

    def touch(self, key: str) -> None:
        """Note that an entry is used now."""
        with contextlib.suppress(OSError):  # evicted, or not ours to write
            os.utime(self.path(key))

    def add(self, key: str, content: bytes) -> Path:
        """Write an entry, after evicting those whose use is longest ago; one of the same key is replaced.

        Raises:
            OutputError: no space on the disk or within the limit, or the folder cannot be written.
        """
        path, lock = self.path(key), self.folder / "lock"
        with (
            contextlib.ExitStack() as until_named,
            whole_file(path, "put the cache elsewhere by PIXELWISE_CACHE") as temporary,
            temporary.open("r+b") as file,
        ):
            fcntl.flock(file, fcntl.LOCK_EX)  # in the making: a clock that jumps makes it look old
            with alone(lock) as noted:
                self._make_room(noted, len(content))
                os.posix_fallocate(file.fileno(), 0, len(content))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # slow, and so not while others wait
            # a folder that is listed while a file in it is renamed may show that file twice or not at all
            until_named.enter_context(alone(lock))
        return path

    def _make_room(self, lock: IO[bytes], num_bytes: int) -> None:
        """Make sure that so many bytes fit, and note them; what is reserved counts as written.

        Raises:
            OutputError: all that is left is in use.
        """
        lock.seek(0)
        told = lock.read()
        held_bytes = int(told) if told.isdigit() else None
        if held_bytes is None or not self._swept or held_bytes + num_bytes > self._limit(held_bytes):
            held_bytes = self._evict(num_bytes)
            self._swept = True
        if held_bytes + num_bytes > (limit := self._limit(held_bytes)):
            raise OutputError(
                f"cannot keep more features in {self.folder}: they may take {limit / 1e6:.0f} MB, and"
                f" {held_bytes / 1e6:.0f} MB are in use"
            )
        lock.truncate(0)
        lock.write(str(held_bytes + num_bytes).encode())

    def _limit(self, held_bytes: int) -> int:
        if self.limit_bytes is not None:
            return self.limit_bytes
        return min(_LIMIT_BYTES, int(_FREE_FRAC * (shutil.disk_usage(self.folder).free + held_bytes)))

    def _evict(self, num_bytes: int) -> int:
        """Sweep what killed processes left, and evict until `num_bytes` fit; gives the bytes held then."""
        entries, held_bytes = self._count()
        in_use = self._in_use()
        limit = self._limit(held_bytes)
        if held_bytes + num_bytes <= limit:
            return held_bytes
        for _, size, path in sorted(entries):
            if held_bytes + num_bytes <= limit * (1 - _SPARE_FRAC):
                break
            if path.name.removesuffix(_SUFFIX) not in in_use:
                path.unlink(missing_ok=True)
                held_bytes -= size
        return held_bytes

    def _count(self) -> tuple[list[tuple[int, int, Path]], int]:
        """Time of last use, size and path of all entries; the bytes of these and of those in the making."""
        entries, held_bytes = [], 0
        abandoned_s = time.time() - _ABANDONED_S
        for found in os.scandir(self.folder):
            with contextlib.suppress(FileNotFoundError):  # in the making, and now made
                if found.name.endswith(_SUFFIX):
                    about, path = found.stat(), Path(found.path)
                    in_the_making = found.name.startswith(".")
                    if in_the_making and about.st_mtime < abandoned_s and _is_free(path):
                        path.unlink()
                        continue
                    held_bytes += about.st_size
                    if not in_the_making:
                        entries.append((about.st_mtime_ns, about.st_size, path))
        return entries, held_bytes

    def _in_use(self) -> set[str]:
        """The keys that calls hold, of this process or of others; what killed ones held is let go."""
        keys: set[str] = set()
        for path in self.folder.glob(f"*{_HELD}"):
            with contextlib.suppress(FileNotFoundError), path.open() as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    keys.update(file.read().split())
                else:
                    path.unlink()
        return keys
