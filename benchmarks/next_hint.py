"""What true colours at suggested points are worth, beside random points, a grid and the least certain pixels.

    python benchmarks/next_hint.py --photos DIR [--model M] [--num-photos 100]

Each strategy tells the true colours of its points, as hints are told. Printed is the error of a and b
together, root mean square over all pixels of all photos at the size of the network's answer; 95 % intervals
of the difference to suggested points, over photos drawn anew.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from pixelwise.colour.palette import softmax
from pixelwise.colour.spaces import lightness, srgb_to_lab
from pixelwise.colourising.next_hint import entropy_of, suggest_hints
from pixelwise.colourising.options import Hint
from pixelwise.colourising.prediction import Prediction, predict
from pixelwise.evaluate.colours import Picture
from pixelwise.network.model import DEFAULT_MODEL, Model, open_model
from pixelwise.photos.photo import Photo, open_photo
from pixelwise.photos.resize import pool

NUMS = (1, 4, 9, 25)
NUM_DRAWS = 3
Points = list[tuple[int, int]]


def grid(height: int, width: int, num: int) -> Points:
    side = round(num**0.5)
    return [
        (int((row + 0.5) * height / side), int((column + 0.5) * width / side))
        for row in range(side)
        for column in range(side)
    ]


def drawn(height: int, width: int, num: int, rng: np.random.Generator) -> Points:
    return [divmod(int(place), width) for place in rng.choice(height * width, num, replace=False)]


def least_certain(logits: np.ndarray, num: int) -> Points:
    entropy = entropy_of(softmax(logits))
    return [divmod(int(place), logits.shape[2]) for place in entropy.argsort(axis=None)[::-1][:num]]


def squared_error(photo: Photo, prediction: Prediction, small: Picture, points: Points) -> float:
    """Mean squared error of a and b after the points' true colours were told."""
    size, (height, width) = photo.upright_size, small.shape[1:]
    hints = [
        Hint(
            int((row + 0.5) * size[0] / height),
            int((column + 0.5) * size[1] / width),
            "#{:02x}{:02x}{:02x}".format(*small[:, row, column].tolist()),
        )
        for row, column in points
    ]
    chroma = photo.upright(prediction.with_hints(photo, hints).chroma())
    seen = pool(chroma, (height, width))
    return float(np.square(seen - srgb_to_lab(small / np.float32(255))[1:]).sum(0).mean())


def errors_of(
    path: Path, model: Model, rng: np.random.Generator
) -> tuple[dict[tuple[str, int], float], float]:
    """Squared errors of one photo by strategy and number, and how long suggesting took."""
    photo = open_photo(path)
    prediction = predict(photo, model)
    logits = photo.upright(np.log(prediction.probs().clip(1e-9)))
    size = logits.shape[1], logits.shape[2]
    small = photo.upright(photo.thumbnail(*prediction.answer.shape[1:]))
    started = time.perf_counter()
    hints = suggest_hints(logits, lightness(small / np.float32(255))[0], model.palette, size, max(NUMS))
    took = time.perf_counter() - started
    found = {("none", 0): squared_error(photo, prediction, small, [])}
    for num in NUMS:
        chosen = {
            "suggested": [[(hint.row, hint.column) for hint in hints[:num]]],
            "grid": [grid(*size, num)],
            "random": [drawn(*size, num, rng) for _ in range(NUM_DRAWS)],
            "least certain": [least_certain(logits, num)],
        }
        for name, draws in chosen.items():
            losses = [squared_error(photo, prediction, small, one) for one in draws]
            found[name, num] = float(np.mean(losses))
    return found, took


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--num-photos", type=int, default=100)
    options = parser.parse_args()
    model, rng = open_model(options.model), np.random.default_rng(0)
    paths = sorted(options.photos.glob("bsds_*.jpg"))[: options.num_photos]
    rows = [errors_of(path, model, rng) for path in paths]
    print(
        f"{len(rows)} photos, model {model.name};"
        f" suggesting {max(NUMS)} took {np.median([took for _, took in rows]):.3f} s"
    )
    resampled = rng.integers(len(rows), size=(1000, len(rows)))
    for key in rows[0][0]:
        name, num = key
        errors = np.array([found[key] for found, _ in rows])
        told = f"{num:3} {name:14} {errors.mean() ** 0.5:6.2f}"
        if num and name != "suggested":
            ours = np.array([found["suggested", num] for found, _ in rows])
            gaps = errors[resampled].mean(1) ** 0.5 - ours[resampled].mean(1) ** 0.5
            told += "   more by {:5.2f} ({:.2f} to {:.2f})".format(
                errors.mean() ** 0.5 - ours.mean() ** 0.5, *np.quantile(gaps, (0.025, 0.975))
            )
        print(told)


if __name__ == "__main__":
    main()
