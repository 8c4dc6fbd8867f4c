"""Oxford's 17 flowers: 1360 photos, of which 848 are drawn into flower, leaf, background and sky.

Source: M.-E. Nilsback, A. Zisserman, Delving into the whorl of flower segmentation, BMVC 2007; the files
are on www.robots.ox.ac.uk/~vgg/data/flowers/17.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from pixelwise.data.download import Remote, fetch, unpack
from pixelwise.data.labelled import LabelledPhotos, deal, gather_labelled
from pixelwise.errors import DataError, PixelwiseError
from pixelwise.files import checksum
from pixelwise.masks.folder import SPLITS, SPLITS_FILE, Drawn, ReadLabels
from pixelwise.masks.legend import OXFORD, OXFORD_COLOURS, OXFORD_FLOWER, Legend
from pixelwise.masks.read import read_mask, read_raw

LEGENDS: Final = {"flowers17": OXFORD_FLOWER, "flowers17:classes": OXFORD}
"""What the sources' classes are: the flower and the rest, or all four."""

FOLDER: Final = "flowers17"
"""Where the data set lies below the data directory."""

_PAGE: Final = "https://www.robots.ox.ac.uk/~vgg/data/flowers/17"


@dataclass(frozen=True, kw_only=True, slots=True)
class Archives:
    """The three files that the data set is published in."""

    photos: Remote
    trimaps: Remote
    splits: Remote
    num_trimaps: int = 848


ARCHIVES: Final = Archives(
    photos=Remote(
        url=f"{_PAGE}/17flowers.tgz",
        about_bytes=60_270_631,
        checksum="b59a65d8d1a99cd66944d474e1289eab",
        algorithm="md5",
    ),
    # no checksum of it is known, so that what is unpacked is looked at
    trimaps=Remote(url=f"{_PAGE}/trimaps.tgz", about_bytes=3_915_787, checksum=None, algorithm="md5"),
    splits=Remote(
        url=f"{_PAGE}/datasplits.mat",
        about_bytes=7_487,
        checksum="4828cddfd0d803c5abbdebcb1e148a1e",
        algorithm="md5",
    ),
)

_PHOTOS, _TRIMAPS = "jpg", "trimaps"  # the only folder in each archive
_NUM_PHOTOS = 1360
_OFFICIAL = {"train": "trn1", "val": "val1", "test": "tst1"}
"""The first of three official ways to split, which overlap each other: together they are no split."""


def load_flowers17(source: str, data_dir: Path, archives: Archives = ARCHIVES) -> LabelledPhotos:
    """The flowers with labels in three parts, and those without; `source` is a key of LEGENDS.

    A folder with `jpg/` and `trimaps/`, be it `data_dir` itself or inside it, is used as it is; what of it is
    missing is unpacked from the archives beside it, or downloaded. Its `splits.json`, {part: numbers of
    photos}, comes before the official `datasplits.mat`.

    Raises:
        DataError: a file is missing, damaged, or says that two parts share a photo; `DownloadError` where the
            download fails.
        OutputError: the download cannot be written.
    """
    folder = _find_folder(data_dir) or data_dir / FOLDER
    notes = _complete(folder, archives)
    drawn = _pair(folder, LEGENDS[source])
    if (splits_file := folder / SPLITS_FILE).is_file():
        parts, left_out = deal(drawn, _read_splits(splits_file), splits_file)
    else:
        splits_file = folder / archives.splits.name
        parts, left_out = _deal_official(drawn, folder, splits_file)
        notes += _foreign(splits_file, archives.splits)
    notes += left_out
    unlabelled = (photo for photo in sorted((folder / _PHOTOS).glob("*.jpg")) if photo.stem not in drawn)
    return gather_labelled(source, LEGENDS[source].classes, parts, unlabelled, notes)


def _find_folder(data_dir: Path) -> Path | None:
    """The folder that holds the photos, or the archive of them."""
    marks = (f"{_PHOTOS}/{_stem(1)}.jpg", ARCHIVES.photos.name)
    places = (data_dir / FOLDER, data_dir)
    return next((place for place in places if any((place / mark).exists() for mark in marks)), None)


def _complete(folder: Path, archives: Archives) -> tuple[str, ...]:
    """Unpack or download what the folder does not have; gives a note on what no checksum vouches for."""
    notes: tuple[str, ...] = ()
    if not (folder / _PHOTOS).is_dir():
        unpack(fetch(archives.photos, folder), folder / _PHOTOS)
    if not (folder / _TRIMAPS).is_dir():
        path = fetch(archives.trimaps, folder)
        unpack(
            path, folder / _TRIMAPS, lambda unpacked: _require_trimaps(unpacked, path, archives.num_trimaps)
        )
        if archives.trimaps.checksum is None:
            held = f"{archives.num_trimaps} pictures with the names and the colours of Oxford's"
            notes = (f"{path} could not be verified, since no checksum of it is known; it holds {held}",)
    if not any((folder / name).is_file() for name in (SPLITS_FILE, archives.splits.name)):
        fetch(archives.splits, folder)
    return notes


