"""Features of photos, computed once: kept on disk by content, and shared by every later run."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

from pixelwise.backbones import Backbone
from pixelwise.errors import ConfigError
from pixelwise.features.entries import Entry, find
from pixelwise.features.extraction import CPU, PhotoLook
from pixelwise.features.filling import THREADS, Ask, Filling, PhotoFile, SizeMaps, Wanted
from pixelwise.features.store import Hold, Store
from pixelwise.features.tiling import Maps
from pixelwise.progress import Advance


@dataclass(frozen=True, eq=False)
class PhotoMaps:
    """The features of one photo, or of a view of it; while this lives, they stay in the cache."""

    look: PhotoLook
    digest: str
    """SHA-256 of the photo's file."""
    sources: tuple[SizeMaps, ...]
    """One for each size."""
    hold: Hold | None
    """What keeps them where they are."""

    def read(self) -> Maps:
        """Maps (C, h, w), size by size and, within a size, level by level.

        They are mapped from disk, anew each time: they take memory while they are used and no longer.

        Raises:
            OutputError: someone removed the files meanwhile.
        """
        return tuple(one for source in self.sources for one in source.read())


def default_folder() -> Path:
    """Where features are kept: `features` in PIXELWISE_CACHE or, if unset, in the user's cache folder.

    Raises:
        ConfigError: there is no such folder, since the user has no home.
    """
    if named := os.environ.get("PIXELWISE_CACHE"):
        return Path(named) / "features"
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "pixelwise" / "features"
    except RuntimeError as error:
        raise ConfigError(
            "needed a folder to keep features in, found no home folder; set PIXELWISE_CACHE"
        ) from error


class FeatureCache:
    """Features on disk, by the photo's content and everything else that they depend on.

    Processes may share a folder and may be killed at any time. Within `limit_bytes` (None: 10 GB, or a tenth
    of a disk with less to spare) features stay until others, used more recently, need the room.
    """

    def __init__(self, folder: Path | None = None, limit_bytes: int | None = None) -> None:
        self.folder = default_folder() if folder is None else folder
        if limit_bytes is not None and limit_bytes < 0:
            raise ConfigError(f"needed a limit of 0 bytes or more, got {limit_bytes}")
        try:
            str(self.folder).encode()
        except UnicodeEncodeError as error:
            raise ConfigError(
                f"needed a folder for features whose name is UTF-8, got {self.folder!a}"
            ) from error
        self._store = Store(self.folder, limit_bytes)

    def maps(
        self,
        photos: Sequence[Path | PhotoLook],
        backbone: Backbone,
        sizes: Sequence[int] | None = None,
        dtype: torch.dtype = torch.bfloat16,
        device: torch.device = CPU,
        advance: Advance = lambda _num, _note: None,
    ) -> list[PhotoMaps]:
        """The features of photos; only those that are not there are computed, and each is kept at once.

        `sizes` are the short sides in pixels, at each of which a photo is read (None: the backbone's). Where
        there is no room on disk, a warning says so once and features stay in memory, up to 1 GB. `advance`
        is called with the number of photos just done.

        Raises:
            ConfigError: a size is not positive, or `dtype` is neither bf16 nor fp32.
            PhotoError: a photo cannot be read.
            OutputError: features fit neither on disk nor in memory.
            FrozenError: the backbone is in training mode, or changed while it looked.
        """
        ask = Ask(backbone, tuple(backbone.sizes if sizes is None else sizes), dtype, device)
        looks = [one if isinstance(one, PhotoLook) else PhotoLook(one) for one in photos]
        with ThreadPoolExecutor(THREADS) as pool:
            files = _summed_up(looks, pool)
            seen = [(files[look.photo].digest, look.view) for look in looks]
            keys = {one: ask.keys(one) for one in seen}
            every = list(itertools.chain(*keys.values()))
            hold = self._store.hold(every)
            entries = pool.map(lambda key: self._find(key, ask), every)
            found: dict[str, SizeMaps] = {
                key: entry for key, entry in zip(every, entries, strict=True) if entry is not None
            }
        wanted = {}
        for look, one in zip(looks, seen, strict=True):
            missing = {key: size for key, size in zip(keys[one], ask.sizes, strict=True) if key not in found}
            if missing:
                wanted[one] = Wanted(files[look.photo], one, missing)
        copies = Counter(seen)
        advance(len(looks) - sum(copies[one] for one in wanted), "from the cache")
        if wanted:
            for done, sources in Filling(self._store, ask).run(wanted.values()):
                found |= sources
                advance(copies[done.seen], done.file.path.name)
        return [
            PhotoMaps(look, files[look.photo].digest, tuple(found[key] for key in keys[one]), hold)
            for look, one in zip(looks, seen, strict=True)
        ]

    def num_missing(
        self, looks: Sequence[PhotoLook], backbone: Backbone, sizes: Sequence[int], device: torch.device = CPU
    ) -> int:
        """How many of some different looks `maps` would have to compute, in bf16, at one size at least.

        Raises:
            PhotoError: a photo cannot be read.
        """
        ask = Ask(backbone, tuple(sizes), torch.bfloat16, device)
        with ThreadPoolExecutor(THREADS) as pool:
            files = _summed_up(looks, pool)
            keys = [ask.keys((files[look.photo].digest, look.view)) for look in looks]
            return sum(not there for there in pool.map(lambda some: self._has(some, ask), keys))

    def _has(self, keys: Iterable[str], ask: Ask) -> bool:
        return all(find(self._store.path(key), key, ask.names) for key in keys)

    def _find(self, key: str, ask: Ask) -> Entry | None:
        entry = find(self._store.path(key), key, ask.names)
        if entry is not None:
            self._store.touch(key)
        return entry


def _summed_up(looks: Iterable[PhotoLook], pool: ThreadPoolExecutor) -> dict[Path, PhotoFile]:
    """Each photo that is looked at, its content summed up once."""
    paths = list(dict.fromkeys(look.photo for look in looks))
    return dict(zip(paths, pool.map(PhotoFile.of, paths), strict=True))
