"""How many toned photos are told, and how many ordinary ones are taken for toned.

    python benchmarks/sepia.py --photos DIR

Each photo as it is and toned: lightness to brown by one of five ramps, of any strength and hue between
red-brown and yellow, with noise and as JPEG. A photo that is flagged as it is may be an old print: names
are printed.
"""

from __future__ import annotations

import argparse
import io
import math
import random
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pixelwise.colour import lab_to_srgb, lightness
from pixelwise.data.colour_folder import read_square
from pixelwise.photos.photo import open_photo
from pixelwise.photos.tone import is_grey, is_sepia

RAMPS = {
    "middle": lambda light: 4 * light * (1 - light),
    "paper": lambda light: light,
    "ink": lambda light: 1 - light,
    "even": lambda light: torch.full_like(light, 0.7),
}
MATRIX = torch.tensor([1.07, 0.95, 0.74])[:, None, None]


def toned(codes: torch.Tensor, rng: random.Random) -> torch.Tensor:
    """A photo (3, H, W) in codes as an old print of it."""
    light = lightness(codes[None].float() / 255)[0, 0] / 100
    kind = rng.choice(["matrix", *RAMPS])
    chroma, hue = rng.uniform(8, 35), math.radians(rng.uniform(50, 88))
    if kind == "matrix":
        image = light * MATRIX * rng.uniform(0.85, 1)
    else:
        chroma = RAMPS[kind](light) * chroma
        image = lab_to_srgb(torch.stack([90 * light + 5, chroma * math.cos(hue), chroma * math.sin(hue)]))
    noise = np.random.default_rng(rng.getrandbits(32)).normal(0, rng.uniform(0, 0.03), image.shape)
    image = (image + torch.from_numpy(noise)).clamp(0, 1) * 255
    written = io.BytesIO()
    Image.fromarray(image.round().byte().permute(1, 2, 0).numpy()).save(
        written, "JPEG", quality=rng.randint(60, 95)
    )
    return torch.from_numpy(np.asarray(Image.open(written)).copy()).permute(2, 0, 1)


def square(path: Path, size: int) -> torch.Tensor:
    return read_square(open_photo(path), size)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--size", type=int, default=64, help="of the squares that are looked at")
    parser.add_argument("--every", type=int, default=4, help="one of so many is toned")
    parser.add_argument("--keep", type=Path, default=Path("toned.png"), help="a file to tone into")
    options = parser.parse_args()
    paths = sorted(path for path in options.photos.iterdir() if path.suffix == ".jpg")
    squares = {path: square(path, options.size) for path in paths}
    taken = [path.name for path, one in squares.items() if is_sepia(one)]
    num_grey = sum(is_grey(one) for one in squares.values())
    print(f"of {len(paths)} photos as they are {len(taken)} are called sepia, {num_grey} grey")
    print(", ".join(taken))
    rng, found = random.Random(0), []
    for path in paths[:: options.every]:
        codes = torch.from_numpy(np.asarray(Image.open(path).convert("RGB")).copy()).permute(2, 0, 1)
        picture = toned(codes, rng).permute(1, 2, 0).numpy()
        Image.fromarray(picture).save(options.keep, compress_level=0)
        one = square(options.keep, options.size)
        found.append(is_sepia(one) or is_grey(one))
    print(f"of {len(found)} toned ones {sum(found)} are called sepia or grey, {np.mean(found):.1%}")


if __name__ == "__main__":
    main()
