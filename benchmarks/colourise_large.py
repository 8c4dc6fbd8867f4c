"""Time and memory of colouring large photos, beside decoding and encoding the same file with libvips.

    python benchmarks/colourise_large.py [--repeats 9] [--tiff-megapixels 400]

The photo is one of scikit-learn's, enlarged to 24 megapixels, with the grain of a camera sensor, as a JPEG of
quality 92. Both ways are timed in turn, in one process, and encode with the same settings (quality 95, chroma
subsampled as in the file); colouring includes opening, the network and all metadata. The ratios are medians
of the rounds' own: of wall time, and of the processor's seconds, which other programs disturb less. Memory is
the peak of a process that does nothing else, torch and all. The TIFF has 8 bits, or 16 with --bits 16.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyvips
import torch
from sklearn.datasets import load_sample_image

from pixelwise import models
from pixelwise.config import UNetConfig
from pixelwise.errors import CheckpointError
from pixelwise.labelspace import Palette
from pixelwise.predict import colourise
from pixelwise.runs import Model, open_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--tiff-megapixels", type=int, default=400)
    parser.add_argument("--bits", type=int, choices=(8, 16), default=8)
    parser.add_argument("--once", type=Path, help="only colour this file, and print seconds and peak memory")
    options = parser.parse_args()
    if options.once:
        return once(options.once)
    print(f"{platform.machine()}, {os.cpu_count()} cores, libvips {pyvips.version(0)}.{pyvips.version(1)}")
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("colour", "grey"):
            file = write_jpeg(Path(folder) / f"{kind}.jpg", grey=kind == "grey")
            print(f"24-megapixel {kind} JPEG, {file.stat().st_size / 1e6:.1f} MB")
            compare(file, options.repeats)
            print(f"  alone: {measured_alone(file)}")
        if options.tiff_megapixels:
            file = write_tiff(Path(folder) / "large.tif", options.tiff_megapixels, options.bits)
            print(f"{options.tiff_megapixels}-megapixel TIFF, {options.bits} bit: {measured_alone(file)}")
    return None


def compare(file: Path, repeats: int) -> None:
    """Time both ways in turn and print medians."""
    model, out = any_model(), file.parent / "out"
    plain, coloured = [], []
    for _ in range(repeats + 1):
        plain.append(timed(lambda: reencode(file)))
        coloured.append(timed(lambda: colourise([str(file)], out, model)))
    rounds = list(zip(plain, coloured, strict=True))[1:]  # the first warms up
    for number, clock in enumerate(("wall", "processor")):
        ratios = [c[number] / p[number] for p, c in rounds]
        low, _, high = statistics.quantiles(ratios, n=4)
        before, after = (statistics.median(one[way][number] for one in rounds) for way in (0, 1))
        print(
            f"  {clock} time: decode and encode {before:.3f} s, colour {after:.3f} s, "
            f"ratio {statistics.median(ratios):.2f} (quartiles {low:.2f} to {high:.2f}, n = {repeats})"
        )


def reencode(file: Path) -> None:
    """What any tool that changes pixels has to do."""
    image = pyvips.Image.new_from_file(str(file), access="sequential", revalidate=True)
    image.jpegsave(str(file.with_name("plain.jpg")), Q=95, subsample_mode="on")


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of wall and of processor time."""
    start_s = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start_s[0], time.process_time() - start_s[1]


def measured_alone(file: Path) -> str:
    """Seconds and peak memory of a fresh process that colours one file."""
    command = [sys.executable, __file__, "--once", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def once(file: Path) -> None:
    result = colourise([str(file)], file.parent / "out", any_model())
    assert not result.failed, result.failed
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    moved = f"L moved by {result.lightness_difference:.3f}"
    print(f"{result.seconds:.2f} s, peak memory of the process {peak:.0f} MB, {moved}")


def any_model() -> Model:
    """The shipped model, or where there is none a network like it with random weights: it takes as long."""
    try:
        return open_model()
    except CheckpointError:
        torch.manual_seed(0)
        config = UNetConfig(num_colours=32)
        palette = Palette((torch.rand(32, 2, dtype=torch.float64) - 0.5) * 80, "ab", "random")
        net = models.build(config).eval()
        return Model(name="random", net=net, config=config, palette=palette, size=64, checksum="")


def write_jpeg(path: Path, *, grey: bool) -> Path:
    photo(6000, 4000, grey=grey).jpegsave(str(path), Q=92, subsample_mode="on")
    return path


def write_tiff(path: Path, megapixels: int, bits: int) -> Path:
    width = round((megapixels * 1e6 * 1.5) ** 0.5)
    image = photo(width, round(megapixels * 1e6 / width), grey=False)
    (image if bits == 8 else image.colourspace("rgb16")).tiffsave(str(path), bigtiff=True)
    return path


def photo(width: int, height: int, *, grey: bool) -> pyvips.Image:
    """A real photo, enlarged, with grain."""
    small = pyvips.Image.new_from_array(np.asarray(load_sample_image("flower.jpg")))
    large = small.resize(width / small.width, vscale=height / small.height, kernel="cubic")
    grain = pyvips.Image.gaussnoise(large.width, large.height, sigma=3.0, mean=0.0, seed=0)
    image = (large + grain).cast("uchar").copy(interpretation="srgb")
    return image.colourspace("b-w") if grey else image


if __name__ == "__main__":
    main()
