"""What a computation costs, before it runs: FLOPs and bytes counted, seconds calibrated.

FLOPs and bytes come from the network itself. It runs once with tensors that have a shape, a type and no
content, so that nothing is computed and nothing is filled; each operation is counted as it passes. A
multiplication and the addition after it are two FLOPs. Only matrix products, convolutions and attention
count: the rest of a network is some per cent of them. Bytes are those of tensors; what a library takes for
itself while it computes is not seen.

Seconds depend on the machine, so the machine is asked: a few pieces of the very work are timed.
"""

from __future__ import annotations

import copy
import ctypes
import gc
import os
import time
import weakref
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

T = TypeVar("T")
Net = TypeVar("Net", bound=nn.Module)


@dataclass(frozen=True)
class Traced:
    """What one pass through a network takes."""

    flops: int
    """A multiplication and an addition are two."""
    peak_bytes: int
    """The most bytes of tensors that are there at once, parameters and what was there before left out."""
    saved_bytes: int
    """Of tensors kept for the backward pass, each counted once, parameters left out."""


def trace(net: Net, run: Callable[[Net], object], learned: Collection[str] = ()) -> Traced:
    """Count what `run` takes of a copy of `net` without content; `run` makes its own inputs.

    Parameters named in `learned` ask for gradients, all others do not. If there are any and `run` gives a
    loss, the pass back from it counts too: gradients of parameters are among the bytes.
    """
    # 80 MB and a second to import, for which no run should wait that only plans itself
    from torch._subclasses.fake_tensor import FakeTensorMode

    without_content = FakeTensorMode(allow_non_fake_inputs=True)
    copied = _without_content(net, without_content.from_tensor)
    for name, parameter in copied.named_parameters():
        parameter.requires_grad_(name in learned)
    saved = Saved([*copied.parameters(), *copied.buffers()])
    with without_content, Counting() as counted:
        with saved.hooks() if learned else torch.no_grad():
            result = run(copied)
        if learned and isinstance(result, Tensor):
            result.backward()
    return Traced(counted.flops, counted.peak_bytes, saved.num_bytes)


def _without_content(net: Net, empty: Callable[[Tensor], Tensor]) -> Net:
    """A copy of a network whose parameters and buffers have no content."""
    copies: dict[int, Any] = {id(one): empty(one) for one in net.buffers()}
    for parameter in net.parameters():
        copies[id(parameter)] = nn.Parameter(empty(parameter.detach()))
    return copy.deepcopy(net, copies)


class Counting(TorchDispatchMode):
    """Counts all operations of torch within: their FLOPs, and the bytes of tensors that are there.

    Source: the FLOPs of each operation are those of torch.utils.flop_counter, but for the way back through
    convolutions, where torch up to 2.15 forgets groups, and counts depthwise ones as if full.

    Attributes:
        flops: a multiplication and an addition are two.
        bytes: those there now, of tensors that operations gave.
        peak_bytes: the most that were there at once.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: else the compiler is imported, to be told to leave this alone."""
        return False

    def __init__(self) -> None:
        super().__init__()
        self.flops = self.bytes = self.peak_bytes = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        kwargs = kwargs or {}
        if torch.is_inference_mode_enabled() and operation._overloadpacket not in flop_registry:
            with self:  # there torch leaves it to us to see what an operation is made of
                decomposed = operation.decompose(*args, **kwargs)
            if decomposed is not NotImplemented:
                return decomposed
        result = operation(*args, **kwargs)
        if operation is torch.ops.aten.convolution_backward.default:
            self.flops += _convolution_backward_flops(*args)
        elif count := flop_registry.get(operation._overloadpacket):
            self.flops += count(*args, **kwargs, out_val=result)
        # what goes in was there before, also where an operation gives it back changed
        given = {_storage(one) for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)}
        for one in tree_leaves(result):
            if isinstance(one, Tensor) and _storage(one) not in given:
                self._add(one)
        return result

    def _add(self, one: Tensor) -> None:
        storage, key = one.untyped_storage(), _storage(one)
        if key not in self._known:
            self._known.add(key)
            self.bytes += storage.nbytes()
            self.peak_bytes = max(self.peak_bytes, self.bytes)
            weakref.finalize(storage, self._remove, key, storage.nbytes())

    def _remove(self, key: int, num_bytes: int) -> None:
        self._known.discard(key)
        self.bytes -= num_bytes


def _convolution_backward_flops(grad: Tensor, x: Tensor, weight: Tensor, *options: Any) -> int:
    """The gradients of its input and of its weights each take what the convolution itself does."""
    *_, is_transposed, _padding, _groups, wanted = options
    places = x if is_transposed else grad
    forward = 2 * len(places) * places[0, 0].numel() * weight.numel()
    return forward * sum(wanted[:2])


class Saved:
    """Adds up the storages of tensors that autograd keeps for the backward pass.

    Attributes:
        num_bytes: of all of them until now, each counted once.
    """

    def __init__(self, held: Collection[Tensor]) -> None:
        """`held` are there anyway."""
        self.num_bytes = 0
        self._known = {_storage(one) for one in held}

    def hooks(self) -> saved_tensors_hooks:
        """What sees each of them."""
        return saved_tensors_hooks(self._keep, lambda kept: kept)

    def _keep(self, one: Tensor) -> Tensor:
        if _storage(one) not in self._known:
            self._known.add(_storage(one))
            self.num_bytes += one.untyped_storage().nbytes()
        return one


