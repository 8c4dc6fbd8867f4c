"""Data sets from the network: verified by their checksums, and unpacked whole or not at all."""

from __future__ import annotations

import contextlib
import gzip
import logging
import math
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pixelwise.errors import DataError, DownloadError, OutputError
from pixelwise.files import reason
from pixelwise.progress import progress

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

    def download(url: str, output: str, _store: object) -> None:
        with requests.get(url, stream=True, timeout=_TIMEOUT_S) as response, Path(output).open("wb") as file:
            response.raise_for_status()
            with progress(f"downloading {remote.name} (MB)", math.ceil(remote.num_megabytes)) as advance:
                for megabyte in response.iter_content(1_000_000):
                    file.write(megabyte)
                    advance(1, "")

    store = pooch.create(
        folder,
        base_url="",
        registry={remote.name: remote.checksum},
        urls={remote.name: remote.url},
        retry_if_failed=num_retries,
    )
    with _writing(path):
        try:
            return Path(store.fetch(remote.name, downloader=download))
        except (requests.RequestException, ValueError) as error:  # ValueError is pooch's for a wrong checksum
            remedy = f"run again when the network is back, or put {remote.by_hand} into {folder} by hand"
            raise DownloadError(f"cannot download {remote.url}: {error}; {remedy}") from error


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
        why = reason(error)
        remedy = "make room, or choose another folder with --data-dir or PIXELWISE_DATA"
        raise OutputError(f"cannot write {path}: {why}; {remedy}") from error
