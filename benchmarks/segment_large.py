"""Time and memory of segmenting large photos.

    python benchmarks/segment_large.py [--repeats 5] [--tiff-megapixels 400]

The photos are those of benchmarks/colourise_large.py: a 24-megapixel JPEG and a 400-megapixel TIFF. The head
is one of random weights on the embedded backbone at its own sizes, binary: it takes as long as any. The JPEG
is segmented in one process, after a round that warms up; medians and ranges are of single rounds. Memory is
the peak of a process of its own.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from colourise_large import write_jpeg, write_tiff

from pixelwise.labels.class_names import FLOWER
from pixelwise.network.backbone import open_backbone
from pixelwise.network.config import SegmentOptions
from pixelwise.network.session import usable_processors
from pixelwise.segmenting.heads import Head
from pixelwise.segmenting.linear_head import Weights
from pixelwise.segmenting.run import SegmentResult, segment_files

WAYS = {
    "mask": SegmentOptions(),
    "mask and overlay": SegmentOptions(overlay=True),
    "mask and probabilities": SegmentOptions(probabilities=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tiff-megapixels", type=int, default=400)
    parser.add_argument(
        "--once", nargs=2, metavar=("FILE", "WAY"), help="print seconds and peak memory of one"
    )
    options = parser.parse_args()
    if options.once:
        return once(Path(options.once[0]), options.once[1])
    print(f"{platform.machine()}, {os.cpu_count()} cores, {usable_processors()} of them used")
    with tempfile.TemporaryDirectory() as folder:
        file = write_jpeg(Path(folder) / "photo.jpg", grey=False)
        print("24-megapixel JPEG")
        compare(file, options.repeats)
        for way in WAYS:
            print(f"  {way}, alone: {measured_alone(file, way)}")
        if options.tiff_megapixels:
            file = write_tiff(Path(folder) / "large.tif", options.tiff_megapixels, 8)
            print(f"{options.tiff_megapixels}-megapixel TIFF")
            for way in WAYS:
                print(f"  {way}, alone: {measured_alone(file, way)}")
    return None


def compare(file: Path, repeats: int) -> None:
    """Time all ways in turn and print medians and ranges."""
    rounds = [{way: run(file, way).seconds for way in WAYS} for _ in range(repeats + 1)][1:]
    for way in WAYS:
        times_s = [one[way] for one in rounds]
        span = f"{min(times_s):.2f} to {max(times_s):.2f}"
        print(f"  {way}: {statistics.median(times_s):.2f} s ({span}, n = {repeats})")


def run(file: Path, way: str) -> SegmentResult:
    backbone = open_backbone()
    features = sum(level.channels for level in backbone.levels) * len(backbone.sizes)
    weight = np.random.default_rng(0).standard_normal((2, features), np.float32) / np.float32(features**0.5)
    head = Head(
        name="random",
        classes=FLOWER,
        weights=Weights(weight, np.zeros(2, np.float32)),
        backbone=backbone.name,
        backbone_checksum=backbone.checksum,
        sizes=backbone.sizes,
    )
    result = segment_files([str(file)], file.parent / "out", [head], backbone, WAYS[way])
    assert not result.failed, result.failed
    return result


def measured_alone(file: Path, way: str) -> str:
    """Seconds and peak memory of a fresh process that segments one file."""
    command = [sys.executable, __file__, "--once", str(file), way]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def once(file: Path, way: str) -> None:
    seconds = run(file, way).seconds
    # Not getrusage's figure: it begins with that of the process that started this one.
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    print(f"{seconds:.2f} s, peak memory of the process {peak:.0f} MB")


if __name__ == "__main__":
    main()
