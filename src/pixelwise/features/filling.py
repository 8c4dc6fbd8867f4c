"""What a cache of features is asked for, and computing what it has not got."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock

import torch

from pixelwise.backbones import Backbone
from pixelwise.errors import ConfigError, OutputError, PhotoError
from pixelwise.features.entries import Entry, describe, encode
from pixelwise.features.extraction import READING, Extractor, computed_in, read_photo
from pixelwise.features.store import Store
from pixelwise.features.tiling import Maps
from pixelwise.files import checksum, reason
from pixelwise.frozen import certified
from pixelwise.photos.ahead import worked_ahead
from pixelwise.photos.view import View
from pixelwise.processor import ONE_THREAD

_logger = logging.getLogger(__name__)
_FORMAT = 2
_DTYPES = (torch.bfloat16, torch.float32)
_MEMORY_BYTES = 1_000_000_000  # of features that the disk does not take
THREADS = min(4, os.cpu_count() or 1)
"""How many photos are summed up, or looked at, at once."""


@dataclass(frozen=True)
class Unkept:
    """Maps that could not be kept on disk, in memory."""

    maps: Maps

    def read(self) -> Maps:
        """The maps."""
        return self.maps


SizeMaps = Entry | Unkept
"""Where the maps of one photo at one size come from."""


@dataclass(frozen=True)
class PhotoFile:
    """A photo's file as it was when its content was summed up."""

    path: Path
    digest: str
    """SHA-256 of its bytes."""
    state: tuple[int, ...]

    @classmethod
    def of(cls, path: Path) -> PhotoFile:
        """Sum up a file.

        Raises:
            PhotoError: it cannot be read.
        """
        try:
            state = _state(path)
            return cls(path, checksum(path), state)
        except OSError as error:
            raise PhotoError(f"{path}: cannot be read: {reason(error)}") from error

    def require_unchanged(self) -> None:
        """Refuse a file that is no longer the one that was summed up: its features would get a wrong name.

        Raises:
            PhotoError: it has changed.
        """
        try:
            state = _state(self.path)
        except OSError:  # it has gone
            state = ()
        if state != self.state:
            raise PhotoError(f"{self.path}: changed while it was read; run again when it stays as it is")


def _state(path: Path) -> tuple[int, ...]:
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        kind = "folder" if stat.S_ISDIR(about.st_mode) else "device"
        raise PhotoError(f"{path}: needed a photo, got a {kind}")
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns


Seen = tuple[str, View]
"""What tells the features of one photo from those of others: its content, and which part of it is seen."""


@dataclass(frozen=True, eq=False)
class Ask:
    """What features are asked for, of whatever photo.

    Raises:
        ConfigError: a size is not positive, or features of this `dtype` are not kept.
    """

    backbone: Backbone
    sizes: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device

    def __post_init__(self) -> None:
        if not self.sizes or min(self.sizes) < 1:
            raise ConfigError(f"needed sizes of 1 pixel or more, at least one, got {self.sizes}")
        if self.dtype not in _DTYPES:
            raise ConfigError(f"needed features in bfloat16 or float32, got {self.dtype}")

    @property
    def names(self) -> tuple[str, ...]:
        """Of the maps of each size."""
        return tuple(level.name for level in self.backbone.levels)

    def keys(self, seen: Seen) -> tuple[str, ...]:
        """What the features at each size are kept under: a sum of all that they depend on."""
        digest, view = seen
        about = {
            "format": _FORMAT,
            "photo": digest,
            "view": asdict(view),
            "reading": READING,
            "backbone": [self.backbone.name, self.backbone.checksum, self.backbone.implementation],
            "levels": self.names,
            "dtype": str(self.dtype),
            "computed": [computed_in(self.dtype, self.device), self.device.type],
        }
        texts = (json.dumps(about | {"size": size}, sort_keys=True) for size in self.sizes)
        return tuple(hashlib.sha256(text.encode()).hexdigest() for text in texts)


@dataclass(frozen=True)
class Wanted:
    """A look at a photo, and which of its keys are missing."""

    file: PhotoFile
    seen: Seen
    missing: dict[str, int]
    """Key to size."""


class Filling:
    """What is missing, read, computed and kept, some photos at once."""

    def __init__(self, store: Store, ask: Ask) -> None:
        self._store = store
        self._ask = ask
        self._extractor = Extractor(ask.backbone, ask.dtype, ask.device)
        self._lock = Lock()  # of what follows
        self._failure: OutputError | None = None
        self._in_memory_bytes = 0

    def run(self, wanted: Iterable[Wanted]) -> Iterator[tuple[Wanted, dict[str, SizeMaps]]]:
        """Each look, and what was missing of it by key.

        Raises:
            PhotoError: a photo cannot be read.
            OutputError: there is no room on disk, nor in memory.
            FrozenError: the network changed while it looked, which is a fault of ours.
        """
        with certified(self._extractor):
            yield from worked_ahead(self._fill, iter(wanted), THREADS)

    def _fill(self, wanted: Wanted) -> tuple[Wanted, dict[str, SizeMaps]]:
        """From file to file in one thread: threads that share a photo spend a third of it waiting."""
        path, multiple, view = wanted.file.path, self._ask.backbone.multiple, wanted.seen[1]
        with ONE_THREAD:
            images = {key: read_photo(path, size, multiple, view) for key, size in wanted.missing.items()}
            wanted.file.require_unchanged()
            return wanted, {key: self._keep(key, self._extractor(one)) for key, one in images.items()}

    def _keep(self, key: str, maps: Maps) -> SizeMaps:
        """On disk or, once that has failed, in memory."""
        if self._failure is None:
            content = encode(key, self._ask.names, maps)
            try:
                path = self._store.add(key, content)
                return describe(path, len(content), content, key, self._ask.names)
            except OutputError as error:
                self._fail(error)
        with self._lock:
            self._in_memory_bytes += sum(one.nbytes for one in maps)
            if self._in_memory_bytes > _MEMORY_BYTES:
                raise OutputError(
                    f"{self._failure}; memory takes at most {_MEMORY_BYTES / 1e9:g} GB instead: make room,"
                    " put the cache elsewhere by PIXELWISE_CACHE, or take fewer photos or smaller sizes"
                ) from self._failure
        return Unkept(maps)

    def _fail(self, error: OutputError) -> None:
        """Say so, once."""
        with self._lock:
            if self._failure is None:
                _logger.warning("%s; features stay in memory, and the next run computes them again", error)
                self._failure = error
