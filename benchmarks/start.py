"""How long the program takes to begin, and the most memory that its verbs hold: python benchmarks/start.py.

Each command is a process of its own, run in turn with a bare interpreter, round by round; medians, and the
quarter and three-quarter points. Memory is the kernel's count of the most a process held, shared pages too.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

PROGRAM = [sys.executable, "-m", "pixelwise"]
PHOTO_SIDE = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rng = np.random.default_rng(0)
        photo = rng.integers(0, 255, (PHOTO_SIDE, PHOTO_SIDE)).astype(np.uint8)
        Image.fromarray(photo).save(folder / "photo.jpg")
        asked = [str(folder / "photo.jpg"), "-o", str(folder / "out.jpg")]
        commands = {
            "python alone": [sys.executable, "-c", ""],
            "pixelwise --help": [*PROGRAM, "--help"],
            "pixelwise colourise --help": [*PROGRAM, "colourise", "--help"],
            "import pixelwise": [sys.executable, "-c", "import pixelwise"],
            "import torch": [sys.executable, "-c", "import torch"],
            "colourise a photo of 1 megapixel": [*PROGRAM, "colourise", *asked],
            "segment it": [*PROGRAM, "segment", *asked[:-1], str(folder / "mask.png"), "--head", "flower"],
        }
        taken: dict[str, list[tuple[float, float]]] = {what: [] for what in commands}
        for _ in range(repeats + 1):
            for what, command in commands.items():
                taken[what].append(measured(command))
    from pixelwise.network.device import (
        processor_name,  # imports torch: a child begins with its parent's memory
    )

    print(f"{processor_name()}, {os.cpu_count()} cores, n = {repeats}")
    for what, found in taken.items():
        seconds, megabytes = zip(*found[1:], strict=True)  # the first one fills the disk's cache
        low, middle, high = statistics.quantiles(seconds, n=4)
        print(f"{what:34} {middle:6.2f} s ({low:.2f} to {high:.2f}), {statistics.median(megabytes):5.0f} MB")


def measured(command: list[str]) -> tuple[float, float]:
    """Seconds of a process, and the most megabytes that it held."""
    start_s = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{command} ended with {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - start_s, megabytes_of(used)


def megabytes_of(used: resource.struct_rusage) -> float:
    return used.ru_maxrss * 1024 / 1e6


if __name__ == "__main__":
    main()
