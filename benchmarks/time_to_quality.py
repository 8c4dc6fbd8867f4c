"""How much sooner `fast` reaches the handout's quality, and how far `best` gets in the handout's time.

    python benchmarks/time_to_quality.py [--repeats N] [--data-dir DIR] [--net unet]

Trains CIFAR-10's horses by these recipes and `beyond`, interleaved and each with its own seed, every run in a
process of its own so that none warms up another. Prints accuracy and training seconds of each, and the ratios
within each repeat, as median and range. Needs CIFAR-10 under --data-dir or PIXELWISE_DATA.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from pixelwise.training.device import processor_name

RECIPES = ("handout", "fast", "best", "beyond")  # the last is of the U-Net alone


def train(net: str, recipe: str, seed: int, data_dir: str | None, *changes: str) -> dict[str, float]:
    """One run through the command line, as a user would."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-c",
            "from pixelwise.cli import main; main()",
            "train",
            net,
            "cifar10:horse",
        ]
        command += ["--recipe", recipe, "--seed", str(seed), "--out", str(Path(folder) / "run"), "--json"]
        command += [*(["--data-dir", data_dir] if data_dir else []), *changes]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def spread(values: list[float], digits: int = 1) -> str:
    """Median and range in words."""
    low, middle, high = (
        round(value, digits) for value in (min(values), statistics.median(values), max(values))
    )
    return f"{middle} ({low} to {high})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--net", default="unet")
    parser.add_argument("--data-dir")
    options = parser.parse_args()
    threads = torch.get_num_threads()
    print(f"{processor_name()}, {threads} threads, torch {torch.__version__}, n = {options.repeats}")
    recipes = RECIPES if options.net == "unet" else RECIPES[:-1]
    runs: dict[str, list[dict[str, float]]] = {recipe: [] for recipe in recipes}
    for seed in range(options.repeats):
        for recipe, done in runs.items():
            done.append(train(options.net, recipe, seed, options.data_dir))
            last = done[-1]
            print(
                f"  {recipe:8} seed {seed}: {last['val_accuracy']:.2f} %, {last['train_seconds']:.2f} s",
                flush=True,
            )
    print(f"{'recipe':8}  {'accuracy, %':24}  {'loss':26}  {'seconds':24}  handout / own")
    for recipe, done in runs.items():
        ratios = [h["train_seconds"] / d["train_seconds"] for h, d in zip(runs["handout"], done, strict=True)]
        cells = (
            spread([d["val_accuracy"] for d in done], 2),
            spread([d["val_loss"] for d in done], 4),
            spread([d["train_seconds"] for d in done], 2),
            spread(ratios),
        )
        print(f"{recipe:8}  {cells[0]:24}  {cells[1]:26}  {cells[2]:24}  {cells[3]}")
    pairs = list(zip(runs["handout"], runs["fast"], strict=True))
    ratio = statistics.median(h["train_seconds"] / f["train_seconds"] for h, f in pairs)
    handout, fast = (
        statistics.median(one["val_accuracy"] for one in two) for two in zip(*pairs, strict=True)
    )
    print(
        f"fast ends {ratio:.0f} times sooner than handout, at {fast:.1f} % of pixels right, not {handout:.1f}"
    )


if __name__ == "__main__":
    main()
