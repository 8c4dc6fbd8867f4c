"""Training in the processes that torchrun starts: each takes its share of every batch, rank 0 writes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist

from pixelwise.errors import ConfigError, PixelwiseError
from pixelwise.network.config import Device
from pixelwise.training.device import choose_device

T = TypeVar("T")


@contextlib.contextmanager
def process_group(device: Device) -> Iterator[None]:
    """Join the other processes that torchrun started, or raise a ConfigError; without torchrun do nothing."""
    if not dist.is_torchelastic_launched():
        yield
        return
    on_gpu = choose_device(device).type == "cuda"
    if on_gpu:
        if (local_rank := int(os.environ["LOCAL_RANK"])) >= torch.cuda.device_count():
            raise ConfigError(
                f"needed a GPU for each process on this machine, got {torch.cuda.device_count()}; "
                "lower --nproc-per-node, or give --device cpu"
            )
        torch.cuda.set_device(local_rank)
    dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def rank() -> int:
    """Return the number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Return the number of processes that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def sum_over_ranks(value: float) -> float:
    """Return the sum of a number over all ranks, in double precision."""
    if world_size() == 1:
        return value
    total = torch.tensor(value, dtype=torch.float64, device="cuda" if dist.get_backend() == "nccl" else "cpu")
    dist.all_reduce(total)
    return float(total)


def on_rank0(work: Callable[[], T]) -> T:
    """Call `work` on rank 0 alone; on every rank return its result, or raise its error."""
    if world_size() == 1:
        return work()
    outcome: list[Any] = [None]
    if rank() == 0:
        try:
            outcome = [work()]
        except PixelwiseError as error:
            outcome = [error]
    dist.broadcast_object_list(outcome)
    if isinstance(outcome[0], PixelwiseError):
        raise outcome[0]
    return cast(T, outcome[0])
