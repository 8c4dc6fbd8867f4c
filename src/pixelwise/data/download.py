"""Files from the network: verified, continued where they broke off, and there whole or not at all."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import itertools
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from pixelwise.errors import DataError, DownloadError, OutputError
from pixelwise.files import alone, checksum, reason
from pixelwise.progress import progress
from pixelwise.version import __version__

_PAUSES_S = (0.5, 1.0, 2.0)  # waits before each further try
_TRY_AGAIN = (408, 425, 429, 500, 502, 503, 504)  # answers that another try may change
_PIECE_BYTES = 1 << 18
_MEGABYTE = 1_000_000
_PAGE_STARTS = (b"<!doctype html", b"<html")


@dataclass(frozen=True, kw_only=True, slots=True)
class Remote:
    """A file on the network, and what tells it from every other."""

    url: str
    about_bytes: int
    """How long it is, as far as known; only a server that sends far more is stopped by it."""
    checksum: str | None
    """Hexadecimal; None where its publisher tells none, so that what is in it has to do."""
    algorithm: Literal["md5", "sha256"]

    @property
    def name(self) -> str:
        """The file's name at the end of its address."""
        return self.url.rsplit("/", 1)[-1]

    def by_hand(self, folder: Path) -> str:
        """How to do without the download."""
        return f"put {self.name} ({self.mark}) into {folder} by hand"

    @property
    def mark(self) -> str:
        """What tells it from every other, in words."""
        about = f"about {self.about_bytes / _MEGABYTE:.1f} MB"
        return about if self.checksum is None else f"{self.algorithm} {self.checksum}"

    @property
    def most_bytes(self) -> int:
        """No file as long as that is this one."""
        return 2 * self.about_bytes + 10 * _MEGABYTE


class _BrokenOff(Exception):
    """The network failed in a way that may pass; what came is kept."""


def fetch(
    remote: Remote, folder: Path, *, timeout_s: float = 30.0, pauses_s: tuple[float, ...] = _PAUSES_S
) -> Path:
    """Download a file into a folder, unless it lies there already, and give its path.

    What came so far waits in `NAME.part`, where the next try or the next run continues. One process
    downloads at a time; others wait for it and take what it brought.

    Raises:
        DownloadError: the network or the server fails, or the content is not the one whose checksum is known;
            where none is known, whoever opens the file has to look whether it is the right one.
        OutputError: the folder cannot be written or the disk is full.
    """
    path = folder / remote.name
    part = path.with_name(f"{path.name}.part")
    with _disk(path), alone(folder / f".{remote.name}.lock"):
        if path.exists():
            _verify(remote, path, "delete it and run again to download it")
            return path
        _receive_patiently(remote, part, timeout_s, pauses_s)
        try:
            _verify(remote, part, f"it is deleted; run again, or {remote.by_hand(folder)}")
        except DownloadError:
            part.unlink()
            raise
        part.replace(path)
    return path


def unpack(archive: Path, target: Path, check: Callable[[Path], None] | None = None) -> None:
    """Unpack the folder named like `target` out of a tar archive; `target` appears whole or not at all.

    Data sets are files in folders: links, and names that lead outside, are refused. `check` may refuse the
    folder by a `DataError` before it appears.

    Raises:
        DataError: the archive is damaged, hostile, holds no such folder, or the check refuses it.
        OutputError: the disk is full or cannot be written.
    """
    remedy = "delete it and run again to download it"
    with _disk(target), tempfile.TemporaryDirectory(prefix=".unpacking.", dir=target.parent) as temporary:
        try:
            with tarfile.open(archive) as tar:
                tar.extraction_filter = getattr(tarfile, "data_filter", _as_it_is)  # new in Python 3.11.4
                tar.extractall(temporary, members=map(_harmless, tar))
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


def _harmless(member: tarfile.TarInfo) -> tarfile.TarInfo:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        raise tarfile.TarError(f"{member.name} would be outside the destination")
    if not (member.isfile() or member.isdir()):
        raise tarfile.TarError(f"{member.name} is neither a file nor a folder")
    return member


def _as_it_is(member: tarfile.TarInfo, _folder: str) -> tarfile.TarInfo:
    return member


