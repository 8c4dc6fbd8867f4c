"""A batch from its plan to its manifest: begun, or gone on with; one run at a time."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import logging
import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from pixelwise.batch.cluster import reports, started
from pixelwise.batch.job import Job
from pixelwise.batch.journal import Done, forget
from pixelwise.batch.manifest import read_manifest, write_manifest
from pixelwise.batch.plan import ABOUT, GROUP_ROWS, STATE, Plan, open_plan, require_fresh, write_plan
from pixelwise.batch.sources import items
from pixelwise.batch.work import Report, Todo, clear_runs
from pixelwise.errors import ConfigError, Interrupted, OutputError
from pixelwise.files import reason
from pixelwise.photos.find import Failure
from pixelwise.progress import announce, progress

_logger = logging.getLogger(__name__)
_LARGEST_CHUNK = 32  # photos: progress is told of, and a lost worker's work looked through, by the chunk
_MOST_CHUNKS = 2**17  # numbers that Ray holds at once
_CHUNKS_EACH = 16  # of a worker, at least, so that none waits long for the last
_LEFTOVERS_S = 60.0  # a killed run's workers notice within seconds that it is gone


@dataclass(frozen=True, kw_only=True)
class Finished:
    """What came of a batch."""

    manifest: Path
    before: np.ndarray[tuple[int], np.dtype[np.bool_]]
    """For each input whether an earlier run had its output."""
    written: int
    """Outputs of this run."""
    failed: int
    """Inputs without an output, whenever they failed."""
    seconds: float

    @property
    def resumed(self) -> int:
        """Outputs of earlier runs."""
        return int(self.before.sum())

    def outputs(self) -> Iterator[str]:
        """Paths of the outputs of this run, in the order of the plan."""
        for row in read_manifest(self.manifest.parent):
            if row["output"] and not self.before[row["index"]]:
                yield str(self.manifest.parent / row["output"])

    def failures(self) -> Iterator[Failure]:
        """Every input that failed, whenever it did."""
        for row in read_manifest(self.manifest.parent):
            if row["error"]:
                yield Failure(Path(row["path"]), row["error"])


def run_batch(
    job: Job,
    sources: Sequence[str],
    out: Path,
    *,
    column: str = "",
    workers: int | None = None,
    address: str | None = None,
    retry: bool = False,
    tell: Callable[[Report], None] = lambda _report: None,
) -> Finished:
    """Do a job for every photo of some sources, or go on with that; outputs and manifest go into `out`.

    `workers` are as many as there are processors, if not given. `address` is a Ray cluster's, all of whose
    machines see sources and `out` under the same paths. With `retry` what failed before is tried again.
    `tell` is called with what workers report.

    Raises:
        ConfigError: options cannot work, `out` holds something else, or another run is at work there.
        DataError: a source cannot be read or names no photo, or the plan is damaged.
        CheckpointError: the model cannot be read, or is not the one that the batch was begun with.
        OutputError: something cannot be written: what is done is kept.
        Interrupted: by Ctrl-C: what is done is kept.
    """
    if workers is not None and workers < 1:
        raise ConfigError(f"workers need to be 1 or more, got {workers}")
    start_s = time.perf_counter()
    out = out.absolute()
    job, _ = job.opened()
    sources = [_absolute(source) for source in sources]
    if not (out / ABOUT).exists():
        require_fresh(out)
    with _alone(out):
        plan = _planned(out, job, sources, column)
        done = Done(plan)
        before = done.mask & ~done.failed
        ended = before if retry else done.mask
        left = plan.num - int(ended.sum())
        if left:
            announce(f"{left} of {plan.num} photos to {job.task}; {int(before.sum())} were done before")
            _work(plan, ended, workers, address, tell)
            done = Done(plan)
        manifest = write_manifest(plan, done)
    return Finished(
        manifest=manifest,
        before=before,
        written=int((done.mask & ~done.failed & ~before).sum()),
        failed=int(done.failed.sum()),
        seconds=time.perf_counter() - start_s,
    )


def _planned(out: Path, job: Job, sources: Sequence[str], column: str) -> Plan:
    """The plan to go on with, or a new one."""
    if (out / ABOUT).exists():
        plan = open_plan(out)
        plan.require_same(job, sources, column)
        return plan
    announce("planning: finding the photos")
    forget(out)
    return write_plan(out, job, sources, column, items(sources, out, column))


def _work(
    plan: Plan,
    done: np.ndarray[tuple[int], np.dtype[np.bool_]],
    workers: int | None,
    address: str | None,
    tell: Callable[[Report], None],
) -> None:
    """Have everything done that is left."""
    run = f"{time.time_ns():020}-{uuid.uuid4().hex[:6]}"
    num_before = int(done.sum())
    try:
        with started(plan, workers, address) as num_workers:
            todo = Todo(run=run, size=chunk_size(plan.num - num_before, num_workers), done=done)
            todo.write(plan.out)
            # closed before Ray ends, or its own end would find nothing left
            with contextlib.closing(reports(plan, todo, num_workers)) as stream:
                _follow(stream, plan, num_before, tell)
    except KeyboardInterrupt:
        told = f"{Done(plan).mask.sum()} of {plan.num} photos are done; the same command goes on"
        raise Interrupted(told, plan.out) from None


def _follow(stream: Iterator[Report], plan: Plan, num_before: int, tell: Callable[[Report], None]) -> None:
    """Show how far workers are, by what they tell.

    Raises:
        OutputError: one of them cannot write.
    """
    num = 0
    first = next(stream, Report())  # from then on workers are at work, and their pace tells
    start_s = time.perf_counter()
    with progress(plan.job.task, plan.num, num_before) as advance:
        for report in itertools.chain([first], stream):
            tell(report)
            if report.stop:
                raise OutputError(f"{report.stop}. What was done is kept; the same command goes on")
            if report.was_lost:
                _logger.warning("a worker was lost; another went on with what it had begun")
            some = report.written + len(report.failures)
            advance(some, f"{num / (time.perf_counter() - start_s):.1f} photos/s")
            num += some


def chunk_size(num: int, workers: int) -> int:
    """Photos that a worker is handed at once: a power of two, so that no chunk lies in two row groups."""
    wanted = max(min(num // (_CHUNKS_EACH * workers), _LARGEST_CHUNK), num // _MOST_CHUNKS, 1)
    return min(1 << (wanted.bit_length() - 1), GROUP_ROWS)


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keep other runs out of a batch, and wait for workers that a killed one left to be gone.

    Raises:
        ConfigError: another run is at work there.
        OutputError: the folder cannot be written.
    """
    state = out / STATE
    try:
        state.mkdir(parents=True, exist_ok=True)
        opened = (state / "lock").open("ab")
    except OSError as error:
        raise OutputError(f"cannot write into {out}: {reason(error)}") from error
    with opened as lock:
        if not _locked(lock):
            raise ConfigError(f"another run is at work on {out}; wait for it, or choose another -o")
        with (state / "working").open("ab") as working:
            until_s = time.monotonic() + _LEFTOVERS_S
            while not _locked(working):
                if time.monotonic() > until_s:
                    raise ConfigError(f"an earlier run's workers are still at work on {out}; stop them first")
                time.sleep(0.1)
        clear_runs(out)
        yield
        clear_runs(out)


def _locked(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _absolute(source: str) -> str:
    """A source as it is called from anywhere."""
    return os.path.abspath(source)  # noqa: PTH100 - patterns and links stay as they are
