"""The main jobs on embedded photographs, shown on one page."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray
from PIL import Image

from pixelwise.api.colour import colourise
from pixelwise.api.images import smaller
from pixelwise.api.segmentation import Segmenter, segment
from pixelwise.colour.arrays import Float32
from pixelwise.colour.spaces import srgb_to_lab
from pixelwise.colourising.run import colourise_photo
from pixelwise.network.cards import read_card, shipped_models
from pixelwise.network.model import Colouriser
from pixelwise.photos.photo import open_photo
from pixelwise.progress import progress
from pixelwise.report import page
from pixelwise.segmenting.heads import open_head

_PHOTOGRAPHS = Path(__file__).with_name("photographs")
_HEAD = "flower20"
_LARGE, _SMALL = 640, 360  # longer side of a photo on the page, in pixels, before and after and in a row
_NUM_MASKS, _NUM_OTHERS, _SIDE = 20, 4, 200


@dataclass(frozen=True)
class DemoPhoto:
    """A colour photograph that comes along."""

    title: str
    path: Path
    credit: str


TEMPLE = DemoPhoto("A temple", _PHOTOGRAPHS / "temple.jpg", "danielbuechele, CC BY 2.0")
FLOWER = DemoPhoto("A flower", _PHOTOGRAPHS / "flower.jpg", "vultilion, CC BY 2.0")
HOPPER = DemoPhoto("Grace Hopper", _PHOTOGRAPHS / "hopper.jpg", "US Navy, public domain")
SUBJECTS = (TEMPLE, FLOWER, HOPPER)


@dataclass(frozen=True)
class Demo:
    """Files of a demonstration, and its duration."""

    page: Path
    photos: list[Path]  # the coloured ones
    seconds: float


def write_demo(folder: Path, model: Colouriser, seed: int = 0) -> Demo:
    """Colour photographs, cut out a flower, learn from twenty masks, and show all on `folder/index.html`.

    The coloured photographs are left in the folder, too; an earlier demonstration is replaced. The seed
    decides what is drawn to learn from.

    Raises:
        OutputError: the folder cannot be written.
    """
    start_s = time.perf_counter()
    coloured = []
    with progress("colouring photographs", len(SUBJECTS)) as advance:
        for subject in SUBJECTS:
            coloured.append(_colour(subject, folder, model))
            advance(1, subject.title)
    flower, learned = _cut_out_flower(), _learn_from_masks(seed)
    seconds = time.perf_counter() - start_s
    written = page.write_page(
        folder / "index.html",
        "demo.html",
        title="A class for every pixel",
        seconds=seconds,
        model=model.name,
        card=read_card(model.name) if model.name in shipped_models() else None,
        coloured=coloured,
        flower=flower,
        learned=learned,
    )
    return Demo(written, [photo["path"] for photo in coloured], seconds)


def _colour(subject: DemoPhoto, folder: Path, model: Colouriser) -> dict[str, Any]:
    """Make a photograph grey, colour the grey one as any other, and return what the page shows of it."""
    original = open_photo(subject.path)
    grey_path, path = (folder / f"{subject.path.stem}-{what}.jpg" for what in ("grey", "coloured"))
    colourise_photo(original, grey_path, np.zeros((2, 1, 1), np.float32))  # no chroma leaves luminance alone
    coloured = colourise(grey_path, model)
    coloured.save(path)
    chroma, confidence = coloured.prediction.chroma(), coloured.confidence
    true = srgb_to_lab(original.thumbnail(*chroma.shape[1:]) / np.float32(255))[1:]
    grey, after = Image.open(grey_path), coloured.image
    low, high = float(confidence.min()), float(confidence.max())
    return {
        "title": subject.title,
        "path": path,
        "before": _shown(grey, _LARGE),
        "after": _shown(after, _LARGE),
        "off": float(np.linalg.norm(chroma - true, axis=0).mean()),
        "off_grey": float(np.linalg.norm(true, axis=0).mean()),
        "pictures": {
            "Grey: all that the network gets": _shown(grey),
            "Coloured": _shown(after),
            f"Confidence: {low:.0%} in dark blue, {high:.0%} in bright yellow": _heat(confidence, after),
            f"As taken. Photo: {subject.credit}": _shown(Image.open(subject.path)),
        },
    }


def _cut_out_flower() -> dict[str, Any]:
    """Cut out a flower by a head that was learned from twenty photographs, of which it is none."""
    head, photo = open_head(_HEAD), Image.open(FLOWER.path)
    start_s = time.perf_counter()
    found = segment(FLOWER.path, head)
    seconds = time.perf_counter() - start_s
    probs = found.probs()[head.classes.index("flower")]
    return {
        "head": head,
        "seconds": seconds,
        "before": _shown(photo, _LARGE),
        "after": _shown(found.overlay(), _LARGE),
        "pictures": {
            "The photograph": _shown(photo),
            "Cut out": page.png_uri(np.asarray(smaller(found.cut_out("flower"), _SMALL))),
            "Probability of flower: dark blue none, bright yellow sure": _heat(probs, photo),
        },
    }


def _learn_from_masks(seed: int) -> dict[str, Any]:
    """Learn to find discs among squares of any colour, and score that on pictures not learned from."""
    scenes = [_scene(np.random.default_rng((seed, index))) for index in range(_NUM_MASKS + _NUM_OTHERS)]
    pictures, masks = zip(*scenes, strict=True)
    start_s = time.perf_counter()
    learner = Segmenter(classes=("background", "disc"), sizes=(256,), num_views=1)
    learner.fit(pictures[:_NUM_MASKS], masks[:_NUM_MASKS])
    seconds = time.perf_counter() - start_s
    others, true = pictures[_NUM_MASKS:], np.stack(masks[_NUM_MASKS:])
    segmented = [learner.segment(picture) for picture in others]
    given = np.stack([found.labels for found in segmented]) == 1
    return {
        "head": learner.head_,
        "num_others": _NUM_OTHERS,
        "seconds": seconds,
        "iou": (given & true).sum() / (given | true).sum(),  # of discs alone: nearly all else is background
        "examples": [
            (page.jpeg_uri(picture), _shown(found.overlay()))
            for picture, found in zip(others, segmented, strict=True)
        ],
    }


def _scene(rng: np.random.Generator) -> tuple[ndarray, ndarray]:
    """Draw a disc and two squares of any colour on a piece of a photograph; return it and the disc's mask."""
    photo = np.asarray(Image.open(TEMPLE.path))
    top, left = (rng.integers(side - _SIDE) for side in photo.shape[:2])
    picture = photo[top : top + _SIDE, left : left + _SIDE].copy()
    rows, columns = np.mgrid[:_SIDE, :_SIDE]
    quarters = rng.permutation([(0.28, 0.28), (0.28, 0.72), (0.72, 0.28), (0.72, 0.72)]) * _SIDE
    masks = []
    for number, (row, column) in enumerate(quarters[:3] + rng.integers(-10, 11, (3, 2))):
        radius = rng.integers(20, 36)
        down, right = abs(rows - row), abs(columns - column)
        inside = np.maximum(down, right) < 0.886 * radius if number else np.hypot(down, right) < radius
        picture[inside] = rng.integers(30, 226, 3)
        masks.append(inside)
    return picture, masks[0]


def _shown(image: Image.Image, longest: int = _SMALL) -> str:
    return page.jpeg_uri(np.asarray(smaller(image, longest).convert("RGB")))


def _heat(shares: Float32[ndarray, "h w"], photo: Image.Image) -> str:
    return page.jpeg_uri(page.heat(shares, smaller(photo, _SMALL).size[::-1]))
