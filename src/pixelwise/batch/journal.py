"""What is done, line by line, on disk as soon as it is: one journal for each worker of each run.

A line is a checksum and a JSON object. One that a kill or a bad disk left wrong counts as not written: what
it told of is done again.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pixelwise.batch.plan import STATE, Plan
from pixelwise.files import plain_json

_FOLDER = "journal"
_BEGUN = "begun"


@dataclass(frozen=True, kw_only=True)
class Record:
    """What came of one input."""

    index: int
    """In the plan, from 0."""
    output: str = ""
    """Its path below the output folder; empty if it failed."""
    checksum: str = ""
    """SHA-256 of the output."""
    num_bytes: int = 0
    """Of the output."""
    megapixels: float = 0.0
    seconds: float = 0.0
    error: str = ""
    """Why there is no output; empty if there is."""


class Journal:
    """What one worker of a run writes down; to be closed."""

    def __init__(self, out: Path, run: str, worker: str) -> None:
        path = out / STATE / _FOLDER / f"{run}-{worker}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")

    def begin(self, index: int) -> None:
        """Note that an input is begun: who dies now may have died of it."""
        self._write({_BEGUN: index})

    def add(self, record: Record) -> None:
        """Note that an input is done; after this call it is, whatever happens."""
        self._write(asdict(record))
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Write no more."""
        self._file.close()

    def _write(self, entry: dict[str, Any]) -> None:
        content = plain_json(entry).encode()
        self._file.write(b"%08x %s\n" % (zlib.crc32(content), content))
        self._file.flush()


@dataclass(frozen=True)
class Journals:
    """All that is written down of a batch."""

    paths: tuple[Path, ...]
    """In the order of runs."""

    @classmethod
    def of(cls, out: Path, run: str = "") -> Journals:
        """Those of a batch, or of one of its runs."""
        return cls(tuple(sorted((out / STATE / _FOLDER).glob(f"{run}*.jsonl"))))

    def entries(self) -> Iterator[tuple[int, int, dict[str, Any]]]:
        """Each line that is whole: the number of its journal, where in it the line begins, what it says."""
        for number, path in enumerate(self.paths):
            with path.open("rb") as file:
                begin = 0
                for line in file:
                    if (entry := _read(line)) is not None:
                        yield number, begin, entry
                    begin += len(line)

    def records(self) -> Iterator[Record]:
        """What is done; of an input that was done twice, both."""
        return (Record(**entry) for _, _, entry in self.entries() if _BEGUN not in entry)

    def begun(self) -> Iterator[int]:
        """Inputs that were begun, each as often as it was."""
        return (entry[_BEGUN] for _, _, entry in self.entries() if _BEGUN in entry)


def _read(line: bytes) -> dict[str, Any] | None:
    """What a line says, if it is as it was written."""
    mark, _, content = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or mark != b"%08x" % zlib.crc32(content):
        return None
    entry: dict[str, Any] = json.loads(content)
    return entry


def forget(out: Path) -> None:
    """Remove what is written down of a batch whose plan is gone: its numbers are of other photos."""
    shutil.rmtree(out / STATE / _FOLDER, ignore_errors=True)


class Done:
    """Which inputs of a plan are done, and where that is written: 13 bytes for each input.

    An output that is gone or has another size is not done, whatever is written. What failed and was then
    done is done, in whichever order clocks put that.
    """

    def __init__(self, plan: Plan) -> None:
        self.journals = Journals.of(plan.out)
        self.number = np.full(plan.num, -1, np.int32)
        self.begin = np.zeros(plan.num, np.int64)
        self.failed = np.zeros(plan.num, bool)
        for number, begin, entry in self.journals.entries():
            if _BEGUN not in entry and _is_there(plan.out, Record(**entry)):
                index = entry["index"]
                if entry["error"] and self.number[index] >= 0 and not self.failed[index]:
                    continue
                self.number[index], self.begin[index] = number, begin
                self.failed[index] = bool(entry["error"])

    @property
    def mask(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """For each input whether it is done: there is its output, or it is known to have none."""
        return self.number >= 0

    def records(self) -> Iterator[Record]:
        """What is done, in the order of the plan."""
        files = [path.open("rb") for path in self.journals.paths]
        try:
            for index in np.flatnonzero(self.mask):
                file = files[self.number[index]]
                file.seek(self.begin[index])
                entry = _read(file.readline())
                if entry is not None:
                    yield Record(**entry)
        finally:
            for file in files:
                file.close()


def _is_there(out: Path, record: Record) -> bool:
    if record.error:
        return True
    try:
        return (out / record.output).stat().st_size == record.num_bytes
    except OSError:
        return False
