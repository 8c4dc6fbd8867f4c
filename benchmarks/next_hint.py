"""What true colours at suggested points are worth, beside random points, a grid and the least certain pixels.

    python benchmarks/next_hint.py --photos DIR [--model M] [--num-photos 100]

Each strategy tells the true chroma of its points. It is spread along ways, as suggestions reckon, or
directly: by the difference of lightness and the distance, whatever lies between. Printed is the error of a
and b together, root mean square over all pixels of all photos at the size of the network's answer; 95 %
intervals of the difference to suggested points, over photos drawn anew.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from pixelwise.colour import lightness, srgb_to_lab
from pixelwise.confidence.next_hint import spread, suggest_hints
from pixelwise.photos.photo import open_photo
from pixelwise.predict import predict
from pixelwise.runs import DEFAULT_MODEL, Model, open_model

NUMS = (1, 4, 9, 25)
NUM_DRAWS = 5
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


def least_certain(logits: torch.Tensor, num: int) -> Points:
    entropy = torch.special.entr(logits.softmax(0)).sum(0)
    return [divmod(int(place), logits.shape[2]) for place in entropy.flatten().topk(num).indices]


def spread_directly(light: torch.Tensor, points: Points) -> torch.Tensor:
    height, width = light.shape
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    reach = [
        (
            -(light - light[row, column]).abs() / 10
            - torch.hypot((rows - row).float(), (columns - column).float()) / (0.25 * min(light.shape))
        ).exp()
        for row, column in points
    ]
    return torch.stack(reach)


def squared_error(points: Points, reach: torch.Tensor, guess: torch.Tensor, truth: torch.Tensor) -> float:
    """Mean squared error of a and b after the points' true chroma is spread by `reach` (n, h, w)."""
    told = torch.stack([truth[:, row, column] for row, column in points])
    share = 1 - (1 - reach).prod(0)
    mean = torch.einsum("nhw,nd->dhw", reach, told) / reach.sum(0).clamp_min(1e-9)
    return float(((guess + share * (mean - guess) - truth) ** 2).sum(0).mean())


def errors_of(
    path: Path, model: Model, rng: np.random.Generator
) -> tuple[dict[tuple[str, str, int], float], float]:
    """Squared errors of one photo by spreading, strategy and number, and how long suggesting took."""
    photo = open_photo(path)
    prediction = predict(photo, model)
    logits, guess = photo.upright(prediction.known_logits()), photo.upright(prediction.chroma())
    size = logits.shape[1:]
    small = photo.upright(photo.thumbnail(*prediction.logits.shape[1:])).float() / 255
    lab, light = srgb_to_lab(small), lightness(small)[0]
    started = time.perf_counter()
    hints = suggest_hints(logits, light, model.palette, tuple(size), max(NUMS))
    took = time.perf_counter() - started
    found = {}
    for way, reach in (("along ways", spread), ("directly", spread_directly)):
        found[way, "none", 0] = float(((guess - lab[1:]) ** 2).sum(0).mean())
        for num in NUMS:
            chosen = {
                "suggested": [[(hint.row, hint.column) for hint in hints[:num]]],
                "grid": [grid(*size, num)],
                "random": [drawn(*size, num, rng) for _ in range(NUM_DRAWS)],
                "least certain": [least_certain(logits, num)],
            }
            for name, draws in chosen.items():
                losses = [squared_error(one, reach(light, one), guess, lab[1:]) for one in draws]
                found[way, name, num] = float(np.mean(losses))
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
        way, name, num = key
        errors = np.array([found[key] for found, _ in rows])
        told = f"{way:11} {num:3} {name:14} {errors.mean() ** 0.5:6.2f}"
        if num and name != "suggested":
            ours = np.array([found[way, "suggested", num] for found, _ in rows])
            gaps = errors[resampled].mean(1) ** 0.5 - ours[resampled].mean(1) ** 0.5
            told += "   more by {:5.2f} ({:.2f} to {:.2f})".format(
                errors.mean() ** 0.5 - ours.mean() ** 0.5, *np.quantile(gaps, (0.025, 0.975))
            )
        print(told)


if __name__ == "__main__":
    main()
