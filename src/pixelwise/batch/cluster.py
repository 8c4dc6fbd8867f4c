"""Workers on Ray Data: a pool of processes, here or on a cluster, that hold the network.

Ray Data hands out numbers of inputs, no more at once than workers can take on soon, starts workers anew that
were lost and gives their inputs to others. Photos never pass through it: workers read and write them.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import secrets
import socket
import sys
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from pixelwise.batch.job import Job
from pixelwise.batch.state import Result
from pixelwise.batch.work import Worker
from pixelwise.errors import ConfigError, OutputError
from pixelwise.files import temporary_folder
from pixelwise.network.session import usable_processors

_STORE_BYTES = 2**27  # of Ray's shared memory, for numbers and results
_ANSWER_S = 10.0  # for a cluster's head to be reached


@contextlib.contextmanager
def start_ray(job: Job, workers: int | None, address: str | None) -> Iterator[int]:
    """Start Ray for this run alone, or join a cluster; give the number of workers. Stop it afterwards.

    ConfigError where Ray cannot be started, or there is no cluster at this address.
    """
    environment = dict.fromkeys(("RAY_USAGE_STATS_ENABLED", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"), "0")
    environment["RAY_BACKEND_LOG_LEVEL"] = "fatal"
    if not address and "ray" not in sys.modules:
        # Whoever may talk to Ray may run programs: no other user of this machine, then.
        environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    for name, value in environment.items():
        os.environ.setdefault(name, value)
    num = workers or num_processors(job)
    with (
        # Ray prints remarks to standard output, on which --json has a line to itself.
        contextlib.redirect_stdout(io.StringIO()),
        # A short name: sockets in it have names of a hundred characters at most.
        temporary_folder("pw-ray-") as folder,
    ):
        import ray

        options: dict[str, Any] = {"address": address}
        if not address:
            options = {
                "address": "local",
                "num_cpus": num,
                "include_dashboard": False,
                "object_store_memory": _STORE_BYTES,
                "_node_ip_address": "127.0.0.1",
                "_temp_dir": str(folder),
            }
        try:
            host, _, port = (address or "").rpartition(":")
            if host and port.isdecimal():  # Ray itself would wait for minutes
                socket.create_connection((host, int(port)), timeout=_ANSWER_S).close()
            with _silenced():
                ray.init(**options, log_to_driver=False, configure_logging=False, logging_level=logging.ERROR)
        except (OSError, ValueError, RuntimeError) as error:
            where = f"a Ray cluster at {address}" if address else "to start Ray on this machine"
            remedy = "; start one by `ray start`" if address else ""
            raise ConfigError(f"needed {where}: {_last_line(error)}{remedy}") from error
        try:
            yield num if workers or not address else max(1, int(ray.cluster_resources().get("CPU", 1)))
        finally:
            ray.shutdown()


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Keep what Ray's C++ writes off standard error, where progress is."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def num_processors(job: Job) -> int:
    """Return how many workers this machine has room for: one on each processor that we may use, or a GPU."""
    return 1 if job.device == "cuda" else usable_processors()


def work(job: Job, out: Path, left: Sequence[pa.Table], num_workers: int) -> Generator[Result]:
    """Yield what became of the inputs in some tables, each as soon as it is done.

    ConfigError where Ray cannot run workers, as where this package is not installed; OutputError where a
    worker cannot go on.
    """
    import ray.data
    from ray.exceptions import RayError

    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # we report errors ourselves
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.target_max_block_size = 1  # a result is handed on when it is there, not with many others
    dataset = ray.data.from_arrow(left).map_batches(
        Worker,
        fn_constructor_kwargs={"out": out, "job": job},
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=num_workers),
        num_cpus=1,
        num_gpus=1 if job.device == "cuda" else 0,
    )
    batches: Any = iter(dataset.iter_batches(batch_size=None, prefetch_batches=0))
    try:
        with contextlib.closing(batches):  # before Ray ends, or its own end would find nothing left
            for batch in batches:
                (result,) = map(json.loads, batch["result"])
                if "stop" in result:
                    raise OutputError(f"{result['stop']}. What was done is kept; the same command goes on")
                yield Result(**result)
    except RayError as error:
        raise ConfigError(
            f"Ray could not run workers: {_last_line(error)}; on a cluster each machine needs this version "
            "of pixelwise. What was done is kept; the same command goes on"
        ) from error


def _last_line(error: Exception) -> str:
    """Return the last line of an error of Ray, which may describe a whole process."""
    return (str(error).strip() or type(error).__name__).splitlines()[-1]
