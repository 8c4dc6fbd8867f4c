"""Features of photos, computed once: kept on disk by content, and shared by every later run."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from filelock import FileLock
from safetensors import SafetensorError, safe_open

from pixelwise.errors import ConfigError, PhotoError
from pixelwise.files import cache_folder, checksum, reason
from pixelwise.network.backbone import Backbone, certified
from pixelwise.network.linear import Maps
from pixelwise.network.session import usable_processors
from pixelwise.photos.photo import open_photo
from pixelwise.photos.read_ahead import worked_ahead
from pixelwise.progress import progress
from pixelwise.segmenting.extraction import READING, CropView, Extractor, in_half_precision, read_photo

_logger = logging.getLogger(__name__)
_FORMAT = 5
_THREADS = min(4, usable_processors())
_MEMORY_BYTES = 1_000_000_000  # of features that the disk does not take
_LIMIT_BYTES = 10_000_000_000  # of features on disk, or less:
_FREE_FRAC = 0.1  # of what the disk would have free without them
_SPARE_FRAC = 0.1  # of the limit, free after files are removed
_ROOM_FRAC = 0.25  # of what is free, written before files are counted anew: other processes write, too


@dataclass(frozen=True, eq=False)
class PhotoMaps:
    """The features of one photo, or of a view of it; `digest` is the SHA-256 of its file."""

    crop: CropView
    digest: str
    sizes: tuple[int, ...]
    cache: FeatureCache
    backbone: Backbone

    @cached_property
    def key(self) -> str:
        """The SHA-256 of all that the maps depend on."""
        photo = [self.digest, asdict(self.crop.view), READING, self.names]
        network = [self.backbone.name, self.backbone.network.sha256, self.backbone.network.device]
        return hashlib.sha256(json.dumps([photo, network, _FORMAT]).encode()).hexdigest()

    @property
    def names(self) -> list[str]:
        """The names of the maps in a file."""
        return [f"{level.name}.{size}" for size in self.sizes for level in self.backbone.levels]

    def read(self) -> Maps:
        """Return maps (C, h, w) in half precision: size by size and, within a size, level by level.

        Those that were removed to make room are computed again; PhotoError if the photo has gone or changed.
        """
        return self.cache.find(self) or self.compute(self.cache.extractor(self.backbone))

    def compute(self, extractor: Extractor) -> Maps:
        """Return the maps computed from the photo."""
        path, multiple = self.crop.photo, self.backbone.multiple
        photo = open_photo(path)
        images = [read_photo(photo, size, multiple, self.crop.view) for size in self.sizes]
        if _digest(path) != self.digest:  # its features would be kept as those of another photo
            raise PhotoError(f"{path}: changed while it was read; run again when it stays as it is")
        return tuple(level for image in images for level in in_half_precision(extractor(image)))


class FeatureCache:
    """A folder of features, found by the photo's content and everything else that they depend on.

    Processes may share it and may be killed at any time: KEY.safetensors appears whole, `lock` is held while
    one is added, and those used longest ago go first (time of modification).
    """

    def __init__(self, folder: Path | None = None, limit_bytes: int | None = None) -> None:
        """Keep features in `folder` (None: in PIXELWISE_CACHE or the user's cache folder).

        All together take at most `limit_bytes`; None: 10 GB, or a tenth of a disk with less to spare.
        """
        self.folder = folder or cache_folder() / "features"
        self._limit_bytes = limit_bytes
        self._room_bytes = 0.0  # that may be written before files are counted
        self._disk_is_full = False
        self._in_memory: dict[str, Maps] = {}
        self._last_extractor: tuple[Backbone, Extractor] | None = None

    def maps(
        self,
        photos: Sequence[Path | CropView],
        backbone: Backbone,
        sizes: Sequence[int] | None = None,
    ) -> list[PhotoMaps]:
        """Return the features of photos; only missing ones are computed, and each is kept at once.

        Photos are read at short sides of `sizes` pixels (None: the backbone's). Where there is no room on
        disk, a warning says so, and up to 1 GB stays in memory; what is beyond is computed at each reading.
        ConfigError where a size is not positive; PhotoError where a photo cannot be read, or changes
        meanwhile.
        """
        sizes = tuple(backbone.sizes if sizes is None else sizes)
        if not sizes or min(sizes) < 1:
            raise ConfigError(f"needed sizes of 1 pixel or more, at least one, got {sizes}")
        crops = [photo if isinstance(photo, CropView) else CropView(photo) for photo in photos]
        paths = list({crop.photo: None for crop in crops})
        with ThreadPoolExecutor(_THREADS) as pool:
            digests = dict(zip(paths, pool.map(_digest, paths), strict=True))
            found = [PhotoMaps(crop, digests[crop.photo], sizes, self, backbone) for crop in crops]
            distinct = list({photo.key: photo for photo in found}.values())
            kept = pool.map(lambda photo: self.find(photo, verify=True) is not None, distinct)
            missing = [photo for photo, is_kept in zip(distinct, kept, strict=True) if not is_kept]
        if missing:
            extractor = self.extractor(backbone)
            computed = worked_ahead(lambda photo: photo.compute(extractor), iter(missing), _THREADS)
            with certified(backbone), progress("extracting features", len(missing)) as advance:
                for photo, maps in zip(missing, computed, strict=True):
                    self._keep(photo, maps)
                    advance(1, photo.crop.photo.name)
        return found

    def extractor(self, backbone: Backbone) -> Extractor:
        """Return the extractor of a backbone; the last is kept, since making one takes as long as a photo."""
        if self._last_extractor is None or self._last_extractor[0] != backbone:
            # a photo in each thread: threads that share the work on one spend a fifth of it waiting
            self._last_extractor = backbone, Extractor(backbone.in_threads(1))
        return self._last_extractor[1]

    def find(self, photo: PhotoMaps, verify: bool = False) -> Maps | None:
        """Return the maps of a photo, if they are kept; `verify` that none was damaged on disk."""
        if photo.key in self._in_memory:
            return self._in_memory[photo.key]
        path = self._path(photo)
        try:
            with safe_open(path, "np") as file:
                maps = tuple(np.moveaxis(file.get_tensor(name), -1, 0) for name in photo.names)
                if verify and file.metadata() != _about(photo, maps):
                    return None
        except (OSError, SafetensorError):
            return None
        with contextlib.suppress(OSError):  # the folder may be another user's
            os.utime(path)
        return maps

    def _path(self, photo: PhotoMaps) -> Path:
        return self.folder / f"{photo.key}.safetensors"

    def _keep(self, photo: PhotoMaps, maps: Maps) -> None:
        """Keep maps on disk or, once that has failed, in memory while there is room for them."""
        if not self._disk_is_full:
            try:
                self._write(photo, maps)
                return
            except OSError as error:
                _logger.warning(
                    "cannot write features to %s: %s; they stay in memory, and the next run computes them"
                    " again; make room or set PIXELWISE_CACHE to another folder",
                    self.folder,
                    reason(error),
                )
                self._disk_is_full = True
        if sum(level.nbytes for kept in (*self._in_memory.values(), maps) for level in kept) <= _MEMORY_BYTES:
            self._in_memory[photo.key] = maps

    def _write(self, photo: PhotoMaps, maps: Maps) -> None:
        from safetensors.numpy import save

        arrays = [np.moveaxis(level, 0, -1) for level in maps]
        content = save(dict(zip(photo.names, arrays, strict=True)), _about(photo, maps))
        temporary = self.folder / "writing.tmp"
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "lock", poll_interval=0.005):
            try:
                self._room_bytes -= len(content)
                if self._room_bytes < 0:
                    self._make_room(len(content))
                temporary.write_bytes(content)
                temporary.replace(self._path(photo))
            finally:
                temporary.unlink(missing_ok=True)

    def _make_room(self, num_bytes: int) -> None:
        entries = [(path.stat(), path) for path in self.folder.glob("*.safetensors")]
        held_bytes = sum(stat.st_size for stat, _ in entries) + num_bytes
        limit = self._limit_bytes
        if limit is None:
            free_bytes = shutil.disk_usage(self.folder).free + held_bytes
            limit = int(min(_LIMIT_BYTES, _FREE_FRAC * free_bytes))
        aim = limit if held_bytes <= limit else limit * (1 - _SPARE_FRAC)
        for stat, path in sorted(entries, key=lambda entry: entry[0].st_mtime_ns):
            if held_bytes > aim:
                path.unlink()
                held_bytes -= stat.st_size
        if held_bytes > limit:
            raise OSError(f"they may take {limit / 1e6:.0f} MB")
        self._room_bytes = _ROOM_FRAC * (limit - held_bytes)


def _about(photo: PhotoMaps, maps: Maps) -> dict[str, str]:
    """Return the key and a checksum that shows lost or changed bytes."""
    total = 0
    for level in maps:
        total = zlib.crc32(np.moveaxis(level, 0, -1).data, total)
    return {"about": f"{photo.key} {total}"}  # one value: several are written in any order


def _digest(path: Path) -> str:
    try:
        return checksum(path)
    except OSError as error:
        raise PhotoError(f"{path}: cannot be read: {reason(error)}") from error