def _verify(remote: Remote, path: Path, remedy: str) -> None:
    num_bytes = path.stat().st_size
    found = checksum(path, remote.algorithm)
    if not (0 < num_bytes < remote.most_bytes if remote.checksum is None else found == remote.checksum):
        raise DownloadError(f"needed {path} with {remote.mark}, got {found} ({num_bytes} bytes); {remedy}")


def _receive_patiently(remote: Remote, part: Path, timeout_s: float, pauses_s: tuple[float, ...]) -> None:
    for pause_s in (*pauses_s, None):
        try:
            _receive(remote, part, timeout_s)
            return
        except _BrokenOff as error:
            if pause_s is None:
                remedy = "run again when the network is back (what came is kept), or"
                by_hand = remote.by_hand(part.parent)
                raise DownloadError(f"cannot download {remote.url}: {error}; {remedy} {by_hand}") from error
            time.sleep(pause_s)


def _receive(remote: Remote, part: Path, timeout_s: float) -> None:
    """One request for what is missing; a server that cannot continue sends everything again."""
    have = part.stat().st_size if part.exists() else 0
    if have >= remote.most_bytes or (have and checksum(part, remote.algorithm) == remote.checksum):
        return
    headers = {"User-Agent": f"pixelwise/{__version__}", "Range": f"bytes={have}-"}
    request = urllib.request.Request(remote.url, headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        error.close()
        if have and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # there is no more: the checksum decides
        if error.code in _TRY_AGAIN:
            raise _BrokenOff(f"the server answered {error.code} {error.reason}") from error
        remedy = remote.by_hand(part.parent)
        message = f"cannot download {remote.url}: the server answered {error.code} {error.reason}; {remedy}"
        raise DownloadError(message) from error
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenOff(str(getattr(error, "reason", "") or error)) from error
    with response:
        start = have if response.status == http.HTTPStatus.PARTIAL_CONTENT else 0
        _pour(response, remote, part, start)


def _pour(response: http.client.HTTPResponse, remote: Remote, part: Path, start: int) -> None:
    """Write an answer that begins at byte `start` into the part.

    Only the server knows how long the file is, and not every server says so.
    """
    total = None if response.length is None else start + response.length
    pieces = _pieces(response)
    first = next(pieces, b"")
    _refuse_page(first, remote, part)
    have = start
    num_megabytes = -(-(total or remote.about_bytes) // _MEGABYTE)
    with progress(f"downloading {remote.name} (MB)", num_megabytes) as advance:
        advance(have // _MEGABYTE, "")
        with part.open("ab" if start else "wb") as file:
            for piece in itertools.chain([first], pieces):
                file.write(piece)
                advance((have + len(piece)) // _MEGABYTE - have // _MEGABYTE, "")
                have += len(piece)
                if have >= remote.most_bytes:
                    return  # a server that never stops
    if total is not None and have < total:
        raise _BrokenOff(f"the connection closed after {have} of {total} bytes")
    nothing_missing = have == start > 0  # of what was asked for there is nothing: the checksum decides
    if (
        total is None
        and not nothing_missing
        and remote.checksum not in (None, checksum(part, remote.algorithm))
    ):
        raise _BrokenOff(f"the connection closed after {have} bytes")


def _refuse_page(first: bytes, remote: Remote, part: Path) -> None:
    """Refuse a page, such as the login of a hotel's network, before it takes the place of what came."""
    if first[:100].lstrip().lower().startswith(_PAGE_STARTS):
        raise DownloadError(
            f"needed {remote.name} from {remote.url}, the server sends a page to be read; check the network, "
            f"or {remote.by_hand(part.parent)}"
        )


def _pieces(response: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while piece := response.read(_PIECE_BYTES):
            yield piece
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenOff(str(error) or type(error).__name__) from error


@contextlib.contextmanager
def _disk(path: Path) -> Iterator[None]:
    """Name the place and the remedy where the disk fails; the network's failures have other names by then."""
    try:
        yield
    except OSError as error:
        remedy = "make room, or choose another folder with --data-dir or PIXELWISE_DATA"
        raise OutputError(f"cannot write {path}: {reason(error)}; {remedy}") from error
