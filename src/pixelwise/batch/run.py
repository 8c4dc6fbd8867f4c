"""A batch from its plan to its manifest, begun or resumed; and an estimate of how long one will take."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain, islice
from pathlib import Path

from pixelwise.batch.cluster import num_processors, start_ray, work
from pixelwise.batch.job import Job
from pixelwise.batch.sources import Item, find_items
from pixelwise.batch.state import SCRATCH, BatchState, Result, open_state
from pixelwise.batch.work import ATTEMPTS, STAGING, is_of_the_machine, make_output
from pixelwise.errors import ConfigError, Interrupted, OutputError
from pixelwise.files import reason
from pixelwise.photos.find import Failure
from pixelwise.progress import announce, progress

_NUM_TIMED = 10  # inputs of a dry run
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class BatchResult:
    """The counts of a batch that is done, and its manifest."""

    manifest: Path
    num_written: int  # outputs of this run
    written: list[str]  # these, in the order of the plan, if they were to be listed
    num_resumed: int  # outputs of earlier runs
    failed: list[Failure]  # inputs without an output, whenever they failed
    seconds: float


def run_batch(
    job: Job,
    sources: Sequence[str],
    out: Path,
    *,
    workers: int | None = None,
    address: str | None = None,
    retry: bool = False,
    list_written: bool = False,
) -> BatchResult:
    """Do a job for every photo of some sources, or go on with that; outputs and manifest go into `out`.

    There are as many `workers` as processors, if not given. `address` is a Ray cluster's, all of whose
    machines see sources and `out` under the same paths. With `retry` what failed before is tried again.
    What fails or comes with a warning is logged as soon as it has; the manifest has all remarks.

    Raises:
        ConfigError: options cannot work, `out` holds something else, or another run is at work there.
        DataError: a source cannot be read or holds no photo, or the state is damaged.
        CheckpointError: the model cannot be read, or is not the one that the batch was begun with.
        OutputError: something cannot be written; what is done is kept.
        Interrupted: by Ctrl-C; what is done is kept.
    """
    start_s = time.perf_counter()
    out = out.absolute()
    job, _ = job.open()
    sources = [os.path.abspath(source) for source in sources]  # noqa: PTH100 - patterns stay as they are
    with open_state(out) as state:
        _plan(state, job, sources)
        state.forget_missing()
        num_resumed = state.num("NOT failed")
        condition = "result IS NULL OR failed" if retry else "result IS NULL"
        written: dict[int, str] = {}
        if num_left := state.num(condition):
            announce(f"{num_left} of {state.num()} photos to {job.task}; {num_resumed} were done before")
            _work(state, job, condition, workers, address, written if list_written else None)
        return BatchResult(
            manifest=state.write_manifest(job),
            num_written=state.num("NOT failed") - num_resumed,
            written=[str(out / written[index]) for index in sorted(written)],
            failed=[Failure(Path(row["path"]), row["error"]) for row in state.rows(job, "failed")],
            num_resumed=num_resumed,
            seconds=time.perf_counter() - start_s,
        )


def _plan(state: BatchState, job: Job, sources: Sequence[str]) -> None:
    """Write the plan, or check that a batch that goes on is the one that was begun."""
    planned = state.plan()
    if planned is None:
        announce("planning: finding the photos")
        state.write_plan(job, sources, find_items(sources, state.out))
        return
    given = asdict(job) | {"sources": tuple(sources)}
    for name, before in (asdict(planned[0]) | {"sources": planned[1]}).items():
        if given[name] != before:
            raise ConfigError(
                f"{state.out} is of a batch whose {name.replace('_', ' ')} is {before}, got {given[name]}; "
                "give the same to go on with it, or begin another with another -o"
            )


def _work(
    state: BatchState,
    job: Job,
    condition: str,
    workers: int | None,
    address: str | None,
    written: dict[int, str] | None,
) -> None:
    """Do the inputs of a condition; put their outputs into `written`, if there is such."""
    num, num_left, num_remarked = state.num(), state.num(condition), 0
    try:
        shutil.rmtree(state.out / SCRATCH, ignore_errors=True)  # of a run that was killed
        for folder in (ATTEMPTS, STAGING):
            (state.out / folder).mkdir(parents=True)
        with (
            start_ray(job, workers, address) as num_workers,
            contextlib.closing(work(job, state.out, state.left(condition), num_workers)) as results,
        ):
            first = list(islice(results, 1))  # by then the workers are up: the pace is measured from here
            with progress(job.task, num, num - num_left) as advance:
                for result in chain(first, results):
                    if result.attempts > 1:
                        _logger.warning("a worker was lost; another took over its photo")
                    published = publish(state, result)
                    num_remarked += bool(published.remarks)
                    for remark in published.remarks:
                        if ": warning: " in remark:
                            _logger.warning(remark)
                    if published.error:
                        _logger.error(published.error)
                    elif written is not None:
                        written[published.index] = published.output
                    advance(1, "")
        if num_remarked:
            announce(f"the manifest has remarks on {num_remarked} of these photos")
    except KeyboardInterrupt:
        done = state.num("result IS NOT NULL")
        raise Interrupted(f"{done} of {num} photos are done; the same command goes on", state.out) from None
    finally:
        shutil.rmtree(state.out / SCRATCH, ignore_errors=True)


def publish(state: BatchState, result: Result) -> Result:
    """Record a result, then move its output under its name; return the result, failed if that name cannot be.

    The record comes first, so that no output lacks one; the next run forgets a record that lacks its output.
    OutputError where the disk is full, or the like.
    """
    state.add(result)
    if not result.error:
        output = state.out / result.output
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            (state.out / STAGING / str(result.index)).replace(output)
        except OSError as error:
            message = f"cannot write {output}: {reason(error)}"
            if is_of_the_machine(error, state.out):
                raise OutputError(f"{message}; make room, then go on. What was done is kept") from error
            result = Result(index=result.index, error=message)
            state.add(result)
    return result


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The number of inputs of a batch, and how long it will take."""

    num: int
    failed: list[Failure]  # those of the inputs timed that would fail
    seconds_each: float  # of one worker for one input; loading the network is left out
    seconds: float  # of all workers for all inputs


def estimate_batch(job: Job, sources: Sequence[str], out: Path, *, workers: int | None = None) -> Estimate:
    """Count the inputs of a batch and time ten of them, drawn at random; nothing is written to `out`.

    Raises:
        ConfigError, DataError, CheckpointError: as `run_batch`.
    """
    job, process = job.open(threads=1)  # as a worker does
    num, drawn, rng = 0, dict[int, Item](), random.Random(0)
    for num, item in enumerate(find_items(sources, out.absolute()), 1):
        place = num if num <= _NUM_TIMED else rng.randint(1, num)  # so that all are as likely to be drawn
        if place <= _NUM_TIMED:
            drawn[place] = item
    failed = []
    start_s = time.perf_counter()
    with progress("timing", len(drawn)) as advance:
        for item in drawn.values():
            with tempfile.TemporaryDirectory(prefix="pixelwise-") as folder:
                try:
                    make_output(item, process, Path(folder))
                except Exception as error:  # as in a batch, the others are timed
                    failed.append(Failure.of(Path(item.name), error))
                    _logger.error(failed[-1].error)
            advance(1, item.name)
    seconds_each = (time.perf_counter() - start_s) / len(drawn)
    seconds = num * seconds_each / (workers or num_processors(job))
    return Estimate(num=num, failed=failed, seconds_each=seconds_each, seconds=seconds)
