"""CIFAR-10 by class: 32x32 pictures out of the archive as its authors pack it.

Source: A. Krizhevsky, 2009; address and checksums are those of `torchvision.datasets.CIFAR10`.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy import ndarray

from pixelwise.colour.arrays import UInt8
from pixelwise.errors import ConfigError, DataError
from pixelwise.files import checksum
from pixelwise.photos.download import Remote, fetch, unpack
from pixelwise.training.data.pictures import Pictures, gather

CLASSES: Final = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ALL: Final = "all"
FOLDER: Final = "cifar-10-batches-py"  # the archive's only one
ARCHIVE: Final = Remote(
    url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    num_megabytes=170.5,
    checksum="md5:c58f30108f718f92721af3b95e74349a",
)
TRAIN_MD5: Final = {  # files of the 50,000 training pictures, in order, and the official checksums
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
}
TEST_MD5: Final = {"test_batch": "40351d587109b95175f43aff81a1287e"}  # 10,000 pictures
_REMEDY = f"delete the folder to have it downloaded again, or unpack {ARCHIVE.name} there"


def load_cifar10(name: str, data_dir: Path, archive: Remote = ARCHIVE) -> Pictures:
    """Load the pictures of one class, or of `all`, in the order of the files.

    A folder laid out as the archive unpacks is used as it is, be it `data_dir` itself or inside it; where
    there is none, `archive` is downloaded into `data_dir`. ConfigError where there is no such class,
    DataError where a file is missing, damaged or hostile, or the download fails.
    """
    if name not in (*CLASSES, ALL):
        raise ConfigError(f"CIFAR-10 needs one of the classes {', '.join(CLASSES)}, or {ALL}; got {name!r}")
    md5s = TRAIN_MD5 | TEST_MD5
    is_own = data_dir.name == FOLDER and data_dir.is_dir()
    folder = data_dir if is_own or any((data_dir / file).exists() for file in md5s) else data_dir / FOLDER
    if not folder.is_dir():
        unpack(fetch(archive, data_dir), folder)
    parts = []
    for files in (TRAIN_MD5, TEST_MD5):
        batches = [read_batch(folder / file) for file in files]
        pixels, labels = (np.concatenate(rows) for rows in zip(*batches, strict=True))
        if name != ALL:
            pixels = pixels[labels == CLASSES.index(name)]
        parts.append(torch.from_numpy(pixels).view(-1, 3, 32, 32))
    official = all(checksum(folder / file, "md5") == md5 for file, md5 in md5s.items())
    note = f"{folder} has other checksums than the official CIFAR-10: pictures may differ"
    return gather(f"cifar10:{name}", parts[0], parts[1], () if official else (note,))


def read_batch(path: Path) -> tuple[UInt8[ndarray, "N 3072"], UInt8[ndarray, " N"]]:
    """Read pixels, plane by plane, and labels; a DataError where a file is damaged, hostile or another."""
    try:
        content = path.read_bytes()
        _require_small_memo(content)
        record = _PlainUnpickler(io.BytesIO(content), encoding="bytes").load()
        # Keys are bytes of Python 2, or text of Python 3.
        labels, data = (record.get(key.encode(), record.get(key)) for key in ("labels", "data"))
        data = data.values if isinstance(data, _Array) else data
    except Exception as error:  # a damaged or hostile pickle can fail in every way there is
        why = f"{type(error).__name__}: {str(error)[:100]}"
        raise DataError(f"{path}: needed a whole pickle of plain values ({why}); {_REMEDY}") from error
    if not isinstance(labels, list) or not all(type(label) is int and 0 <= label <= 9 for label in labels):
        raise DataError(f"{path} needs labels as a list of integers from 0 to 9; {_REMEDY}")
    needed = np.uint8, (len(labels), 3072)
    if not isinstance(data, ndarray) or (data.dtype, data.shape) != needed:
        raise DataError(f"{path} needs data as bytes of shape ({len(labels)}, 3072), got others; {_REMEDY}")
    return data, np.array(labels, np.uint8)


def _require_small_memo(content: bytes) -> None:
    """Refuse a pickle that numbers a value beyond its own length, for which memory would be taken."""
    for opcode, value, _ in pickletools.genops(content):
        if opcode.name.endswith("PUT") and (value or 0) > len(content):
            raise pickle.UnpicklingError(f"it numbers a value {value}")


class _Kind:
    """The type of an array's numbers."""

    def __init__(self, name: object, *_: object) -> None:
        self.name = name

    def __setstate__(self, state: object) -> None: ...


class _Array:
    """An array of bytes, whose state is checked: numpy believes any, and may crash."""

    values: ndarray | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, is_fortran, content = state
        if isinstance(kind, _Kind) and kind.name in ("u1", b"u1") and not is_fortran:
            self.values = np.frombuffer(content, np.uint8).reshape(shape)


class _PlainUnpickler(pickle.Unpickler):
    """Reads plain values and arrays; a pickle may otherwise call whatever it names."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what makes an array, under the names of numpy 1 and 2; refuse all else."""
        match f"{module}.{name}":
            case "numpy.core.multiarray._reconstruct" | "numpy._core.multiarray._reconstruct":
                return lambda *_: _Array()
            case "numpy.ndarray":
                return object
            case "numpy.dtype":
                return _Kind
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")
