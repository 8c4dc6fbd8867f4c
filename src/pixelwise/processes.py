"""A group of processes that do one job together, each on its own share; one process alone is a group, too."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from pixelwise.errors import ConfigError, PixelwiseError, ProcessLostError
from pixelwise.launch import rank_here

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """One process of a group, which knows its place and can ask the others.

    All processes of a group have to ask the same things in the same order. Alone, nothing is asked.

    Raises:
        ProcessLostError: from any question, where another process is gone.
    """

    rank: int = 0
    """Its place: 0 leads, writes and speaks."""
    num: int = 1
    """How many there are."""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    """Where it computes; what is sent goes by way of it."""

    @property
    def leads(self) -> bool:
        """Whether it is the one that writes and speaks."""
        return self.rank == 0

    def part(self, start: int, stop: int) -> slice:
        """Its share of the range from `start` to `stop`; shares differ by one at most, in length."""
        length = stop - start
        return slice(
            start + length * self.rank // self.num,
            start + length * (self.rank + 1) // self.num,
        )

    def sums(self, *values: float) -> list[float]:
        """Each number, added up over the processes, in double precision."""
        if self.num == 1:
            return list(values)
        together = torch.tensor(values, dtype=torch.float64)
        self.add_up(together)
        return [float(value) for value in together]

    def add_up(self, tensor: torch.Tensor) -> None:
        """Let a tensor be the sum of all processes' tensors, in place."""
        if self.num > 1:
            with self._sent(tensor) as sent:
                dist.all_reduce(sent)

    def most(self, value: int) -> int:
        """The largest of their numbers."""
        if self.num == 1:
            return value
        largest = torch.tensor(value)
        with self._sent(largest) as sent:
            dist.all_reduce(sent, dist.ReduceOp.MAX)
        return int(largest)

    def any(self, said: bool) -> bool:
        """Whether one of them says so."""
        return self.sums(float(said))[0] > 0

    def each(self, value: T) -> list[T]:
        """What every process says, in the order of their places."""
        if self.num == 1:
            return [value]
        every: list[Any] = [None] * self.num
        with told_when_lost():
            dist.all_gather_object(every, value)
        return every

    def all_or_none(self, ask: Callable[[], T]) -> T:
        """What each process is answered on its own; where one meets an error, all of them raise that."""
        if self.num == 1:
            return ask()
        answer, met = None, None
        try:
            answer = ask()
        except PixelwiseError as error:
            met = error
        for first in self.each(met):
            if first is not None:
                raise first
        return cast(T, answer)

    def as_first(self, tensor: torch.Tensor) -> None:
        """Let a tensor be what it is in the first process, in place."""
        if self.num > 1:
            with self._sent(tensor) as sent:
                dist.broadcast(sent, 0)

    @contextlib.contextmanager
    def _sent(self, tensor: torch.Tensor) -> Iterator[torch.Tensor]:
        """A tensor as it can be sent, nccl takes no other device's; it is then what became of that."""
        sent = tensor.to(self.device).contiguous()
        with told_when_lost():
            yield sent
        if sent is not tensor:
            tensor.copy_(sent)

    def by_first(self, ask: Callable[[], T]) -> T:
        """What the first process answers, in all of them; or the error that it meets."""
        if self.num == 1:
            return ask()
        answer: list[Any] = [None, None]
        if self.leads:
            try:
                answer[0] = ask()
            except PixelwiseError as error:
                answer[1] = error
        with told_when_lost():
            dist.broadcast_object_list(answer, 0)
        if answer[1] is not None:
            raise answer[1]
        return answer[0]


ALONE = Processes()
"""What a process is that nobody started as one of several."""


@contextlib.contextmanager
def told_when_lost() -> Iterator[None]:
    """Say in words of ours that another process is gone: gloo and nccl tell of their sockets.

    Raises:
        ProcessLostError: what was asked inside had no answer.
    """
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        raise ProcessLostError(
            "needed all processes of the run, but one is gone; where it was started with --workers or by "
            "torchrun --max-restarts it goes on from its last checkpoint, elsewhere add --resume"
        ) from error


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[Processes]:
    """The group that torchrun, or `launch`, started this process in; of one process where nobody did.

    On GPUs each process takes the one of its place on its machine.

    Raises:
        ConfigError: there is none for it.
        ProcessLostError: the others cannot be reached.
    """
    num = int(os.environ.get("WORLD_SIZE", "1"))
    if num == 1 or "MASTER_ADDR" not in os.environ:
        yield Processes(device=device)
        return
    on_gpu = device.type == "cuda"
    if on_gpu:
        device = torch.device("cuda", rank_here())
        if (num_here := int(os.environ.get("LOCAL_WORLD_SIZE", "1"))) > torch.cuda.device_count():
            raise ConfigError(
                f"needed a GPU for each of {num_here} processes, got {torch.cuda.device_count()}; "
                "give fewer --workers, or --device cpu"
            )
        torch.cuda.set_device(device)
    with told_when_lost():
        # The agent's store outlives a restart: without the count of restarts before each key, addresses of
        # processes that are gone would hang the new group.
        store, rank, num = next(rendezvous("env://"))
        store = PrefixStore(f"restart {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
        dist.init_process_group("nccl" if on_gpu else "gloo", store=store, rank=rank, world_size=num)
    try:
        yield Processes(dist.get_rank(), num, device)
    finally:
        dist.destroy_process_group()
