"""Workers on Ray Data: a pool of processes here, or on a cluster, that is handed chunk after chunk.

Ray starts workers anew that were lost, and gives their chunks to others. It hands out no more than workers
can take on soon. What is in its memory is numbers of chunks and reports: photos are read and written by the
workers, each one at a time, so that memory does not grow with the batch.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Generator, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from pixelwise.batch.job import Job
from pixelwise.batch.plan import STATE, Plan
from pixelwise.batch.work import Report, Todo, Worker
from pixelwise.errors import ConfigError
from pixelwise.files import write_text

_STORE_BYTES = 2**27  # of Ray's shared memory, for numbers and reports
_ANSWER_S = 10.0  # for a cluster's head to be reached
_MOST_BLOCKS = 4096  # that Ray is handed; of more chunks, some at a time
_FOLDER = "pw-ray-"  # short: sockets in it have names of a hundred characters at most
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # it would tell its makers how it is used
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # its coming default, of which it warns else
}


@contextlib.contextmanager
def started(plan: Plan, workers: int | None, address: str | None) -> Iterator[int]:
    """Ray, started here or joined, and how many workers there are to be; afterwards it is gone.

    Raises:
        ConfigError: there is no cluster at this address.
    """
    with contextlib.ExitStack() as stack:
        _settle_environment(is_local=address is None)
        # It prints what its machinery notices to standard output, on which --json has a line to itself.
        stack.enter_context(contextlib.redirect_stdout(stack.enter_context(Path(os.devnull).open("w"))))
        num_workers = _join(address) if address else _start(plan, stack, workers or processors(plan.job))
        import ray

        stack.callback(ray.shutdown)
        yield workers or num_workers


def _start(plan: Plan, stack: contextlib.ExitStack, num_workers: int) -> int:
    """Start Ray for this run alone: without a network, a dashboard, or files that stay.

    Raises:
        ConfigError: it cannot be started.
    """
    folder = stack.enter_context(_folder(plan.out / STATE / "ray-folder"))
    import ray

    try:
        with _silent():
            ray.init(
                address="local",
                num_cpus=num_workers,
                include_dashboard=False,
                object_store_memory=_STORE_BYTES,
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=False,
                _node_ip_address="127.0.0.1",
                _temp_dir=folder,
            )
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(f"Ray could not be started in {folder}: {_last_line(error)}") from error
    return num_workers


def _join(address: str) -> int:
    """Join a cluster; gives how many processors it has."""
    import ray

    host, _, port = address.rpartition(":")
    try:
        if host and port.isdecimal():  # Ray itself would wait for minutes
            socket.create_connection((host, int(port)), timeout=_ANSWER_S).close()
        with _silent():
            ray.init(
                address=address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False
            )
    except (OSError, ValueError, RuntimeError) as error:
        told = _last_line(error)
        raise ConfigError(f"needed a Ray cluster at {address}: {told}; start one by `ray start`") from error
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def _last_line(error: Exception) -> str:
    """What an error of Ray comes to, which may tell of a whole process."""
    return (str(error).strip() or type(error).__name__).splitlines()[-1]


def processors(job: Job) -> int:
    """How many workers this machine has room for: one on each processor that we may use, or each GPU."""
    if job.device == "cuda":
        import torch

        return torch.cuda.device_count()
    return len(os.sched_getaffinity(0))


def reports(plan: Plan, todo: Todo, num_workers: int) -> Generator[Report]:
    """What the workers tell, chunk after chunk, as they come.

    Raises:
        ConfigError: Ray cannot run workers, as where this package is not installed.
    """
    import ray.data
    from ray.exceptions import RayError

    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # we tell of errors ourselves
    ray.data.DataContext.get_current().enable_progress_bars = False
    chunks = todo.chunks
    told = ray.data.from_items(
        [{"chunk": chunk} for chunk in chunks], override_num_blocks=min(len(chunks), _MOST_BLOCKS)
    ).map_batches(
        _RayWorker,
        fn_constructor_kwargs={"out": str(plan.out), "run": todo.run},
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=num_workers),
        num_cpus=1,
        num_gpus=1 if plan.job.device == "cuda" else 0,
    )
    try:
        batches = cast("Generator[Any]", iter(told.iter_batches(batch_size=None, prefetch_batches=0)))
        with contextlib.closing(batches):
            for batch in batches:
                for report in batch["report"]:
                    yield Report(**json.loads(report))
    except RayError as error:
        raise ConfigError(
            f"Ray could not run workers: {_last_line(error)}; on a cluster each machine needs this version "
            "of pixelwise. What was done is kept; the same command goes on"
        ) from error


class _RayWorker:
    """A worker as Ray Data calls it."""

    def __init__(self, out: str, run: str) -> None:
        self.worker = Worker(Path(out), run)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        done = [self.worker.do_chunk(int(chunk)) for chunk in batch["chunk"]]
        return {"report": [json.dumps(asdict(report)) for report in done]}


@contextlib.contextmanager
def _folder(note: Path) -> Iterator[str]:
    """A temporary folder for Ray, whose path `note` keeps: after a kill the next run removes it."""
    place = Path(tempfile.gettempdir())
    if note.exists():
        left = Path(note.read_text())
        if left.parent == place and left.name.startswith(_FOLDER):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_FOLDER, ignore_cleanup_errors=True) as folder:
        write_text(note, folder)
        yield folder
    note.unlink()


def _settle_environment(is_local: bool) -> None:
    """Say what Ray reads once, on import; what is set already stays."""
    values = dict(_QUIET)
    if is_local and "ray" not in sys.modules:
        # Whoever may talk to it may run programs: no other user of this machine, then.
        values |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    for name, value in values.items():
        os.environ.setdefault(name, value)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep what is written past Python off standard error, where progress is."""
    sys.stderr.flush()
    with Path(os.devnull).open("w") as nowhere:
        kept = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
