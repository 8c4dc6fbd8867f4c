"""What computes, in which precision, and why; memory that was needed."""

from __future__ import annotations

import contextlib
import ctypes
import platform
import threading
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from pixelwise.config import Device, Precision
from pixelwise.errors import ConfigError

_WORTH_IT = 1.15  # bf16 gives up 16 bits of mantissa; it has to pay more than noise


def choose_device(device: Device) -> torch.device:
    """The device asked for, or a GPU when there is one.

    Raises:
        ConfigError: a GPU was asked for and there is none.
    """
    has_gpu = torch.cuda.is_available()
    if device == "cuda" and not has_gpu:
        raise ConfigError("device cuda needs a GPU that torch can use, and there is none; use --device cpu")
    return torch.device("cuda" if has_gpu and device != "cpu" else "cpu")


def choose_precision(precision: Precision, device: torch.device) -> tuple[Precision, str]:
    """fp32 or bf16, and the reason in words.

    "auto" measures one convolution both ways, which takes some 20 ms: whether bf16 pays depends on the
    processor's matrix instructions, and a list of processors would rot.
    """
    if precision != "auto":
        return precision, f"{precision}: as asked"
    slow, fast = (_convolution_s(dtype, device) for dtype in (torch.float32, torch.bfloat16))
    choice: Precision = "bf16" if slow / fast > _WORTH_IT else "fp32"
    return (
        choice,
        f"{choice}: a 64-filter convolution takes {slow / fast:.2f} times as long in fp32 as in bf16 here",
    )


def _convolution_s(dtype: torch.dtype, device: torch.device, repeats: int = 5) -> float:
    """Shortest of some runs: noise only ever adds."""
    x = torch.ones(16, 64, 16, 16, dtype=dtype, device=device).contiguous(memory_format=torch.channels_last)
    weight = torch.ones(64, 64, 3, 3, dtype=dtype, device=device)
    times_s = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        F.conv2d(x, weight, padding=1).sum().item()
        times_s.append(time.perf_counter() - start)
    return min(times_s[1:])


def compute_in(precision: Precision, device: torch.device) -> contextlib.AbstractContextManager[None]:
    """Convolutions and matrix products in `precision`; sums that need more stay in fp32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def peak_memory_bytes(device: torch.device) -> int:
    """The most memory this process (on a GPU: the device) ever held."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource  # no module of Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB


def processor_name() -> str:
    """What the processor calls itself, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )


def give_back_memory() -> None:
    """Hand memory that is free within this process back to the system, where its C library can (glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class _OneThread:
    """Lets torch compute in one thread inside, and in later threads; afterwards as before.

    Reading, painting and encoding keep three threads busy by themselves. Painting and small networks take
    steps of a tenth of a millisecond; sharing one among threads costs up to 8 ms on a busy machine.

    Callers in several threads may be inside together: the first to come notes what torch had, and each
    gives its own thread that back when it leaves for good: one may be within another.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.num_inside = 0
        self.before = 0
        self.own = threading.local()

    def __enter__(self) -> None:
        with self.lock:
            if self.num_inside == 0:
                self.before = torch.get_num_threads()
            self.num_inside += 1
            self.own.depth = getattr(self.own, "depth", 0) + 1
            torch.set_num_threads(1)

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.num_inside -= 1
            self.own.depth -= 1
            if self.own.depth == 0:
                torch.set_num_threads(self.before)


ONE_THREAD = _OneThread()
"""For what is done strip by strip."""
