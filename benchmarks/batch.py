"""Measure batches: 1 % poison among many photos, and kills at random.

    python benchmarks/batch.py [--photos 10000] [--side 48] [--poison 0.01] [--kills 5] [--killed 120]

Poison: photos are made up, some of them damaged; printed are outputs, named failures, photos per second, and
the most memory that the program held with all it started, shared parts divided among those who share. Kills:
a batch of --killed small photos is killed with signal 9 at random moments until it is done, and its manifest
and outputs are compared with those of one that ran undisturbed on one worker.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
from PIL import Image

from pixelwise.training.device import processor_name

PROGRAM = [sys.executable, "-c", "from pixelwise.cli import main; main()", "batch", "colourise"]
_MOST_WAIT_S = 2.0  # of a kill, after the first photo of a run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--photos", type=int, default=10_000)
    parser.add_argument("--side", type=int, default=48)
    parser.add_argument("--poison", type=float, default=0.01)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--killed", type=int, default=120)
    options = parser.parse_args()
    print(f"{processor_name()}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.photos:
            poison(options, folder)
        if options.kills:
            kills(options, folder)


def poison(options: argparse.Namespace, folder: Path) -> None:
    write_photos(folder / "many", options.photos, options.side, options.poison)
    peaks = [0]

    def watch(process: subprocess.Popen[str]) -> None:
        peaks.append(family_bytes(process.pid))
        time.sleep(0.5)  # looking takes some time of the processor, too

    seconds, values = run(folder / "many", folder / "out", [], watch)
    print(
        f"{options.photos} photos of {options.side} x {options.side}, {options.poison:.0%} poison, "
        f"{os.cpu_count()} workers: {len(values['written'])} outputs, {len(values['failed'])} named "
        f"failures, {options.photos / seconds:.1f} photos/s with the start, at most "
        f"{max(peaks) / 1e9:.2f} GB",
        flush=True,
    )


def kills(options: argparse.Namespace, folder: Path) -> None:
    source, undisturbed, out = folder / "few", folder / "undisturbed", folder / "killed"
    write_photos(source, options.killed, options.side, 0.1)
    run(source, undisturbed, ["--workers", "1"])
    chance = random.Random(0)
    told = []
    for _ in range(options.kills):
        killer = Killer(out, chance.uniform(0, _MOST_WAIT_S))
        run(source, out, ["--workers", "2"], killer.look)
        told.append(str(recorded(out)))
    _, values = run(source, out, ["--workers", "2"])
    tables = [pq.read_table(one / "manifest.parquet").drop_columns(["seconds"]) for one in (undisturbed, out)]
    same = all(
        (out / row["output"]).read_bytes() == (undisturbed / row["output"]).read_bytes()
        for row in tables[0].to_pylist()
        if row["output"]
    )
    print(
        f"killed {options.kills} times at random (photos recorded by each: {', '.join(told)}), "
        f"{values['resumed']} resumed: manifest the same but for seconds: {tables[0].equals(tables[1])}; "
        f"outputs the same bytes as of one worker undisturbed: {same}",
        flush=True,
    )


class Killer:
    """Kills a process some seconds after it recorded its first photo."""

    def __init__(self, out: Path, wait_s: float) -> None:
        self.out, self.wait_s = out, wait_s
        self.before = recorded(out)
        self.at_s = float("inf")

    def look(self, process: subprocess.Popen[str]) -> None:
        """Kill it, if its time has come."""
        if self.at_s == float("inf") and recorded(self.out) > self.before:
            self.at_s = time.monotonic() + self.wait_s
        if time.monotonic() > self.at_s:
            process.send_signal(signal.SIGKILL)


def write_photos(folder: Path, num: int, side: int, poison: float) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    bad = set(rng.choice(num, round(num * poison), replace=False).tolist())
    for index in range(num):
        path = folder / f"{index // 1000:03}" / f"{index:06}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (side, side)).astype(np.uint8)).save(path)
        if index in bad:
            path.write_bytes(path.read_bytes()[:200])


def run(
    source: Path, out: Path, options: list[str], watch: Callable[[subprocess.Popen[str]], None] | None = None
) -> tuple[float, dict[str, list[object]]]:
    """Seconds of a whole process, and what it told; nothing of one that was killed."""
    start_s = time.perf_counter()
    command = [*PROGRAM, str(source), "-o", str(out), "--json", *options]
    with tempfile.TemporaryFile("w+") as told:
        process = subprocess.Popen(command, stdout=told, stderr=subprocess.DEVNULL, text=True)
        while process.poll() is None:
            if watch:
                watch(process)
            time.sleep(0.1)
        seconds = time.perf_counter() - start_s
        told.seek(0)
        lines = told.read().splitlines()
    return seconds, json.loads(lines[-1]) if lines else {}


def recorded(out: Path) -> int:
    """Return how many outputs a batch has."""
    return len(list(out.glob("*/*.jpg")))


def family_bytes(first: int) -> int:
    """Return the memory of a process and of all that it started; what several share counts in parts."""
    num_bytes = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(first)
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                num_bytes += one.memory_full_info().pss
    return num_bytes


if __name__ == "__main__":
    main()
