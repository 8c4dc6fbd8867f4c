"""Devices, precision and memory."""

from __future__ import annotations

import contextlib
import platform
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from pixelwise.errors import ConfigError
from pixelwise.network.config import Device, Precision

_WORTH_IT = 1.15  # bf16 gives up 16 bits of mantissa; it has to pay more than noise


def choose_device(device: Device) -> torch.device:
    """Return the device asked for; for "auto" a GPU where there is one; a ConfigError if "cuda" has none."""
    has_gpu = torch.cuda.is_available()
    if device == "cuda" and not has_gpu:
        raise ConfigError("device cuda needs a GPU that torch can use, and there is none; use --device cpu")
    return torch.device("cuda" if has_gpu and device != "cpu" else "cpu")


def choose_precision(precision: Precision, device: torch.device) -> tuple[Precision, str]:
    """Return fp32 or bf16, and the reason in words.

    "auto" times one convolution both ways, some 20 ms: a list of processors would rot.
    """
    if precision != "auto":
        return precision, f"{precision}: as asked"
    ratio = _convolution_s(torch.float32, device) / _convolution_s(torch.bfloat16, device)
    choice: Precision = "bf16" if ratio > _WORTH_IT else "fp32"
    reason = f"a 64-filter convolution takes {ratio:.2f} times as long in fp32 as in bf16 here"
    return choice, f"{choice}: {reason}"


def _convolution_s(dtype: torch.dtype, device: torch.device) -> float:
    x = torch.ones(16, 64, 16, 16, dtype=dtype, device=device).contiguous(memory_format=torch.channels_last)
    weight = torch.ones(64, 64, 3, 3, dtype=dtype, device=device)
    times_s = []
    for _ in range(6):
        start = time.perf_counter()
        F.conv2d(x, weight, padding=1).sum().item()
        times_s.append(time.perf_counter() - start)
    return min(times_s[1:])  # noise only ever adds


def compute_in(precision: Precision, device: torch.device) -> contextlib.AbstractContextManager[None]:
    """Compute convolutions and matrix products in `precision`; sums that need more stay in fp32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def peak_memory_bytes(device: torch.device) -> int:
    """Return the most memory this process (on a GPU: the device) ever held."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset
    import resource  # which Windows lacks

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB


def processor_name() -> str:
    """Return the processor's model name, or its architecture where the system does not say."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
