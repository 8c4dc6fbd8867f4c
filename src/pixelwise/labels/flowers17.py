"""Oxford's 17 flowers: 1360 photos, of which 848 are drawn into flower, leaf, background and sky.

Source: M.-E. Nilsback, A. Zisserman, Delving into the whorl of flower segmentation, BMVC 2007; the files
are on www.robots.ox.ac.uk/~vgg/data/flowers/17.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NamedTuple

from pixelwise.errors import DataError
from pixelwise.files import checksum
from pixelwise.labels.folder import SPLITS_FILE, read_splits
from pixelwise.labels.labelled import LabelledPhoto, LabelledPhotos, deal
from pixelwise.labels.legend import OXFORD, OXFORD_FLOWER, Legend
from pixelwise.labels.read import read_mask, read_raw
from pixelwise.photos.download import Remote, fetch, unpack

LEGENDS = {"flowers17": OXFORD_FLOWER, "flowers17:classes": OXFORD}
"""By source: the flower and the rest, or all four classes."""

_PAGE = "https://www.robots.ox.ac.uk/~vgg/data/flowers/17"


class Archives(NamedTuple):
    """The three files that the data set is published in."""

    photos: Remote = Remote(
        url=f"{_PAGE}/17flowers.tgz", num_megabytes=60.3, checksum="md5:b59a65d8d1a99cd66944d474e1289eab"
    )
    # no checksum of it is known, so what is unpacked is checked
    trimaps: Remote = Remote(url=f"{_PAGE}/trimaps.tgz", num_megabytes=3.9, checksum=None)
    num_trimaps: int = 848
    splits: Remote = Remote(
        url=f"{_PAGE}/datasplits.mat", num_megabytes=0.01, checksum="md5:4828cddfd0d803c5abbdebcb1e148a1e"
    )


_PHOTOS, _TRIMAPS = "jpg", "trimaps"  # the only folder in each archive
_OFFICIAL = {"train": "trn1", "val": "val1", "test": "tst1"}
"""The first of three official ways to split, which overlap each other: together they are no split."""


def load_flowers17(source: str, data_dir: Path, archives: Archives = Archives()) -> LabelledPhotos:  # noqa: B008 - a tuple
    """Load the flowers with labels in three parts, and those without; `source` is a key of LEGENDS.

    A folder with `jpg/` and `trimaps/`, be it `data_dir` itself or inside it, is used as it is; what of it is
    missing is unpacked from the archives beside it, or downloaded. Its `splits.json`, {part: numbers of
    photos}, comes before the official `datasplits.mat`. DataError where a file is missing, damaged, or says
    that two parts share a photo.
    """
    folder = _find_folder(data_dir)
    notes = _complete(folder, archives)
    photos = _pair(folder, LEGENDS[source])
    drawn = {photo.stem for photo in photos}
    splits_file = folder / SPLITS_FILE
    if splits_file.is_file():
        numbers = read_splits(splits_file, int)
        splits = {part: [_stem(number) for number in of_part] for part, of_part in numbers.items()}
    else:
        splits_file = folder / archives.splits.name
        splits = {  # of all photos: those without trimap are left to the unlabelled
            part: [stem for stem in stems if stem in drawn]
            for part, stems in _read_matlab(splits_file, folder / _PHOTOS).items()
        }
        if archives.splits.checksum != f"md5:{checksum(splits_file, 'md5')}":
            notes += (f"{splits_file} has another checksum than the official file: another split",)
    parts, left_out = deal(photos, splits, splits_file)
    unlabelled = (photo for photo in sorted((folder / _PHOTOS).glob("*.jpg")) if photo.stem not in drawn)
    return LabelledPhotos.of(source, LEGENDS[source].classes, parts, unlabelled, notes + left_out)


def _find_folder(data_dir: Path) -> Path:
    """Return the folder that holds the photos or their archive, or else where they are to come."""
    inside = data_dir / "flowers17"
    marks = (f"{_PHOTOS}/{_stem(1)}.jpg", Archives().photos.name)
    found = (one for one in (inside, data_dir) if any((one / mark).exists() for mark in marks))
    return next(found, inside)


def _complete(folder: Path, archives: Archives) -> tuple[str, ...]:
    """Unpack or download what the folder lacks; give a note on what no checksum vouches for."""
    notes: tuple[str, ...] = ()
    if not (folder / _PHOTOS).is_dir():
        unpack(fetch(archives.photos, folder), folder / _PHOTOS)
    if not (folder / _TRIMAPS).is_dir():
        path = fetch(archives.trimaps, folder)

        def require_trimaps(unpacked: Path) -> None:
            found = [read_raw(one).values.may_be_trimap for one in unpacked.glob("image_*.png")]
            if sum(found) != archives.num_trimaps or not all(found):
                needed = f"{archives.num_trimaps} trimaps image_*.png in Oxford's colours in {path}"
                got = f"{sum(found)} among {len(found)}"
                raise DataError(f"needed {needed}, got {got}; delete it and run again to download it")

        unpack(path, folder / _TRIMAPS, require_trimaps)
        notes = (f"{path} could not be verified, since no checksum of it is known",)
    if not any((folder / name).is_file() for name in (SPLITS_FILE, archives.splits.name)):
        fetch(archives.splits, folder)
    return notes


def _pair(folder: Path, legend: Legend) -> list[LabelledPhoto]:
    photos = []
    for trimap in sorted((folder / _TRIMAPS).glob("*.png")):
        photo = folder / _PHOTOS / f"{trimap.stem}.jpg"
        if photo.is_file():
            photos.append(LabelledPhoto(photo, trimap, partial(read_mask, trimap, legend)))
    if not photos:
        needed = f"photos in {folder / _PHOTOS} and trimaps of the same names in {folder / _TRIMAPS}"
        raise DataError(f"needed {needed}, found no pair; delete both folders to have them unpacked again")
    return photos


def _stem(number: int) -> str:
    return f"image_{number:04}"


def _read_matlab(path: Path, photos: Path) -> dict[str, list[str]]:
    """Read the stems of each official part, and refuse those whose photos are missing."""
    import scipy.io  # a tenth of a second, and few need it

    try:
        values = scipy.io.loadmat(path, variable_names=list(_OFFICIAL.values()))
        splits = {part: [_stem(int(n)) for n in values[key].ravel()] for part, key in _OFFICIAL.items()}
    except Exception as error:  # a damaged file can fail in every way there is
        needed = f"a MATLAB file of {', '.join(_OFFICIAL.values())} with the numbers of photos"
        reason = f"{type(error).__name__}: {error}"
        raise DataError(f"{path}: needed {needed} ({reason}); delete it, run again") from error
    absent = [stem for stems in splits.values() for stem in stems if not (photos / f"{stem}.jpg").is_file()]
    if absent:
        missing = f"{absent[0]} is missing ({len(absent)} such in all); delete that folder to unpack it again"
        raise DataError(f"{path}: needed each of its photos in {photos}, {missing}")
    return splits
