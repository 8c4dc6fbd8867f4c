"""CIFAR-10 by class: 32x32 pictures out of the archive as its authors pack it.

Source: A. Krizhevsky, Learning multiple layers of features from tiny images, 2009. Address and checksums are
those of `torchvision.datasets.CIFAR10`, whose own loader takes no folder with other checksums.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pixelwise.data.download import Remote, fetch, unpack
from pixelwise.data.pickles import byte_array, read_plain
from pixelwise.data.pictures import Pictures, gather
from pixelwise.errors import ConfigError, DataError
from pixelwise.files import checksum, reason

CLASSES: Final = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
"""Names of the labels 0 to 9."""

ALL: Final = "all"
"""Stands for every class."""

FOLDER: Final = "cifar-10-batches-py"
"""The archive's only folder."""

ARCHIVE: Final = Remote(
    url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    about_bytes=170_498_071,
    checksum="c58f30108f718f92721af3b95e74349a",
    algorithm="md5",
)

TRAIN_MD5: Final = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
}
"""Files of the 50,000 training pictures, in order, and what the official ones' checksums are."""

TEST_MD5: Final = {"test_batch": "40351d587109b95175f43aff81a1287e"}
"""The file of the 10,000 test pictures."""

_META = "batches.meta"
_MOST_BYTES = 64_000_000  # twice the largest official file
_REMEDY = f"delete the folder to have it downloaded again, or unpack {ARCHIVE.name} there"


def load_cifar10(name: str, data_dir: Path, archive: Remote = ARCHIVE) -> Pictures:
    """The pictures of one class, or of `all`: training part to learn from, test part to measure on.

    The order is that of the files. A folder laid out as the archive unpacks is used as it is, be it
    `data_dir` itself or inside it; where there is none, `archive` is downloaded into `data_dir`.

    Raises:
        ConfigError: there is no such class.
        DataError: a file is missing, damaged or hostile; `DownloadError` where the download fails.
        OutputError: the download cannot be written.
    """
    if name not in (*CLASSES, ALL):
        raise ConfigError(f"CIFAR-10 needs one of the classes {', '.join(CLASSES)}, or {ALL}; got {name!r}")
    wanted = None if name == ALL else CLASSES.index(name)
    folder = _find_folder(data_dir) or _download(data_dir, archive)
    _require_files(folder)
    _check_names(folder / _META)
    train = _read_pictures(folder, TRAIN_MD5, wanted)
    val = _read_pictures(folder, TEST_MD5, wanted)
    if len(train) == 0 or len(val) == 0:
        num = f"{len(train)} and {len(val)}"
        raise DataError(f"needed training and test pictures of {name} in {folder}, got {num}; {_REMEDY}")
    return gather(f"cifar10:{name}", train, val, _notes(folder))


def _find_folder(data_dir: Path) -> Path | None:
    for folder in (data_dir, data_dir / FOLDER):
        if folder.name == FOLDER and folder.is_dir():
            return folder
        if any((folder / file).exists() for file in TRAIN_MD5):
            return folder
    return None


def _download(data_dir: Path, archive: Remote) -> Path:
    unpack(fetch(archive, data_dir), data_dir / FOLDER)
    return data_dir / FOLDER


def _require_files(folder: Path) -> None:
    needed = [*TRAIN_MD5, *TEST_MD5]
    missing = [file for file in needed if not (folder / file).is_file()]
    if missing:
        found = f"{', '.join(missing)} missing"
        raise DataError(f"needed the files {', '.join(needed)} in {folder}, {found}; {_REMEDY}")


def _notes(folder: Path) -> tuple[str, ...]:
    official = all(checksum(folder / file, "md5") == md5 for file, md5 in (TRAIN_MD5 | TEST_MD5).items())
    return (
        () if official else (f"{folder} has other checksums than the official CIFAR-10: pictures may differ",)
    )


def _check_names(meta: Path) -> None:
    """Another data set in the same layout would give pictures of something else; no file, no check."""
    if not meta.is_file():
        return
    record = _read_record(meta)
    names = _field(meta, record, "label_names")
    if names != [name.encode() for name in CLASSES] and names != list(CLASSES):
        raise DataError(f"{meta} needs CIFAR-10's class names, got others: another data set; {_REMEDY}")


def _read_pictures(folder: Path, files: Iterable[str], wanted: int | None) -> Tensor:
    batches = [_read_batch(folder / file, wanted) for file in files]
    return torch.from_numpy(np.concatenate(batches)).view(-1, 3, 32, 32)


def _read_batch(path: Path, wanted: int | None) -> NDArray[np.uint8]:
    """The rows whose label is wanted, or all: (N, 3072), a plane of red, one of green, one of blue."""
    record = _read_record(path)
    labels = _field(path, record, "labels")
    if not isinstance(labels, list) or not all(type(label) is int and 0 <= label <= 9 for label in labels):
        raise DataError(f"{path} needs labels as a list of integers from 0 to 9; {_REMEDY}")
    try:
        pixels = byte_array(_field(path, record, "data"))
    except DataError as error:
        raise DataError(f"{path}: {error}; {_REMEDY}") from error
    if pixels.shape != (len(labels), 3 * 32 * 32):
        needed = f"({len(labels)}, 3072), red, green and blue of 32x32 pixels for each label"
        raise DataError(f"{path} needs pixels of shape {needed}; got {pixels.shape}; {_REMEDY}")
    return pixels if wanted is None else pixels[np.array(labels, dtype=np.uint8) == wanted]


def _read_record(path: Path) -> dict[object, object]:
    """The dictionary pickled in a file."""
    try:
        if (num_bytes := path.stat().st_size) > _MOST_BYTES:
            raise DataError(f"needed a file of about 31 MB, got {num_bytes} bytes")
        record = read_plain(path.read_bytes())
    except OSError as error:
        raise DataError(f"cannot read {path}: {reason(error)}; {_REMEDY}") from error
    except DataError as error:
        raise DataError(f"{path}: {error}; {_REMEDY}") from error
    if not isinstance(record, dict):
        raise DataError(f"{path} needs to hold a pickled dictionary, got {type(record).__name__}; {_REMEDY}")
    return record


def _field(path: Path, record: dict[object, object], key: str) -> object:
    """A value by its name, which Python 2 wrote as bytes and Python 3 as text."""
    for spelling in (key.encode(), key):
        if spelling in record:
            return record[spelling]
    raise DataError(f"{path} needs a field {key}, got none; {_REMEDY}")
