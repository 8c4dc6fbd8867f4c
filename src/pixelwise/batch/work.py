"""What a worker does: photo after photo, each in a place of its own until it is whole, then recorded."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from pixelwise.batch.archives import Archives
from pixelwise.batch.item import Item
from pixelwise.batch.job import Do
from pixelwise.batch.journal import Journal, Journals, Record
from pixelwise.batch.names import shown
from pixelwise.batch.plan import GROUP_ROWS, STATE, Plan, open_plan
from pixelwise.errors import BatchError, OutputError, PhotoError, PixelwiseError
from pixelwise.files import checksum, reason
from pixelwise.photos.find import Failure, Found, Targets

_MOST_TRIES = 3  # of an input whose worker died
_OF_THE_NAME = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.EINVAL, errno.EILSEQ)
"""Errors of an output's name, which are the input's own."""
_OF_THE_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE)
"""Errors that no photo is to blame for."""
_LEAST_FREE_BYTES = 2**27  # with less on the disk, writing failed for want of it, whatever a library says


@dataclass
class Report:
    """What a worker tells of a chunk."""

    written: int = 0
    megapixels: float = 0.0
    failures: list[tuple[str, str]] = field(default_factory=list)
    """Inputs and why they failed."""
    was_lost: bool = False
    """Whether a worker died over the chunk before."""
    stop: str = ""
    """Why the batch cannot go on; empty if it can."""

    def add(self, item: Item, record: Record) -> None:
        """Count what came of an input."""
        if record.error:
            self.failures.append((item.name, record.error))
        else:
            self.written += 1
            self.megapixels += record.megapixels


@dataclass(frozen=True, kw_only=True)
class Todo:
    """What one run is to do: chunks of the plan, but for what was done before."""

    run: str
    """The run's name, which its journals begin with."""
    size: int
    """Inputs of a chunk; divides GROUP_ROWS."""
    done: np.ndarray[tuple[int], np.dtype[np.bool_]]
    """For each input whether it was done before."""

    @property
    def chunks(self) -> list[int]:
        """Numbers of the chunks in which something is left."""
        return sorted({int(index) // self.size for index in np.flatnonzero(~self.done)})

    def folder(self, out: Path) -> Path:
        """Where this run keeps what is of no use after it."""
        return out / STATE / "runs" / self.run

    def write(self, out: Path) -> None:
        """Write it down for the workers."""
        folder = self.folder(out)
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / "todo.npz", size=self.size, num=len(self.done), done=np.packbits(self.done))

    @classmethod
    def read(cls, out: Path, run: str) -> Todo:
        """As it was written down."""
        with np.load(out / STATE / "runs" / run / "todo.npz", allow_pickle=False) as file:
            done = np.unpackbits(file["done"], count=int(file["num"])).astype(bool)
            return cls(run=run, size=int(file["size"]), done=done)


class Worker:
    """Does chunks of a plan, wherever it runs: plan, state and outputs lie in a folder that it shares.

    To be closed; until then, and until its process ends, no other run begins.
    """

    def __init__(self, out: Path, run: str) -> None:
        self.out = out
        self.todo = Todo.read(out, run)
        self.own = self.todo.folder(out) / uuid.uuid4().hex
        self.own.mkdir()
        self.archives = Archives()
        self.journal = Journal(out, run, self.own.name)
        self._lock = (out / STATE / "working").open("ab")
        fcntl.flock(self._lock, fcntl.LOCK_SH)  # the next run waits until the last worker of this one is gone
        self._opened: tuple[Plan, Do] | None = None
        self._group: tuple[int, list[Item]] = (-1, [])

    def close(self) -> None:
        """Do no more."""
        self.journal.close()
        self._lock.close()

    def do_chunk(self, chunk: int) -> Report:
        """Do what is left of a chunk; what cannot be done is told of, and whether the batch can go on."""
        report = Report()
        try:
            plan, do = self._open()
            mark = self.todo.folder(self.out) / f"chunk-{chunk}"
            report.was_lost, before = self._before(mark)
            for index in range(chunk * self.todo.size, min((chunk + 1) * self.todo.size, plan.num)):
                if not self.todo.done[index]:
                    item = self._item(plan, index)
                    record = before.get(index) or self._do(index, item, do)
                    report.add(item, record)
            mark.unlink(missing_ok=True)
        except (PixelwiseError, OSError) as error:
            report.stop = shown(str(error))
        return report

    def _open(self) -> tuple[Plan, Do]:
        if self._opened is None:
            torch.set_num_threads(1)  # a sum's order, and so its last bits, may depend on how many there are
            plan = open_plan(self.out)
            self._opened = plan, plan.job.opened()[1]
        return self._opened

    def _item(self, plan: Plan, index: int) -> Item:
        group, place = divmod(index, GROUP_ROWS)
        if self._group[0] != group:
            self._group = group, plan.items(group)
        return self._group[1][place]

    def _before(self, mark: Path) -> tuple[bool, dict[int, Record]]:
        """Whether a worker died over this chunk; what is done of it then, and what may have killed it.

        An input that workers died of several times in this run is set aside.
        """
        try:
            mark.touch(exist_ok=False)
        except FileExistsError:
            journals = Journals.of(self.out, self.todo.run)
            done = {record.index: record for record in journals.records()}
            tries = Counter(journals.begun())
            for index, num in tries.items():
                if num >= _MOST_TRIES and index not in done:
                    told = f"its worker died over it {num} times; too large for the memory, or damaged"
                    done[index] = Record(index=index, error=told)
                    self.journal.add(done[index])
            return True, done
        return False, {}

    def _do(self, index: int, item: Item, do: Do) -> Record:
        start_s = time.perf_counter()
        if item.refused:
            record = Record(index=index, error=item.refused)
        else:
            self.journal.begin(index)
            record = self._try(index, item, do, start_s)
        self.journal.add(record)
        return record

    def _try(self, index: int, item: Item, do: Do, start_s: float) -> Record:
        with tempfile.TemporaryDirectory(dir=self.own) as place:
            staged = Path(place) / "output"
            try:
                with self._photo(item) as photo:
                    done = do(Found(photo, Path()), Targets(staged, [], single_file=False))
                digest, num_bytes = checksum(done.path), done.path.stat().st_size
                output = item.target + done.path.suffix
                self._publish(done.path, output, item)
            except BatchError:
                raise
            except Exception as error:  # whatever one photo does to a library, the others are done
                if is_of_the_machine(error, self.own):
                    raise BatchError(
                        f"{_named(str(error), Path(place), item)}; make room, then go on"
                    ) from error
                told = Failure.of(Path(item.name), error).error
                return Record(
                    index=index,
                    seconds=time.perf_counter() - start_s,
                    error=shown(_named(told, Path(place), item)),
                )
        return Record(
            index=index,
            output=output,
            checksum=digest,
            num_bytes=num_bytes,
            megapixels=done.megapixels,
            seconds=time.perf_counter() - start_s,
        )

    @contextmanager
    def _photo(self, item: Item) -> Iterator[Path]:
        """A file with the photo's bytes, under a short name of ours; it must not change while it is read."""
        with tempfile.TemporaryDirectory(prefix="pixelwise-") as folder:
            photo = Path(folder) / f"photo{Path(item.name).suffix}"
            try:
                if item.kind == "file":
                    photo.symlink_to(item.path)
                else:
                    self.archives.copy(item, photo)
                before = _state(item.path)
                if item.stamp and item.stamp != before[-1]:
                    raise PhotoError(f"{item.name}: {item.path} was changed after the batch was planned")
                yield photo
                if _state(item.path) != before:
                    raise PhotoError(f"{item.name}: changed while it was read; begin a new batch with it")
            except PixelwiseError as error:
                raise type(error)(str(error).replace(str(photo), item.name)) from error

    def _publish(self, staged: Path, output: str, item: Item) -> None:
        """Move a whole output under its name."""
        final = self.out / output
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            staged.replace(final)
        except OSError as error:
            told = f"cannot write {final}: {reason(error)}"
            if error.errno in _OF_THE_NAME:
                raise PhotoError(f"{item.name}: {told}") from error
            raise BatchError(told) from error


def _named(told: str, place: Path, item: Item) -> str:
    """A message without names of ours, which differ from run to run."""
    return told.replace(f"{place}/output/photo", item.target).replace(str(place), item.name)


def is_of_the_machine(error: BaseException, folder: Path) -> bool:
    """Whether a failure on writing below a folder is the disk's or the system's, and so would come again."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _OF_THE_MACHINE:
            return True
        cause = cause.__cause__
    return isinstance(error, OutputError) and shutil.disk_usage(folder).free < _LEAST_FREE_BYTES


def _state(path: str) -> tuple[int, int, int]:
    """What tells a file that was changed: number, size, time."""
    about = os.stat(path)  # noqa: PTH116 - the path is kept as text
    return about.st_ino, about.st_size, about.st_mtime_ns


def clear_runs(out: Path) -> None:
    """Remove what earlier runs kept for themselves; none of it is an output."""
    shutil.rmtree(out / STATE / "runs", ignore_errors=True)
