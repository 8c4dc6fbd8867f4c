"""Twenty photographs that come with packages, in black and white, and what the shipped model makes of them.

    python benchmarks/gallery.py -o docs/images/gallery.jpg [--model NAME]

Half were never in colour; the others are as on old film: blind to red, faded, grainy, by
`training.tasks.photographed`.
Needs what the tests need: scikit-image has most of them, in the public domain or under CC0.
"""

from __future__ import annotations

import argparse
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from pixelwise.colour.spaces import lightness_to_luminance, linear_to_srgb
from pixelwise.colourising.prediction import predict
from pixelwise.evaluate.colours import painted
from pixelwise.network.model import DEFAULT_MODEL, Model, open_model
from pixelwise.photos.crop_view import shrunk_size
from pixelwise.photos.photo import open_photo, photo_of_codes
from pixelwise.photos.resize import channels_last
from pixelwise.training.tasks import photographed

NEVER_IN_COLOUR = ("camera.png", "coins.png", "moon.png", "brick.png", "gravel.png", "grass.png")
NEVER_IN_COLOUR += ("clock_motion.png", "page.png", "text.png", "cell.png")
ONCE_IN_COLOUR = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png")
ONCE_IN_COLOUR += ("retina.jpg", "hubble_deep_field.jpg")
ELSEWHERE = (
    ("sklearn", "datasets/images/china.jpg"),
    ("sklearn", "datasets/images/flower.jpg"),
    ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
)
_SIDE = 220  # pixels of a picture on the sheet, each way
_COLUMNS, _GAP = 4, 6


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    options = parser.parse_args()
    model = open_model(options.model)
    old = [("skimage", f"data/{name}") for name in ONCE_IN_COLOUR] + [*ELSEWHERE]
    pairs = [pair(model, *one, seed=seed) for seed, one in enumerate(old)]
    pairs += [pair(model, "skimage", f"data/{name}") for name in NEVER_IN_COLOUR]
    Image.fromarray(sheet(pairs)).save(options.out, quality=88)
    print(f"{len(pairs)} photographs, grey and coloured: {options.out}")


def pair(model: Model, package: str, path: str, seed: int | None = None) -> UInt8[np.ndarray, "h w 3"]:
    """A photograph in grey, beside the same coloured; with a `seed`, as if on old film."""
    file = Path(str(resources.files(package))) / path
    photo = open_photo(file)
    codes = photo.thumbnail(*shrunk_size(photo.height, photo.width, 2 * _SIDE))
    grey = painted(codes, np.zeros((2, 1, 1), np.float32))
    if seed is not None:
        stored, generator = torch.from_numpy(codes)[None] / 255, torch.Generator().manual_seed(seed)
        film = lightness_to_luminance(100 * photographed(stored, 1.0, generator)[0].numpy())
        grey = (linear_to_srgb(film) * 255).round().astype(np.uint8).repeat(3, 0)
    coloured = painted(grey, predict(photo_of_codes(channels_last(grey), file), model).chroma())
    return np.concatenate([small(grey), small(coloured)], axis=1)


def small(codes: UInt8[np.ndarray, "3 H W"]) -> UInt8[np.ndarray, "h w 3"]:
    """The middle of a picture, as a square of the sheet."""
    image = Image.fromarray(np.moveaxis(codes, 0, -1))
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return np.asarray(image.crop((left, top, left + side, top + side)).resize((_SIDE, _SIDE)))


def sheet(pairs: list[np.ndarray]) -> UInt8[np.ndarray, "H W 3"]:
    """All pairs on white, four in a row."""
    rows = -(-len(pairs) // _COLUMNS)
    height, width = _SIDE + _GAP, 2 * _SIDE + _GAP
    paper = np.full((rows * height - _GAP, _COLUMNS * width - _GAP, 3), 255, np.uint8)
    for index, one in enumerate(pairs):
        top, left = index // _COLUMNS * height, index % _COLUMNS * width
        paper[top : top + _SIDE, left : left + 2 * _SIDE] = one
    return paper


if __name__ == "__main__":
    main()
