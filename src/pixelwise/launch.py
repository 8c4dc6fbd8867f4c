"""Several processes on this machine, watched: where one is lost, all start again."""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import uuid
from collections.abc import Callable
from typing import Any

from pixelwise.errors import ProcessLostError

_MOST_RESTARTS = 3
_INTERRUPTED = 130
_STOP_S = 30  # to end a step and save, after Ctrl-C


def rank() -> int:
    """The place of this process among all of its run; 0 where it is alone."""
    return int(os.environ.get("RANK", "0"))


def rank_here() -> int:
    """The same among those on this machine."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def num_restarts() -> int:
    """How often the run was started again since a process was lost."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def is_restarted() -> bool:
    """Whether the run is started again if a process is lost now."""
    return num_restarts() < int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0"))


def is_one_of_several() -> bool:
    """Whether torchrun, or `launch`, started this process."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def launch(num: int, work: Callable[..., int], *args: Any) -> int:
    """Run `work(*args)` in `num` processes; give the exit code that it gives in the first.

    After Ctrl-C or a polite kill, of which they are told, that is 130.

    `work` is a function of a module, since it is sent to new processes. A process that is killed, or whose
    work raises or exits, is lost: all are started again, three times at most. Processor threads are shared
    out evenly, unless OMP_NUM_THREADS says how many each has.

    Raises:
        ProcessLostError: processes were lost more often.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for name in list(logging.root.manager.loggerDict):
        if name.startswith(("torch.distributed", "torch.multiprocessing")):  # each has its own level
            logging.getLogger(name).setLevel(logging.CRITICAL)
    cores = len(os.sched_getaffinity(0))
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // num)))
    with tempfile.TemporaryDirectory() as logs:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=num,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="127.0.0.1",
            max_restarts=_MOST_RESTARTS,
            logs_specs=DefaultLogsSpecs(log_dir=logs),
            shutdown_timeout=_STOP_S,
            signals_to_handle="SIGTERM,SIGINT",
        )
        try:
            codes = elastic_launch(config, _apart)(work, *args)
        except SignalException:
            return _INTERRUPTED
        except ChildFailedError as error:
            raise ProcessLostError(
                f"one of {num} processes was lost, and again after {_MOST_RESTARTS} restarts; what it said "
                "itself is above, and where it said nothing it was killed, as for want of memory"
            ) from error
    return int(codes[0])


def _apart(work: Callable[..., int], *args: Any) -> int:
    """Work out of reach of the terminal: of Ctrl-C one hears once, from whoever watches."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    code = work(*args)
    if code == _INTERRUPTED:
        sys.exit(code)  # who returns is kept until the others have, and those who were told to end never do
    return code
