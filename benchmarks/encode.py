"""How long encoding a megapixel takes, beside a plain lookup of a megapixel in a table of 256 bytes.

    python benchmarks/encode.py [--repeats 101]

Both are timed in turn, round by round, so that what else the machine does falls on both; the figures are the
medians of all rounds and of each round's ratio, with the quarter and three-quarter points of the ratio. The
photo is a real one, enlarged; noise is the worst case there is, since every pixel looks up another place of
the table, beyond the reach of the processor's inner caches.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

from pixelwise.labelspace import Palette
from pixelwise.nearest import nearest_table

SIDE = 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=101)
    repeats = parser.parse_args().repeats
    print(f"{platform.machine()}, {os.cpu_count()} cores, numpy {np.__version__}, one thread, n = {repeats}")
    images = {"photo": enlarged_photo(), "noise": torch.from_numpy(random_codes(3))}
    palettes = {
        "handout24 (rgb, 24)": Palette.read("handout24"),
        "learned (ab, 64)": Palette.learn(images["photo"][None], 64, "ab")[0],
        "random (rgb, 255)": Palette(torch.rand(255, 3, dtype=torch.float64), "rgb"),
    }
    for name, palette in palettes.items():
        print(f"\n{name}: table made in {build_seconds(palette):.2f} s (median of 5)")
        for kind, image in images.items():
            print(f"  {kind}: {compare(palette, image, repeats)}")


def compare(palette: Palette, image: torch.Tensor, repeats: int) -> str:
    plain_table, channel = random_codes(1)[0, 0, :256].copy(), image[0].numpy()
    plain = seconds_of(lambda: np.take(plain_table, channel))
    encode = seconds_of(lambda: palette.encode(image))
    rounds = np.array([(plain(), encode()) for _ in range(repeats + 3)])[3:]  # the first rounds warm up
    plain_ms, encode_ms = 1000 * np.median(rounds, axis=0)
    low, middle, high = np.quantile(rounds[:, 1] / rounds[:, 0], [0.25, 0.5, 0.75])
    return f"plain {plain_ms:.2f} ms, encode {encode_ms:.2f} ms, ratio {middle:.2f} ({low:.2f} to {high:.2f})"


def seconds_of(work: Callable[[], object]) -> Callable[[], float]:
    def timed() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return timed


def build_seconds(palette: Palette) -> float:
    centres = palette.colours.numpy() * (255 if palette.space == "rgb" else 1)
    build = seconds_of(lambda: nearest_table(centres, palette.space))
    return float(np.median([build() for _ in range(5)]))


def enlarged_photo() -> torch.Tensor:
    photo = Image.fromarray(load_sample_image("china.jpg")).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.ascontiguousarray(np.asarray(photo).transpose(2, 0, 1)))


def random_codes(num_channels: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (num_channels, SIDE, SIDE), dtype=np.uint8)


if __name__ == "__main__":
    main()
