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
from threading import Lock
from typing import Any

import numpy as np
from filelock import FileLock
from numpy import ndarray
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from pixelwise.colour.arrays import Float32
from pixelwise.errors import ConfigError, PhotoError
from pixelwise.files import cache_folder, checksum, reason
from pixelwise.network.backbone import Backbone, certified
from pixelwise.network.linear import Maps
from pixelwise.network.session import give_back_memory, usable_processors
from pixelwise.photos.photo import open_photo
from pixelwise.photos.read_ahead import worked_ahead
from pixelwise.progress import progress
from pixelwise.segmenting.extraction import READING, CropView, Extractor, read_photo, to_codes

_logger = logging.getLogger(__name__)
_FORMAT = 6
_THREADS = min(4, usable_processors())
_MEMORY_BYTES = 1_000_000_000  # of features that the disk does not take
_LIMIT_BYTES = 10_000_000_000  # of features on disk, or less:
_FREE_FRAC = 0.1  # of what the disk would have free without them
_SPARE_FRAC = 0.1  # of the limit, free after files are removed
_ROOM_FRAC = 0.25  # of what is free, written before files are counted anew: other processes write, too


Codes = dict[str, NDArray[Any]]
"""What a file holds: `codes` of all maps one after the other, their `shapes`, each channel's `scale`."""


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
        photo = [self.digest, asdict(self.crop.view), READING, self.sizes]
        network = [self.backbone.name, self.backbone.network.sha256, self.backbone.network.device]
        return hashlib.sha256(json.dumps([photo, network, _FORMAT]).encode()).hexdigest()

    @property
    def channels(self) -> list[int]:
        """The number of channels of each map."""
        return [level.channels for _ in self.sizes for level in self.backbone.levels]

    def read(self) -> Maps:
        """Return maps (C, h, w), rounded to 16 bit: size by size and, within a size, level by level.

        Those that were removed to make room, or damaged, are computed again; PhotoError if the photo has gone
        or changed.
        """
        codes, scale = self.read_codes()
        scales = np.split(scale, np.cumsum(self.channels)[:-1])
        return tuple(level * own[:, None, None] for level, own in zip(codes, scales, strict=True))

    def read_codes(self) -> tuple[Maps, Float32[ndarray, " D"]]:
        """Return whole numbers in place of the maps, and the factor that makes features of each channel's."""
        kept = self.cache.read(self)
        shapes = kept["shapes"].tolist()
        parts = np.split(kept["codes"], np.cumsum(kept["shapes"].prod(1))[:-1])
        maps = (part.reshape(shape).transpose(2, 0, 1) for part, shape in zip(parts, shapes, strict=True))
        return tuple(maps), kept["scale"]

    def compute(self, extractor: Extractor) -> Codes:
        """Return the codes of maps computed from the photo."""
        path, multiple = self.crop.photo, self.backbone.multiple
        photo = open_photo(path)
        images = [read_photo(photo, size, multiple, self.crop.view) for size in self.sizes]
        if _digest(path) != self.digest:  # its features would be kept as those of another photo
            raise PhotoError(f"{path}: changed while it was read; run again when it stays as it is")
        maps, scales = zip(*(to_codes(level) for image in images for level in extractor(image)), strict=True)
        codes = np.concatenate([level.ravel() for level in maps])
        return {
            "codes": codes,
            "shapes": np.array([level.shape for level in maps]),
            "scale": np.concatenate(scales),
        }


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
        self._in_memory: dict[str, Codes] = {}
        self._last_extractor: tuple[Backbone, Extractor] | None = None
        self._opening = Lock()

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
        missing = [photo for photo in distinct if not self._is_kept(photo)]
        if missing:
            extractor = self.extractor(backbone)
            computed = worked_ahead(lambda photo: photo.compute(extractor), iter(missing), _THREADS)
            with certified(backbone), progress("extracting features", len(missing)) as advance:
                for photo, codes in zip(missing, computed, strict=True):
                    self._keep(photo, codes)
                    advance(1, photo.crop.photo.name)
            give_back_memory()  # to be there when heads are solved
        return found

    def extractor(self, backbone: Backbone) -> Extractor:
        """Return the extractor of a backbone; the last is kept, since making one takes as long as a photo."""
        with self._opening:
            if self._last_extractor is None or self._last_extractor[0] != backbone:
                # a photo in each thread: threads that share the work on one spend a fifth of it waiting
                self._last_extractor = backbone, Extractor(backbone.in_threads(1))
            return self._last_extractor[1]

    def read(self, photo: PhotoMaps) -> Codes:
        """Return the codes of a photo, computed again where they are not kept or were damaged."""
        if photo.key in self._in_memory:
            return self._in_memory[photo.key]
        path = self._path(photo)
        with contextlib.suppress(OSError, SafetensorError), safe_open(path, "np") as file:
            codes = {name: file.get_tensor(name) for name in ("codes", "shapes", "scale")}
            if file.metadata() == _about(photo, codes):
                return codes
        codes = photo.compute(self.extractor(photo.backbone))
        if path.exists():  # one that was removed would push out what is read next
            self._keep(photo, codes)
        return codes

    def _is_kept(self, photo: PhotoMaps) -> bool:
        """Return whether there are codes of a photo, and mark them as used."""
        try:
            os.utime(self._path(photo))
        except OSError:  # the folder may be another user's
            return photo.key in self._in_memory or self._path(photo).exists()
        return True

    def _path(self, photo: PhotoMaps) -> Path:
        return self.folder / f"{photo.key}.safetensors"

    def _keep(self, photo: PhotoMaps, codes: Codes) -> None:
        """Keep codes on disk or, once that has failed, in memory while there is room for them."""
        if not self._disk_is_full:
            try:
                self._write(photo, codes)
                return
            except OSError as error:
                _logger.warning(
                    "cannot write features to %s: %s; they stay in memory, and the next run computes them"
                    " again; make room or set PIXELWISE_CACHE to another folder",
                    self.folder,
                    reason(error),
                )
                self._disk_is_full = True
        held = (*self._in_memory.values(), codes)
        if sum(array.nbytes for one in held for array in one.values()) <= _MEMORY_BYTES:
            self._in_memory[photo.key] = codes

    def _write(self, photo: PhotoMaps, codes: Codes) -> None:
        from safetensors.numpy import save

        content = save(codes, _about(photo, codes))
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


def _about(photo: PhotoMaps, codes: Codes) -> dict[str, str]:
    """Return the key and a checksum that shows lost or changed bytes."""
    total = 0
    for name in ("codes", "shapes", "scale"):
        total = zlib.crc32(codes[name].data, total)
    return {"about": f"{photo.key} {total}"}  # one value: several are written in any order


def _digest(path: Path) -> str:
    try:
        return checksum(path)
    except OSError as error:
        raise PhotoError(f"{path}: cannot be read: {reason(error)}") from error
