"""Data sets from the network: verified by their checksums, and unpacked whole or not at all."""

from __future__ import annotations

import contextlib
import gzip
import logging
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pixelwise.errors import DataError, DownloadError, OutputError
from pixelwise.progress import Advance, progress

_MEGABYTE = 1_000_000
_TIMEOUT_S = 30


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A file on the network."""

    url: str
    num_megabytes: float
    """Its size, roughly."""
    checksum: str | None
    """As `md5:` or `sha256:` and hexadecimal digits; None where its publisher gives none."""

    @property
    def name(self) -> str:
        """The file's name at the end of its address."""
        return self.url.rsplit("/", 1)[-1]

    @property
    def by_hand(self) -> str:
        """The file as people would look for it."""
        return f"{self.name} ({self.checksum or f'about {self.num_megabytes:.1f} MB'})"


def fetch(remote: Remote, folder: Path, num_retries: int = 2) -> Path:
    """Download a file into a folder, unless it is there already, verify its checksum and return its path.

    Raises:
        DownloadError: the network or the server fails, or the file has another checksum.
        OutputError: the folder cannot be written or the disk is full.
    """
    import pooch  # with requests a fifth of a second, and few need it
    import requests

    logging.getLogger("pooch").setLevel(logging.WARNING)
    path = folder / remote.name
    if path.exists() and not pooch.hashes.hash_matches(str(path), remote.checksum):
        raise DownloadError(f"needed {remote.by_hand}, {path} is another; delete it and run again")
    store = pooch.create(
        folder,
        base_url="",
        registry={remote.name: remote.checksum},
        urls={remote.name: remote.url},
        retry_if_failed=num_retries,
    )
    try:
        with progress(f"downloading {remote.name} (MB)", round(remote.num_megabytes)) as advance:
            bar = _MegabyteBar(advance)
            downloader = pooch.HTTPDownloader(progressbar=bar, chunk_size=2**18, timeout=_TIMEOUT_S)
            return Path(store.fetch(remote.name, downloader=downloader))
    except (requests.RequestException, ValueError) as error:  # pooch has ValueError for a wrong checksum
        remedy = f"run again when the network is back, or put {remote.by_hand} into {folder} by hand"
        raise DownloadError(f"cannot download {remote.url}: {error}; {remedy}") from error
    except OSError as error:
        raise _not_written(path, error) from error


class _MegabyteBar:
    """Our progress as pooch calls it, which has a bar of its own in mind."""

    def __init__(self, advance: Advance) -> None:
        self.advance = advance
        self.num_bytes = self.total = 0

    def update(self, num_bytes: int) -> None:
        """Count bytes."""
        before, self.num_bytes = self.num_bytes, self.num_bytes + num_bytes
        self.advance(self.num_bytes // _MEGABYTE - before // _MEGABYTE, "")

    def reset(self) -> None:
        """Count no more: pooch adds up everything once more at the end."""
        self.advance = lambda _num, _note: None

    def close(self) -> None:
        """Do nothing: the bar ends with its block."""


def unpack(archive: Path, target: Path, check: Callable[[Path], None] | None = None) -> None:
    """Unpack the folder named like `target` out of a tar archive; `target` appears whole or not at all.

    `check` may refuse the folder by a `DataError` before it appears.

    Raises:
        DataError: the archive is damaged, hostile, holds no such folder, or the check refuses it.
        OutputError: the disk is full or cannot be written.
    """
    remedy = "delete it and run again to download it"
    with _writing(target), tempfile.TemporaryDirectory(prefix=".unpacking.", dir=target.parent) as temporary:
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(temporary, filter="data")  # which refuses what would lie outside
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"cannot unpack {archive}: {str(error).splitlines()[0]}; {remedy}") from error
        unpacked = Path(temporary) / target.name
        if not unpacked.is_dir():
            raise DataError(f"needed a folder {target.name} in {archive}, got none; {remedy}")
        if check is not None:
            check(unpacked)
        try:
            unpacked.rename(target)
        except OSError:
            if not target.is_dir():  # where it is, another process was faster and brought the same
                raise


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _not_written(path, error) from error


def _not_written(path: Path, error: OSError) -> OutputError:
    remedy = "make room, or choose another folder with --data-dir or PIXELWISE_DATA"
    return OutputError(f"cannot write {path}: {(error.strerror or str(error)).lower()}; {remedy}")