def _require_trimaps(folder: Path, archive: Path, num: int) -> None:
    """Refuse what are not `num` whole pictures named and coloured as Oxford's trimaps."""
    remedy = "delete it and run again to download it"
    pictures = sorted(path for path in folder.glob("*.png") if not path.name.startswith("."))
    named = {f"{_stem(number)}.png" for number in range(1, _NUM_PHOTOS + 1)}
    if len(pictures) != num or not named.issuperset(path.name for path in pictures):
        odd = next((f", {path.name} among them" for path in pictures if path.name not in named), "")
        needed = f"needed {num} trimaps image_0001.png to {_stem(_NUM_PHOTOS)}.png in {archive}"
        raise DataError(f"{needed}, got {len(pictures)} pictures{odd}; {remedy}")
    with ThreadPoolExecutor() as pool:
        try:
            wrong = [
                path
                for path, right in zip(pictures, pool.map(_is_trimap, pictures), strict=True)
                if not right
            ]
        except PixelwiseError as error:
            raise DataError(f"cannot read what is in {archive}: {error}; {remedy}") from error
    if wrong:
        colours = f"other colours ({len(wrong)} such in all)"
        raise DataError(
            f"needed trimaps in Oxford's colours in {archive}, {wrong[0].name} has {colours}; {remedy}"
        )


def _is_trimap(path: Path) -> bool:
    values = read_raw(path).values
    return values.kind == "palette" and values.colours.items() <= OXFORD_COLOURS.items()


def _pair(folder: Path, legend: Legend) -> dict[str, Drawn]:
    """The photos that have a trimap, by their stems."""

    def reader(trimap: Path) -> ReadLabels:
        return lambda: read_mask(trimap, legend)

    pairs = (
        (folder / _PHOTOS / f"{path.stem}.jpg", path) for path in sorted((folder / _TRIMAPS).glob("*.png"))
    )
    drawn = {trimap.stem: Drawn(photo, trimap, reader(trimap)) for photo, trimap in pairs if photo.is_file()}
    if not drawn:
        needed = f"photos in {folder / _PHOTOS} and trimaps of the same names in {folder / _TRIMAPS}"
        raise DataError(f"needed {needed}, found no pair; delete both folders to have them unpacked again")
    return drawn


def _stem(number: int) -> str:
    return f"image_{number:04}"


def _read_splits(path: Path) -> dict[str, list[str]]:
    """The stems of each part, of which `splits.json` has the numbers."""
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: needed JSON ({error})") from error
    return {part: [_stem(number) for number in _numbers(values, part, path)] for part in SPLITS}


def _numbers(values: Any, part: str, path: Path) -> list[int]:
    numbers = values.get(part) if isinstance(values, Mapping) else None
    if not isinstance(numbers, list) or not all(type(number) is int and number > 0 for number in numbers):
        raise DataError(
            f'{path}: needed the numbers of photos, {{"{part}": [2, 4, ...]}}, got something else'
        )
    return numbers


def _deal_official(
    drawn: Mapping[str, Drawn], folder: Path, path: Path
) -> tuple[dict[str, list[Drawn]], tuple[str, ...]]:
    """The first official split, of all photos: those without trimap are left to the unlabelled."""
    splits = _read_matlab(path)
    absent = [
        stem
        for stems in splits.values()
        for stem in stems
        if not (folder / _PHOTOS / f"{stem}.jpg").is_file()
    ]
    if absent:
        raise DataError(
            f"{path}: needed each of its photos in {folder / _PHOTOS}, {absent[0]} is missing"
            f" ({len(absent)} such in all); delete that folder to have it unpacked again"
        )
    return deal(drawn, {part: [s for s in stems if s in drawn] for part, stems in splits.items()}, path)


def _read_matlab(path: Path) -> dict[str, list[str]]:
    import scipy.io  # a tenth of a second, and few need it

    try:
        values = scipy.io.loadmat(path, variable_names=list(_OFFICIAL.values()))
        numbers = {part: np.asarray(values[key]).ravel() for part, key in _OFFICIAL.items()}
        return {part: [_stem(int(number)) for number in each] for part, each in numbers.items()}
    except Exception as error:  # a damaged file can fail in every way there is
        needed = f"{', '.join(_OFFICIAL.values())} with the numbers of photos"
        reason = f"{type(error).__name__}: {error}"
        raise DataError(
            f"{path}: needed a MATLAB file of {needed} ({reason}); delete it and run again"
        ) from error


def _foreign(path: Path, official: Remote) -> tuple[str, ...]:
    """A note where the split is not the official one."""
    if official.checksum in (None, checksum(path, official.algorithm)):
        return ()
    return (f"{path} has another checksum than the official file: another split",)
