"""Time and memory of colouring large photos, beside decoding and encoding the same file without.

    python benchmarks/colourise_large.py [--repeats 9] [--tiff-megapixels 400]

The photo is a mirrored mosaic of the shipped flower, 24 megapixels of full detail with the grain of a
camera's sensor, as a JPEG of quality 92. It is decoded and encoded by libvips, which does both at once in
several threads, and by Pillow, which most programs use. All ways are timed in turn, in one process, and
encode with the same settings (quality 95, chroma subsampled as in the file); colouring includes opening,
the network and all metadata. Ratios are medians of the rounds' own: of wall time, and of processor seconds,
which other programs disturb less. Memory is the peak of a process that does nothing else. The
TIFF is the same photo enlarged; it has 8 bits, or 16 with --bits 16.
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
from collections.abc import Callable
from pathlib import Path

import pyvips
from PIL import Image

import pixelwise.api
from pixelwise.colourising.run import colourise_files
from pixelwise.network.model import open_model


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
    """Time all ways in turn and print medians."""
    model, out = open_model(), file.parent / "out"
    ways: dict[str, Callable[[], object]] = {
        "libvips": lambda: by_libvips(file),
        "Pillow": lambda: by_pillow(file),
        "colour": lambda: colourise_files([str(file)], out, model),
    }
    rounds = [{name: timed(way) for name, way in ways.items()} for _ in range(repeats + 1)][
        1:
    ]  # one warms up
    for number, clock in enumerate(("wall", "processor")):
        coloured = statistics.median(one["colour"][number] for one in rounds)
        print(f"  {clock} time: to colour {coloured:.3f} s (n = {repeats})")
        for name in ("libvips", "Pillow"):
            plain = statistics.median(one[name][number] for one in rounds)
            ratios = [one["colour"][number] / one[name][number] for one in rounds]
            low, middle, high = statistics.quantiles(ratios, n=4)
            print(
                f"    to decode and encode by {name} {plain:.3f} s: "
                f"ratio {middle:.2f} (quartiles {low:.2f} to {high:.2f})"
            )


def by_libvips(file: Path) -> None:
    image = pyvips.Image.new_from_file(str(file), access="sequential", revalidate=True)
    image.jpegsave(str(file.with_name("plain.jpg")), Q=95, subsample_mode="on")


def by_pillow(file: Path) -> None:
    with Image.open(file) as image:
        image.save(file.with_name("plain.jpg"), quality=95, subsampling="4:2:0")


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
    result = colourise_files([str(file)], file.parent / "out", open_model())
    assert not result.failed, result.failed
    # Not getrusage's figure: it begins with that of the process that started this one.
    peak = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024
    moved = f"L moved by {result.lightness_difference:.3f}"
    print(f"{result.seconds:.2f} s, peak memory of the process {peak:.0f} MB, {moved}")


def write_jpeg(path: Path, *, grey: bool) -> Path:
    tile = sample_photo()
    tile = tile.join(tile.fliphor(), "horizontal")
    tile = tile.join(tile.flipver(), "vertical")
    mosaic = tile.replicate(6000 // tile.width + 1, 4000 // tile.height + 1).crop(0, 0, 6000, 4000)
    with_grain(mosaic, grey=grey).jpegsave(str(path), Q=92, subsample_mode="on")
    return path


def write_tiff(path: Path, megapixels: int, bits: int) -> Path:
    width = round((megapixels * 1e6 * 1.5) ** 0.5)
    height = round(megapixels * 1e6 / width)
    small = sample_photo()
    large = small.resize(width / small.width, vscale=height / small.height, kernel="cubic")
    image = with_grain(large, grey=False)
    (image if bits == 8 else image.colourspace("rgb16")).tiffsave(str(path), bigtiff=True)
    return path


def sample_photo() -> pyvips.Image:
    photographs = Path(pixelwise.api.__file__).with_name("photographs")
    return pyvips.Image.new_from_file(str(photographs / "flower.jpg"))


def with_grain(photo: pyvips.Image, *, grey: bool) -> pyvips.Image:
    grain = pyvips.Image.gaussnoise(photo.width, photo.height, sigma=3.0, mean=0.0, seed=0)
    image = (photo + grain).cast("uchar").copy(interpretation="srgb")
    return image.colourspace("b-w") if grey else image


if __name__ == "__main__":
    main()
