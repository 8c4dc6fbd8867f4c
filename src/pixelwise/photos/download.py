"""Data sets from the network: verified by their checksums, and unpacked whole or not at all."""

from __future__ import annotations

import gzip
import logging
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pixelwise.errors import DataError, DownloadError, OutputError
from pixelwise.files import reason
from pixelwise.progress import progress

_PIECE_BYTES = 2**20

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A file on the network."""

    url: str
    num_megabytes: float
    checksum: str | None  # `md5:` or `sha256:` and hexadecimal digits; None where its publisher gives none

    @property
    def name(self) -> str:
        """The file's name at the end of its address."""
        return self.url.rsplit("/", 1)[-1]


def fetch(remote: Remote, folder: Path, num_retries: int = 2) -> Path:
    """Download a file into a folder, unless it is there already, verify its checksum and return its path.

    DownloadError where the network fails or the file is another one; OutputError where it cannot be written.
    """
    import pooch  # with requests a fifth of a second, and few need it
    import requests

    path, wanted = folder / remote.name, f"{remote.name} ({remote.checksum or f'{remote.num_megabytes} MB'})"
    if path.exists():
        if not pooch.hashes.hash_matches(str(path), remote.checksum):
            raise DownloadError(f"needed {wanted}, {path} is another; delete it and run again")
        return path
    logging.getLogger("pooch").setLevel(logging.WARNING)
    _logger.warning("downloading %s, %g MB, into %s", remote.name, remote.num_megabytes, folder)
    files, urls = {remote.name: remote.checksum}, {remote.name: remote.url}
    store = pooch.create(folder, "", registry=files, urls=urls, retry_if_failed=num_retries)
    try:
        with progress(f"downloading {remote.name}", round(remote.num_megabytes * 1e6)) as advance:

            def download(url: str, target: str, _store: object) -> None:
                with requests.get(url, stream=True, timeout=30) as response, Path(target).open("wb") as file:
                    response.raise_for_status()
                    for piece in response.iter_content(_PIECE_BYTES):
                        advance(file.write(piece), "")

            return Path(store.fetch(remote.name, downloader=download))
    except (requests.RequestException, ValueError) as error:  # ValueError is pooch's for a wrong checksum
        remedy = f"run again when the network is back, or put {wanted} into {folder} by hand"
        raise DownloadError(f"cannot download {remote.url}: {error}; {remedy}") from error
    except OSError as error:
        raise _not_written(path, error) from error


def unpack(archive: Path, target: Path, check: Callable[[Path], None] | None = None) -> None:
    """Unpack the folder named like `target` out of a tar archive; `target` appears whole or not at all.

    DataError where the archive is damaged, hostile or holds no such folder, or `check` raises it of the
    folder; OutputError where the disk is full or cannot be written.
    """
    remedy = "delete it and run again to download it"
    try:
        with tempfile.TemporaryDirectory(prefix=".unpacking.", dir=target.parent) as temporary:
            with tarfile.open(archive) as tar:
                tar.extractall(temporary, filter="data")  # which refuses what would lie outside
            unpacked = Path(temporary) / target.name
            if not unpacked.is_dir():
                raise DataError(f"needed a folder {target.name} in {archive}, got none; {remedy}")
            if check is not None:
                check(unpacked)
            if not target.is_dir():  # where it is, another process was faster and brought the same
                unpacked.rename(target)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"cannot unpack {archive}: {str(error).splitlines()[0]}; {remedy}") from error
    except OSError as error:
        raise _not_written(target, error) from error


def _not_written(path: Path, error: OSError) -> OutputError:
    remedy = "make room, or choose another folder with --data-dir or PIXELWISE_DATA"
    return OutputError(f"cannot write {path}: {reason(error)}; {remedy}")
