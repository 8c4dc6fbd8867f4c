"""Seconds that an exported model takes for a photo with onnxruntime, beside torch.

    python benchmarks/export.py [--model NAME] [--repeats 21]

Prints medians of turns taken in alternation, at 256 x 256 pixels and at a square of the model's reading size.
Both go from the photo to chroma.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time

import numpy as np
import torch

from pixelwise.network.model import DEFAULT_MODEL, new_session
from pixelwise.training.runs import open_torch_model
from pixelwise.training.export import colouring_graph


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--repeats", type=int, default=21)
    options = parser.parse_args()
    model = open_torch_model(options.model)
    exported = new_session(colouring_graph(model).SerializeToString(), torch.get_num_threads())
    print(f"{model.name} on {platform.machine()}, {os.cpu_count()} cores; medians, n = {options.repeats}")
    for side in (256, model.size):
        codes = np.random.default_rng(0).integers(0, 256, (1, 3, side, side), np.uint8)
        photo = {"photo": codes / np.float32(255)}
        taken: dict[str, list[float]] = {"torch": [], "onnxruntime": []}
        for _ in range(options.repeats + 1):
            begin = time.perf_counter()
            model.palette.chroma(model.logits(model.palette.read_grey(codes)), 1.0)
            between = time.perf_counter()
            exported.run(["chroma"], photo)
            taken["torch"].append(between - begin)
            taken["onnxruntime"].append(time.perf_counter() - between)
        ours, theirs = (statistics.median(times[1:]) * 1e3 for times in taken.values())
        print(f"{side} x {side}: torch {ours:.1f} ms, onnxruntime {theirs:.1f} ms, {theirs / ours:.2f} of it")


if __name__ == "__main__":
    main()
