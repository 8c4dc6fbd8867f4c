"""What it is worth to tell a colouriser something: hints, a reference; how far alternatives are apart.

    python benchmarks/control.py --photos DIR [--model M] [--num-photos 25] [--draws 3]

Errors are of a and b together, root mean square over all pixels of all photos in colour, at a short side of
192. Hints are true colours of pixels drawn at random; the reference is the photo itself, the best there can
be, or the next one in the folder, which has nothing to do with it. Alternatives: mean CIEDE2000 between each
pair of 4, painted at the network's own size, and what each costs: how far its softmax is from the network's,
the Kullback-Leibler divergence in nats, mean over pixels.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import log_softmax
from skimage.color import deltaE_ciede2000

from pixelwise.colour.spaces import recolour, srgb_to_lab, srgb_to_linear
from pixelwise.colourising.options import Hint
from pixelwise.colourising.prediction import Prediction, predict
from pixelwise.colourising.reference import Reference
from pixelwise.errors import ConfigError
from pixelwise.network.model import DEFAULT_MODEL, open_model
from pixelwise.photos.crop_view import shrunk_size
from pixelwise.photos.photo import Photo, open_photo

NUMS = (1, 3, 10)
STRENGTHS = (0.3, 0.5, 1.0)
NUM_WAYS = 4


def codes_of(photo: Photo, size: tuple[int, int]) -> np.ndarray:
    return photo.upright(photo.thumbnail(*size))


def error(photo: Photo, chroma: np.ndarray) -> float:
    """Mean squared error at 192 pixels."""
    size = shrunk_size(photo.height, photo.width, 192)
    truth = srgb_to_lab(photo.thumbnail(*size) / np.float32(255))[1:]
    large = F.interpolate(torch.from_numpy(chroma)[None], size, mode="bicubic")[0].numpy()
    return float(((large - truth) ** 2).sum(0).mean())


def drawn_hints(photo: Photo, num: int, rng: np.random.Generator) -> list[Hint]:
    height, width = photo.upright_size
    codes = codes_of(photo, (photo.height, photo.width))
    places = [divmod(int(place), width) for place in rng.choice(height * width, num, replace=False)]
    return [Hint(row, column, "#" + bytes(codes[:, row, column].tolist()).hex()) for row, column in places]


def hint_errors(photo: Photo, prediction: Prediction, draws: int) -> dict[int, tuple[float, float]]:
    """Squared error by number of hints, and the seconds that telling them took."""
    found = {0: (error(photo, prediction.chroma()), 0.0)}
    for num in NUMS:
        errors, times = [], []
        for seed in range(draws):
            hints = drawn_hints(photo, num, np.random.default_rng(seed))
            start = time.perf_counter()
            chroma = prediction.with_hints(photo, hints).chroma()
            times.append(time.perf_counter() - start)
            errors.append(error(photo, chroma))
        found[num] = float(np.mean(errors)), float(np.median(times))
    return found


def ways_apart(photo: Photo, prediction: Prediction) -> tuple[float, float, float]:
    """Mean and least CIEDE2000 between alternatives, and the mean price of all but the usual one."""
    ways = prediction.alternatives(NUM_WAYS)
    linear = srgb_to_linear(photo.thumbnail(*prediction.answer.shape[1:]) / np.float32(255))
    light = np.einsum("c,chw->hw", np.array([0.2127, 0.7152, 0.0722], np.float32), linear)
    labs = [np.moveaxis(srgb_to_lab(recolour(light, *way.chroma())), 0, -1) for way in ways]
    apart = [deltaE_ciede2000(one, other).mean() for one, other in itertools.combinations(labs, 2)]
    usual, *others = (log_softmax(way.answer, 0) for way in ways)
    prices = [(np.exp(other) * (other - usual)).sum(0).mean() for other in others]
    return float(np.mean(apart)), float(np.min(apart)), float(np.mean(prices))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--num-photos", type=int, default=25)
    parser.add_argument("--draws", type=int, default=3)
    options = parser.parse_args()
    model, known = open_model(options.model), []
    paths = sorted(options.photos.glob("bsds_*.jpg"))
    for path in paths[:: max(1, len(paths) // options.num_photos)]:
        try:
            reference = Reference.read(path, model.palette)
        except ConfigError:  # it is grey
            continue
        photo = open_photo(path)
        known.append((photo, predict(photo, model), reference))
    print(f"{len(known)} photos in colour, model {model.name}")
    told = [hint_errors(photo, prediction, options.draws) for photo, prediction, _ in known]
    for num in (0, *NUMS):
        errors, times = zip(*(one[num] for one in told), strict=True)
        print(f"{num:3} hints        {np.mean(errors) ** 0.5:6.2f}   {np.median(times):.3f} s")
    others = [reference for _, _, reference in known[1:] + known[:1]]
    for strength in STRENGTHS:
        own, other = (
            np.mean(
                [
                    error(photo, prediction.following(photo, reference, strength).chroma())
                    for (photo, prediction, _), reference in zip(known, references, strict=True)
                ]
            )
            ** 0.5
            for references in ([reference for _, _, reference in known], others)
        )
        print(f"reference at {strength}: itself {own:6.2f}, another {other:6.2f}")
    apart, least, price = np.mean([ways_apart(photo, prediction) for photo, prediction, _ in known], axis=0)
    print(f"{NUM_WAYS} alternatives: {apart:.1f} apart, at least {least:.1f}; each costs {price:.2f} nats")


if __name__ == "__main__":
    main()
