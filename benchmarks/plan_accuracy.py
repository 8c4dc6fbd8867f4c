"""What `plan` says of a run of `finetune`, beside what the run comes to.

    python benchmarks/plan_accuracy.py [--source flowers17] [--shots 5 20 100] [--repeats 3] [--data-dir DIR]

Each round is two processes: one with an empty cache, then one that finds all features there. Each opens its
photos and its backbone, plans its own policy, and runs it. Given are seconds and peak memory, planned and
measured, and measured over planned. Seconds are those of the process from its start, imports included and
planning left out; the memory is the most that the process ever held.
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

from pixelwise.backbones import open_backbone
from pixelwise.config import FinetuneConfig
from pixelwise.cost import process_age_s
from pixelwise.data import load_labelled
from pixelwise.features import FeatureCache
from pixelwise.finetune import finetune
from pixelwise.finetune.plan import CACHED, UNCACHED, plan_finetune
from pixelwise.processor import peak_memory_bytes, processor_name

CPU = torch.device("cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--source", default="flowers17")
    parser.add_argument("--shots", type=int, nargs="+", default=[5, 20, 100])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--once", nargs=2, help="policy and folder: one run, as JSON")
    options = parser.parse_args()
    if options.once:
        policy, folder = options.once
        config = FinetuneConfig(source=options.source, shots=options.shots[0])
        print(json.dumps(once(config, policy, Path(folder), options.data_dir)))
        return
    print(f"{processor_name()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads of torch")
    print("measured over planned, median (least to most)")
    for shots in options.shots:
        rounds: dict[str, list[dict[str, float]]] = {UNCACHED: [], CACHED: []}
        for _ in range(options.repeats):
            with tempfile.TemporaryDirectory() as folder:
                for policy, results in rounds.items():
                    results.append(measured(options, shots, policy, folder))
        for policy, results in rounds.items():
            tell(f"{shots} shots, {policy}", results)


def tell(what: str, rounds: list[dict[str, float]]) -> None:
    parts = []
    for name, unit, scale in (("seconds", "s", 1.0), ("memory_bytes", "MB", 1e6)):
        planned, found = (
            statistics.median(one[f"{kind}_{name}"] / scale for one in rounds)
            for kind in ("planned", "measured")
        )
        ratios = [one[f"measured_{name}"] / one[f"planned_{name}"] for one in rounds]
        parts.append(
            f"planned {planned:.1f} {unit}, measured {found:.1f} {unit}, ratio"
            f" {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        )
    planning_s = statistics.median(one["planning_seconds"] for one in rounds)
    print(f"{what} (n = {len(rounds)}): {'; '.join(parts)}; planning {planning_s:.1f} s", flush=True)


def measured(options: argparse.Namespace, shots: int, policy: str, folder: str) -> dict[str, float]:
    """One run in a process of its own."""
    command = [sys.executable, __file__, "--source", options.source, "--shots", str(shots)]
    command += ["--data-dir", str(options.data_dir)] if options.data_dir else []
    done = subprocess.run([*command, "--once", policy, folder], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def once(config: FinetuneConfig, policy: str, folder: Path, data_dir: Path | None) -> dict[str, float]:
    cache = FeatureCache(folder / "features")
    started_s = process_age_s()  # what follows is done again, and timed, by finetune
    labelled, backbone = load_labelled(config.source, data_dir, config.seed), open_backbone(config.backbone)
    plan = plan_finetune(
        config,
        labelled,
        backbone,
        CPU,
        policies=[policy],
        doubled=False,
        started_s=process_age_s(),
        cache=cache,
    )
    del labelled, backbone
    before_s = process_age_s()
    finetune(config, folder / "head.safetensors", data_dir, "cpu", cache)
    cost = plan.policies[policy]
    return {
        "planned_seconds": cost.seconds,
        "measured_seconds": started_s + process_age_s() - before_s,
        "planned_memory_bytes": cost.memory_bytes,
        "measured_memory_bytes": peak_memory_bytes(CPU),
        "planning_seconds": plan.planning_s,
    }


if __name__ == "__main__":
    main()
