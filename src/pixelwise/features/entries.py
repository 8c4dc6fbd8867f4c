"""An entry of the cache: the maps of one photo at one size, as a safetensors file that is mapped, not read.

Beside the maps, by their level's name, it holds its key and, at the end, where safetensors puts single bytes,
a number with which all words of eight bytes add up to 0 (modulo 2^64). A file that was cut, zeroed or changed
in one place shows it, and to look takes no longer than to read.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from pixelwise.errors import OutputError
from pixelwise.features.tiling import Maps

_DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16}
_CHECKSUM = "checksum"
_WORD_BYTES = 8
_PIECE_BYTES = 2**18
_HEADER_BYTES = 2**16  # for hundreds of maps


@dataclass(frozen=True, slots=True)
class Part:
    """Where one map lies in its file."""

    start: int
    stop: int
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A whole file of maps."""

    path: Path
    num_bytes: int
    dtype: torch.dtype
    parts: tuple[Part, ...]

    def read(self) -> Maps:
        """The maps, mapped into memory anew: they take none once nobody refers to them.

        Raises:
            OutputError: the file was removed since it was found.
        """
        try:
            content = torch.from_file(str(self.path), shared=False, size=self.num_bytes, dtype=torch.uint8)
        except RuntimeError as error:
            raise OutputError(
                f"{self.path} has gone while it was needed; leave the cache alone while pixelwise runs,"
                " and run again"
            ) from error
        return tuple(content[part.start : part.stop].view(self.dtype).view(part.shape) for part in self.parts)


def encode(key: str, names: Sequence[str], maps: Maps) -> bytes:
    """The bytes of an entry; `names` are those of the maps."""
    padding = -sum(one.nbytes for one in maps) % _WORD_BYTES
    last = torch.zeros(padding + _WORD_BYTES, dtype=torch.uint8)
    content = save(dict(zip(names, maps, strict=True)) | {_CHECKSUM: last}, {"key": key})
    missing = -int(np.frombuffer(content, np.uint64).sum()) % 2**64
    return content[:-_WORD_BYTES] + missing.to_bytes(_WORD_BYTES, sys.byteorder)


def find(path: Path, key: str, names: Sequence[str]) -> Entry | None:
    """The entry in a file; None where there is none, or its bytes are no longer those that were written."""
    try:
        with path.open("rb", buffering=0) as file:
            if not _is_whole(file):
                return None
            num_bytes = file.tell()
            file.seek(0)
            return describe(path, num_bytes, file.read(_HEADER_BYTES), key, names)
    except OSError:
        return None
    except (ValueError, KeyError, TypeError):  # whole, but not what is written here
        return None


def describe(path: Path, num_bytes: int, head: bytes, key: str, names: Sequence[str]) -> Entry:
    """The entry in a file of `num_bytes` that begins with `head`."""
    start = _WORD_BYTES + int.from_bytes(head[:_WORD_BYTES], "little")
    header = json.loads(head[_WORD_BYTES:start])
    if (found := header["__metadata__"]["key"]) != key:
        raise ValueError(f"needed the entry {key}, got {found}")
    told = [header[name] for name in names]
    places = [[start + offset for offset in one["data_offsets"]] for one in told]
    parts = [Part(first, last, tuple(one["shape"])) for (first, last), one in zip(places, told, strict=True)]
    return Entry(path, num_bytes, _DTYPES[told[0]["dtype"]], tuple(parts))


def _is_whole(file: FileIO) -> bool:
    """Whether its words add up to nothing, read in pieces that stay in the processor's cache."""
    words = np.empty(_PIECE_BYTES // _WORD_BYTES, np.uint64)
    total = 0
    while num_bytes := file.readinto(words.data):
        if num_bytes % _WORD_BYTES:
            return False
        total += int(words[: num_bytes // _WORD_BYTES].sum())
    return total % 2**64 == 0
