"""What is opened once and kept for the next picture, and when that is out of date."""

from __future__ import annotations

import functools
from pathlib import Path

from pixelwise.backbones import Backbone, open_backbone

Stamp = tuple[tuple[str, int, int], ...]
"""Path, time of the last change in ns and size in bytes, of each file."""


def stamp(name_or_path: str) -> Stamp:
    """What changes when a file, or one of a run folder, is written anew; () of shipped ones."""
    path = Path(name_or_path).absolute()
    files = sorted(path.iterdir()) if path.is_dir() else [path] if path.is_file() else []
    return tuple((str(file), (told := file.stat()).st_mtime_ns, told.st_size) for file in files)


@functools.lru_cache(maxsize=2)
def kept_backbone(name: str) -> Backbone:
    """A frozen network; it is never changed, so that all may share it.

    Raises:
        CheckpointError, ConfigError: as `open_backbone`.
    """
    return open_backbone(name)
