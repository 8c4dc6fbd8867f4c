"""One step of learning, measured in a process of its own, or counted without running it.

Memory is that of a process, so what was there before, or was freed and not given back, would be taken for the
step's. Each measurement therefore has a process that was forked for it from one that did nothing but import
torch, and ends with it. There the kernel's high-water mark (VmHWM) is read, minus what the process held just
before.
"""

from __future__ import annotations

import ctypes
import functools
import json
import multiprocessing
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # what torch imports with its first optimiser: megabytes and seconds that are no step
from torch import Tensor, nn

from pixelwise.cost import Counting, Saved, give_back_memory, resident_bytes, timed, trace
from pixelwise.errors import ConfigError
from pixelwise.files import plain_json, write_text
from pixelwise.frozen import freeze, names_below
from pixelwise.processor import processor_name

Loss = Callable[[nn.Module, int], Tensor]
"""The loss of a network on pictures of so many pixels a side, which it makes itself."""
_CPU = torch.device("cpu")
_MMAP_THRESHOLD = -3  # Source: malloc.h, M_MMAP_THRESHOLD
_LARGE = 2**16  # bytes
_FORGET_PEAK = "5"  # Source: the kernel's Documentation/filesystems/proc.rst, clear_refs


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step of Adam: forward, backward, update. What it is made of can be sent to another process."""

    build: Callable[[], nn.Module]
    loss: Loss
    prefixes: tuple[str, ...] = ()
    """What the names of the parameters that learn begin with; empty: all learn."""
    side: int
    """Height and width of the pictures."""
    smallest: int
    """Of those that it sees before, so that gradients and moments are there."""

    def named(self, net: nn.Module) -> tuple[str, ...]:
        """The names of the parameters that learn."""
        return names_below(net, *self.prefixes) if self.prefixes else tuple(dict(net.named_parameters()))


@dataclass(frozen=True, kw_only=True)
class Counted:
    """What a step takes, as far as it can be counted."""

    num_parameters: int
    num_learned: int
    weights_bytes: int
    """Of all parameters, learned or not."""
    saved_bytes: int
    """Of tensors kept for the way back, seen by hooks, each counted once."""
    flops: int
    """A multiplication and an addition are two."""


@dataclass(frozen=True, kw_only=True)
class Measured(Counted):
    """What a step took of the machine; the counts are of operations and tensors that were."""

    tensors_bytes: int
    """The most of tensors that came and went in the step, at once; gradients and moments were there."""
    fixed_bytes: int
    """The most that a step took on the smallest pictures, weights left out: gradients, Adam's two moments,
    and what the library takes for itself."""
    growing_bytes: int
    """What it took more on the pictures asked for."""
    seconds: float
    """Fewest of some steps, in one thread."""

    @property
    def peak_bytes(self) -> int:
        """The most that learning took beside the weights themselves."""
        return self.fixed_bytes + self.growing_bytes


def measure(step: Step, repeats: int = 2) -> Measured:
    """Run a step in a process of its own, in one thread; the fewest seconds are of it and `repeats` more.

    Raises:
        ConfigError: the process was killed, most likely for want of memory.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([step.loss.__module__])  # and all that it imports, once for all processes
    try:
        with ProcessPoolExecutor(1, mp_context=context) as process:
            return process.submit(_measure, step, repeats).result()
    except BrokenProcessPool as error:
        raise ConfigError(
            f"measuring a step on pictures of {step.side} pixels a side failed: its process was killed, most"
            " likely for want of memory; free some, and run the same again"
        ) from error


