"""A folder of colour photos to learn from: what is left out, and what is held out to score on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pixelwise.config import ColourFinetuneConfig
from pixelwise.data.in_colour import Glimpse, left_out
from pixelwise.errors import DataError
from pixelwise.evaluate.colours import photos_of
from pixelwise.features import read_photo
from pixelwise.files import checksum
from pixelwise.finetune.shots import draw
from pixelwise.photos.find import Failure
from pixelwise.photos.photo import open_photo

_GLIMPSE = 64  # pixels on the short side: enough to tell grey, sepia and equal photos
_FEWEST = 5  # photos, to hold one out
_MOST_HELD_OUT = 60


@dataclass(frozen=True)
class Album:
    """Different photos in colour."""

    shots: tuple[Path, ...]
    """To learn from."""
    held_out: tuple[Path, ...]
    """To score on: a fifth of all, 60 at most; none of fewer than 5."""
    notes: tuple[str, ...]
    """On each photo that was left out."""


def open_album(config: ColourFinetuneConfig) -> Album:
    """The colour photos of a folder and of those below it; of equal ones the first.

    Which are held out, their contents decide, so that they stay the same under other names.

    Raises:
        ConfigError: the source is no folder, or more photos are to be drawn than there are.
        DataError: there is no such folder, or no photo in colour in it.
    """
    paths, failed = photos_of(config.source)
    with ThreadPoolExecutor() as pool:
        looked = list(pool.map(_glimpse, paths))
    glimpses = [one for one in looked if isinstance(one, Glimpse)]
    failed += [one for one in looked if isinstance(one, Failure)]
    unfit = left_out(glimpses)
    notes = (*unfit.values(), *(f"left out {one.error}" for one in failed))
    photos = sorted(one.path for one in glimpses if one.path not in unfit)
    if not photos:
        reasons = f": {'; '.join(notes[:3])}" if notes else ""
        raise DataError(f"needed photos in colour to learn from in {config.source}, got none{reasons}")
    num = min(_MOST_HELD_OUT, len(photos) // _FEWEST)
    held_out = set(sorted(photos, key=checksum)[:num])
    shots = draw([path for path in photos if path not in held_out], config.shots, config.seed)
    return Album(shots, tuple(path for path in photos if path in held_out), notes)


def _glimpse(path: Path) -> Glimpse | Failure:
    try:
        photo = open_photo(path)
        height, width = photo.upright_size
        return Glimpse.of(path, read_photo(photo, _GLIMPSE, 1), height / width)
    except Exception as error:  # whatever one photo does to a library, the others are looked at
        return Failure.of(path, error)
