"""How good a head is by the number of photos it is learned from, and how long `finetune` takes.

    PIXELWISE_DATA=... python benchmarks/shots.py [--shots 5 20 0] [--draws 5] [--repeats 3]
        [--sizes 256 512] [--looks 1] [--ridge 0.1]

Prints the intersection over union of flower on the test photos of flowers17, over all labelled pixels, last
layer only, on the embedded backbone: mean and standard deviation over draws (0 shots: all, one draw). Then
`pixelwise finetune flowers17 --shots 20`, each time a process of its own, from an empty cache and from the
one that this leaves: wall seconds from start to end, scores before and after included.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pixelwise.network.config import FinetuneConfig
from pixelwise.segmenting.feature_cache import FeatureCache
from pixelwise.training.finetune import finetune


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shots", type=int, nargs="+", default=[5, 20, 0])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=[])
    parser.add_argument("--looks", type=int, default=0)
    parser.add_argument("--ridge", type=float)
    options = parser.parse_args()
    way = {"sizes": tuple(options.sizes), "looks": options.looks, "ridge": options.ridge}
    print(f"{platform.machine()}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        for shots in options.shots:
            score(shots, options.draws if shots else 1, Path(folder), way)
        for _ in range(options.repeats):
            time_program(Path(folder))


def score(shots: int, num_draws: int, folder: Path, way: dict[str, Any]) -> None:
    """Print what heads of some draws score."""
    cache, scores, solve_s = FeatureCache(folder / "scores"), [], []
    for seed in range(num_draws):
        config = FinetuneConfig(source="flowers17", shots=shots, seed=seed, **way)
        result = finetune(config, folder / "head.safetensors", cache=cache)
        scores.append(result.scores.after.iou["flower"].value)
        solve_s.append(result.learned.solve_s)
    facts = result.head.facts
    spread = f"sd {statistics.stdev(scores):.4f}, n = {num_draws}" if num_draws > 1 else "n = 1"
    print(
        f"{facts.num_images} photos: flower IoU {statistics.mean(scores):.4f} ({spread}), "
        f"solved in {statistics.median(solve_s):.1f} s, gradient {facts.gradient_norm:.0e}",
        flush=True,
    )


def time_program(folder: Path) -> None:
    """Print how long the program takes, cold and warm."""
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        environment = os.environ | {"PIXELWISE_CACHE": cache}
        program = Path(sys.executable).with_name("pixelwise")
        command = [str(program), "finetune", "flowers17", "--shots", "20", "--quiet"]
        seconds = []
        for _ in range(2):
            start_s = time.perf_counter()
            subprocess.run(
                [*command, "-o", f"{folder}/head.safetensors"],
                env=environment,
                check=True,
                stdout=subprocess.DEVNULL,
            )
            seconds.append(time.perf_counter() - start_s)
        print(f"finetune flowers17 --shots 20: cold {seconds[0]:.1f} s, warm {seconds[1]:.1f} s", flush=True)


if __name__ == "__main__":
    main()