class Measurements:
    """Steps measured by name, each kept in a file at once, so that whoever is interrupted goes on."""

    def __init__(self, path: Path, made_by: dict[str, Any]) -> None:
        self._path = path
        self._made_by = made_by | {"processor": processor_name()}
        self._rows: dict[str, dict[str, Any]] = self._found()

    def measure(self, name: str, step: Step, repeats: int = 2) -> Measured:
        """As `measure`, unless it is there.

        Raises:
            ConfigError: as `measure`.
            OutputError: it cannot be kept.
        """
        if name not in self._rows:
            self._rows[name] = asdict(measure(step, repeats))
            write_text(
                self._path, plain_json({"made_by": self._made_by, "rows": self._rows}, indent=1) + "\n"
            )
        return Measured(**self._rows[name])

    def _found(self) -> dict[str, dict[str, Any]]:
        """What was measured by the same."""
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            rows = found["rows"] if found["made_by"] == self._made_by else {}
            return {name: asdict(Measured(**row)) for name, row in rows.items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return {}


@functools.cache
def count(step: Step) -> Counted:
    """The same counted in a step without content, which runs nothing."""
    net = freeze(step.build())
    names = step.named(net)
    traced = trace(net, lambda copied: step.loss(copied, step.side), names)
    return _counted(net, names, traced.saved_bytes, traced.flops)


def _counted(net: nn.Module, names: Collection[str], saved_bytes: int, flops: int) -> Counted:
    parameters = dict(net.named_parameters())
    return Counted(
        num_parameters=sum(one.numel() for one in parameters.values()),
        num_learned=sum(parameters[name].numel() for name in names),
        weights_bytes=sum(one.nbytes for one in parameters.values()),
        saved_bytes=saved_bytes,
        flops=flops,
    )


def _measure(step: Step, repeats: int) -> Measured:
    """What `measure` does in its process."""
    torch.set_num_threads(1)
    _return_what_is_freed()
    net = freeze(step.build())  # batch norm keeps its statistics, so that a batch of one works
    names = step.named(net)
    learned = [one.requires_grad_(True) for name, one in net.named_parameters() if name in names]
    saved_bytes, operations = _count_first(net, step, learned)
    adam = torch.optim.Adam(learned)
    give_back_memory()
    before_bytes = resident_bytes(_CPU)
    _forget_peak()
    for _ in range(2):  # the moments are there from the end of the first one on
        _take(net, step.loss, step.smallest, adam)
    smallest_bytes = _most_resident_bytes()
    give_back_memory()
    seconds = _seconds(net, step, adam)
    peak_bytes = _most_resident_bytes()
    return Measured(
        **asdict(_counted(net, names, saved_bytes, operations.flops)),
        tensors_bytes=operations.peak_bytes,
        fixed_bytes=smallest_bytes - before_bytes,
        growing_bytes=peak_bytes - smallest_bytes,
        seconds=min([seconds, *(_seconds(net, step, adam) for _ in range(repeats))]),
    )


def _seconds(net: nn.Module, step: Step, adam: torch.optim.Optimizer) -> float:
    return timed(lambda: _take(net, step.loss, step.side, adam))[0]


def _count_first(net: nn.Module, step: Step, learned: Sequence[Tensor]) -> tuple[int, Counting]:
    """Bytes saved and operations of a first step, which leaves nothing but what torch compiles for it."""
    adam, saved = torch.optim.Adam(learned), Saved([*net.parameters(), *net.buffers()])
    _take(net, step.loss, step.smallest, adam)
    with saved.hooks(), Counting() as operations:
        _take(net, step.loss, step.side, adam)
    for one in learned:
        one.grad = None
    return saved.num_bytes, operations


def _take(net: nn.Module, loss: Loss, side: int, adam: torch.optim.Optimizer) -> None:
    """One step; gradients stay where they are, so that they are no part of what a step takes."""
    adam.zero_grad(set_to_none=False)
    loss(net, side).backward()
    adam.step()


def _return_what_is_freed() -> None:
    """Let the system have large blocks back as soon as they are freed, so that none is held twice.

    Only GNU's C library can; with another, numbers are a little less exact.
    """
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(_MMAP_THRESHOLD, _LARGE)


def _forget_peak() -> None:
    """Set the mark of the most memory held back to what is held now.

    Raises:
        ConfigError: the system does not let a process do that.
    """
    try:
        Path("/proc/self/clear_refs").write_text(_FORGET_PEAK)
    except OSError as error:
        raise ConfigError(
            f"measuring memory needs to write to /proc/self/clear_refs, and here that fails ({error}); "
            "measure on Linux, outside of what forbids it"
        ) from error


def _most_resident_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (mark,) = (line for line in lines if line.startswith("VmHWM:"))
    return int(mark.split()[1]) * 1024
