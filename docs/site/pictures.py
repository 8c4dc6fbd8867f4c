"""Make the pictures of README, of the site's first page and of the tutorials.

    python docs/site/walk.py out/tutorials
    python docs/site/pictures.py out/tutorials -o docs/images

The first runs the tutorials; the second puts their results side by side. `gallery.jpg` is made by
`benchmarks/gallery.py`, `tutorial-network.png` by `pixelwise lab --question B1`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

import pixelwise
from pixelwise.api.demo import FLOWER

GAP = 8  # pixels between pictures
HEIGHT = 320  # of a row
SLIDER_WIDTH = 800


def main() -> None:
    """Make all pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("walked", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args()
    colour, cut, train = (options.walked / name for name in ("colour", "cut-out", "train"))
    hopper, temple = "hopper-grey.jpg", "temple-grey.jpg"
    pairs = [colour / folder / name for name in (temple, hopper) for folder in ("album", "coloured")]
    hinted = [
        colour / "coloured" / hopper,
        colour / "doubts" / "hopper-grey.confidence.png",
        colour / "hinted" / hopper,
    ]
    learned = [cut / "garden/dahlia.jpg", cut / "cut/dahlia.overlay.jpg", cut / "cut/dahlia.cut.png"]
    horses = [train / "by-horses/temple.jpg", train / "by-photo/temple.jpg"]
    for name, files in (
        ("coloured", pairs),
        ("tutorial-hints", hinted),
        ("tutorial-cut-out", learned),
        ("tutorial-horses", horses),
    ):
        save(row([Image.open(file) for file in files]), options.out / f"{name}.jpg")
    save(row(shipped_cut_out()), options.out / "cut-out.jpg")
    for name, file in zip(("temple-grey", "temple-coloured"), pairs[:2], strict=True):
        image = Image.open(file).convert("RGB")
        save(
            image.resize((SLIDER_WIDTH, image.height * SLIDER_WIDTH // image.width)),
            options.out / f"{name}.jpg",
        )
    curves = Image.open(train / "horses/curves.png").convert("RGB").quantize(32, dither=Image.Dither.NONE)
    curves.save(options.out / "tutorial-curves.png", optimize=True)


def shipped_cut_out() -> list[Image.Image]:
    """Return a photograph, its overlay by the head `flower`, and its cut-out."""
    found = pixelwise.segment(FLOWER.path, head="flower")
    return [Image.open(FLOWER.path), found.overlay(), found.cut_out("flower")]


def row(images: list[Image.Image]) -> Image.Image:
    """Put pictures side by side, at equal height."""
    small = [on_checks(image).resize((image.width * HEIGHT // image.height, HEIGHT)) for image in images]
    whole = Image.new("RGB", (sum(one.width + GAP for one in small) - GAP, HEIGHT), "white")
    left = 0
    for one in small:
        whole.paste(one, (left, 0))
        left += one.width + GAP
    return whole


def on_checks(image: Image.Image) -> Image.Image:
    """Convert to RGB, with a pale chequerboard behind transparent pixels."""
    if image.mode != "RGBA":
        return image.convert("RGB")
    rows, columns = np.indices((image.height, image.width)) // 16
    checks = np.where((rows + columns) % 2, 255, 236).astype(np.uint8)
    paper = Image.fromarray(checks).convert("RGBA")
    paper.alpha_composite(image)
    return paper.convert("RGB")


def save(image: Image.Image, path: Path) -> None:
    """Write a picture and print its size."""
    image.save(path, quality=85, optimize=True)
    print(f"{path}  {image.width} x {image.height}, {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