def _storage(one: Tensor) -> int:
    """What tells the memory of one tensor from that of another while both are there."""
    return one.untyped_storage()._cdata


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Seconds that some work took, and what came of it."""
    start_s = time.perf_counter()
    result = work()
    return time.perf_counter() - start_s, result


def best_s(work: Callable[[], object], repeats: int = 3) -> float:
    """Fewest seconds of some runs after a first that warms up: noise only ever adds."""
    return min([timed(work)[0] for _ in range(repeats + 1)][1:])


def resident_bytes(device: torch.device) -> int:
    """Memory that this process (on a GPU: its tensors there) holds now."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return psutil.Process().memory_info().rss


def give_back_memory() -> None:
    """Let the system have what was freed, where the C library can: it keeps gigabytes else, for later use."""
    gc.collect()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


def process_age_s() -> float:
    """Seconds since this process started, imports included."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Part:
    """A share of what something costs, and how it is known."""

    name: str
    amount: float
    """Seconds or bytes."""
    how: str


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one policy comes to."""

    num_learned: int
    """Numbers that are learned."""
    flops: int
    """A multiplication and an addition are two."""
    seconds_by: tuple[Part, ...]
    bytes_by: tuple[Part, ...]
    """What is held in memory at its fullest."""

    @property
    def seconds(self) -> float:
        """From the start of the command to its end."""
        return sum(part.amount for part in self.seconds_by)

    @property
    def memory_bytes(self) -> int:
        """The most that the process holds."""
        return round(sum(part.amount for part in self.bytes_by))

    def to_dict(self) -> dict[str, float]:
        """Plain values, for JSON."""
        return {
            "memory_bytes": self.memory_bytes,
            "flops": self.flops,
            "seconds": self.seconds,
            "num_learned": self.num_learned,
        }


@dataclass(frozen=True)
class Measured:
    """What a run came to."""

    policy: str
    """As the plan calls it."""
    seconds: float
    memory_bytes: int

    def to_dict(self) -> dict[str, float]:
        """Plain values, for JSON."""
        return {"seconds": self.seconds, "memory_bytes": self.memory_bytes}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run will cost, by policy."""

    policies: dict[str, Cost]
    """At the size asked for."""
    doubled: dict[str, Cost]
    """At twice the height and width."""
    planning_s: float
    """What planning itself took, which is in none of the costs."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; `parts` say what each cost is made of, and how it is known."""
        return {
            "policies": {name: cost.to_dict() for name, cost in self.policies.items()},
            "doubled": {name: cost.to_dict() for name, cost in self.doubled.items()},
            "parts": {
                name: [{"name": part.name, "amount": part.amount, "how": part.how} for part in _parts(cost)]
                for name, cost in self.policies.items()
            },
            "planning_seconds": self.planning_s,
        }

    def of(self, policy: str) -> Measured:
        """What a run of one policy comes to, if the plan is right."""
        cost = self.policies[policy]
        return Measured(policy, cost.seconds, cost.memory_bytes)

    def describe(self) -> str:
        """A table for people, and how each number is known."""
        width = max(len(name) for name in self.policies)
        lines = [f"{'':{width}}{'memory':>12}{'GFLOPs':>14}{'time':>12}{'learned':>14}"]
        for title, costs in (
            ("at this size", self.policies),
            ("at twice the height and width", self.doubled),
        ):
            if costs and self.doubled:
                lines.append(title)
            lines += [
                f"{name:{width}}{cost.memory_bytes / 1e9:>9.2f} GB{cost.flops / 1e9:>14,.0f}"
                f"{_duration(cost.seconds):>12}{cost.num_learned:>14,}"
                for name, cost in costs.items()
            ]
        for name, cost in self.policies.items():
            lines.append(f"{name}: how it is known")
            lines += [f"  {part.amount:9.2f} s   {part.name}: {part.how}" for part in cost.seconds_by]
            lines += [f"  {part.amount / 1e6:9.0f} MB  {part.name}: {part.how}" for part in cost.bytes_by]
        return "\n".join(lines)

    def beside(self, measured: Measured) -> str:
        """What was planned beside what came out."""
        cost = self.policies[measured.policy]
        time_told = f"planned {cost.seconds:.1f} s, measured {measured.seconds:.1f} s"
        memory_told = (
            f"planned {cost.memory_bytes / 1e6:.0f} MB, measured {measured.memory_bytes / 1e6:.0f} MB"
        )
        return (
            f"time: {time_told} ({_excess(measured.seconds, cost.seconds)}); "
            f"memory: {memory_told} ({_excess(measured.memory_bytes, cost.memory_bytes)})"
        )


def _parts(cost: Cost) -> tuple[Part, ...]:
    return cost.seconds_by + cost.bytes_by


def _excess(measured: float, planned: float) -> str:
    return f"{100 * (measured / planned - 1):+.0f} %"


def _duration(seconds: float) -> str:
    for unit, num in (("s", 1), ("min", 60), ("h", 3600)):
        if seconds < 120 * num:
            return f"{seconds / num:.1f} {unit}"
    return f"{seconds / 86400:,.1f} days"
