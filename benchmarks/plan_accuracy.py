"""What `finetune --plan` says before a run, beside what the run comes to.

    python benchmarks/plan_accuracy.py [--source flowers17] [--shots 5 20 100] [--repeats 3] [--data-dir DIR]
        [--option policy=stage epochs=2]

Each round is two processes: one with an empty cache, then one that finds all features there. Given are
seconds and peak memory, planned and measured, and measured over planned. Seconds are those of the process
from its start, imports included and planning left out; the memory is the most that the process ever held.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from pixelwise.processor import processor_name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--source", default="flowers17")
    parser.add_argument("--shots", type=int, nargs="+", default=[5, 20, 100])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--option", nargs="+", default=[], help="of finetune, such as policy=stage epochs=2")
    options = parser.parse_args()
    options.option = [f"--{one}" for one in options.option]
    print(f"{processor_name()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads of torch")
    print("measured over planned, median (least to most)")
    for shots in options.shots:
        rounds: dict[str, list[dict[str, dict[str, float]]]] = {"nothing cached": [], "cached": []}
        for _ in range(options.repeats):
            with tempfile.TemporaryDirectory() as folder:
                for results in rounds.values():
                    results.append(measured(options, shots, folder))
        for name, results in rounds.items():
            tell(f"{shots} shots, {name}", results)


def tell(what: str, rounds: list[dict[str, dict[str, float]]]) -> None:
    parts = []
    for name, unit, scale in (("seconds", "s", 1.0), ("memory_bytes", "MB", 1e6)):
        planned, found = (
            statistics.median(one[kind][name] / scale for one in rounds) for kind in ("planned", "measured")
        )
        ratios = [one["measured"][name] / one["planned"][name] for one in rounds]
        parts.append(
            f"planned {planned:.1f} {unit}, measured {found:.1f} {unit}, ratio"
            f" {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        )
    print(f"{what} (n = {len(rounds)}): {'; '.join(parts)}", flush=True)


def measured(options: argparse.Namespace, shots: int, folder: str) -> dict[str, dict[str, float]]:
    """What `finetune --plan` says of itself, in a process of its own."""
    command = [sys.executable, "-c", "from pixelwise.cli import main; main()", "finetune", options.source]
    command += ["--shots", str(shots), "--plan", "--json", "--quiet", "--device", "cpu"]
    command += ["--data-dir", str(options.data_dir)] if options.data_dir else []
    done = subprocess.run(
        [*command, *options.option, "--out", f"{folder}/head"],
        env=os.environ | {"PIXELWISE_CACHE": folder},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    values = json.loads(done.stdout)
    return {"planned": values["planned"], "measured": values["measured"]}


if __name__ == "__main__":
    main()
