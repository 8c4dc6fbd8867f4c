"""How soon a model colours photos, and whether a photo's size or its company decides its colours.

    python benchmarks/colourise.py [--model NAME] [--repeats 15] [--photos DIR]

Prints, as medians, the network's own time for 256 x 256 pixels, beside the 0.45 s that DDColor-tiny takes on
two cores; and the time from an opened program to the coloured copy of a 1-megapixel JPEG, decoding and
encoding included, without and with `--confidence`. Then, of photos in DIR (of scikit-learn's two if none is
given): how far the colours of a photo at half and at twice its size are from those at its own (CIEDE2000,
mean over pixels, at one lightness), and whether a batch equals the photos one by one, and a second run
the first.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command line does

import numpy as np
import pyvips
import torch
from sklearn.datasets import load_sample_image

from pixelwise.colour.spaces import recolour, srgb_to_lab
from pixelwise.colourising.options import ColouriseOptions
from pixelwise.colourising.prediction import predict
from pixelwise.colourising.run import colourise_files
from pixelwise.evaluate.colour_scores import ciede2000
from pixelwise.network.model import DEFAULT_MODEL, Model, open_model
from pixelwise.photos.photo import open_photo

RIVAL_S = 0.45  # DDColor-tiny at 256 x 256 on two cores; measured elsewhere, on a like machine
MEGAPIXEL = (816, 1224)
_NUM_RESIZED = 12  # photos


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--photos", type=Path)
    options = parser.parse_args()
    model = open_model(options.model)
    print(f"{model.name} on {platform.machine()}, {os.cpu_count()} cores; medians, n = {options.repeats}")
    with tempfile.TemporaryDirectory() as folder:
        tell_times(model, Path(folder), options.repeats)
        tell_sizes(model, Path(folder), options.photos)
        tell_sameness(model, Path(folder), options.photos)


def tell_times(model: Model, folder: Path, repeats: int) -> None:
    """The network alone, and all of it for a photo of a megapixel."""
    grey = np.random.default_rng(0).random((1, 1, 256, 256), np.float32)
    network_s = median_s(lambda: model.logits(grey), repeats)
    print(
        f"256 x 256, the network: {network_s * 1e3:.1f} ms, {RIVAL_S / network_s:.0f} times as fast as 0.45 s"
    )
    file = write_sample(folder / "megapixel.jpg", *MEGAPIXEL)
    for name, asked in {
        "": ColouriseOptions(),
        " with its map of confidence": ColouriseOptions(confidence=True),
    }.items():
        seconds = median_s(
            lambda asked=asked: colourise_files([str(file)], folder / "out", model, asked), repeats
        )
        print(f"1 megapixel, from file to file{name}: {seconds:.3f} s")


def tell_sizes(model: Model, folder: Path, photos: Path | None) -> None:
    """How much of a photo's colours its size decides."""
    moved: dict[float, list[float]] = {0.5: [], 2.0: []}
    for file in some(folder, photos):
        colours = coloured(model, file)
        for scale, found in moved.items():
            image = pyvips.Image.new_from_file(str(file), access="sequential").resize(scale)
            image.write_to_file(str(folder / "resized.png"))
            other = coloured(model, folder / "resized.png", colours.shape[1:])
            found.append(float(ciede2000(srgb_to_lab(colours), srgb_to_lab(other)).mean()))
    for scale, found in moved.items():
        print(
            f"at {scale:g} times its size colours are {statistics.fmean(found):.2f} CIEDE2000 away, "
            f"at most {max(found):.2f} (n = {len(found)} photos)"
        )


def coloured(model: Model, file: Path, size: tuple[int, ...] | None = None) -> np.ndarray:
    """A photo in its predicted colours at one lightness throughout, sRGB, as large as asked or as it is."""
    photo = open_photo(file)
    height, width = size or (photo.height, photo.width)
    chroma = torch.from_numpy(predict(photo, model).chroma())[None]
    a, b = torch.nn.functional.interpolate(chroma, (height, width), mode="bicubic")[0].numpy()
    return recolour(np.full_like(a, 0.4), a, b)


def tell_sameness(model: Model, folder: Path, photos: Path | None) -> None:
    """Whether the bytes written depend on what else is coloured, or on anything but the photo."""
    files = [str(file) for file in some(folder, photos)]
    colourise_files(files, folder / "batch", model)
    colourise_files(files, folder / "again", model)
    for file in files:
        colourise_files([file], folder / "alone", model)
    for name in ("again", "alone"):
        same = sum(
            (folder / "batch" / Path(file).name).read_bytes()
            == (folder / name / Path(file).name).read_bytes()
            for file in files
        )
        what = "a second run" if name == "again" else "one by one"
        print(f"{what}: {same} of {len(files)} copies equal the batch's, byte for byte")


def some(folder: Path, photos: Path | None) -> list[Path]:
    """Photos to try."""
    if photos:
        found = sorted(photos.glob("*.jpg"))
        return found[:: max(1, len(found) // _NUM_RESIZED)][:_NUM_RESIZED]
    written = []
    for name in ("china.jpg", "flower.jpg"):
        pyvips.Image.new_from_array(np.asarray(load_sample_image(name))).write_to_file(str(folder / name))
        written.append(folder / name)
    return written


def write_sample(path: Path, height: int, width: int) -> Path:
    """A photograph of so many pixels, as a JPEG of quality 92."""
    photo = pyvips.Image.new_from_array(np.asarray(load_sample_image("china.jpg")))
    photo.resize(width / photo.width, vscale=height / photo.height).jpegsave(str(path), Q=92)
    return path


def median_s(work: Callable[[], object], repeats: int) -> float:
    """Median seconds, after two that warm up."""
    times_s = []
    for _ in range(repeats + 2):
        start_s = time.perf_counter()
        work()
        times_s.append(time.perf_counter() - start_s)
    return statistics.median(times_s[2:])


if __name__ == "__main__":
    main()
