"""Outcomes of runs: scores over seeds, of variants beside each other, and where pixels are right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray
from scipy import ndimage
from scipy.special import stdtrit

from pixelwise.colour.arrays import Float32, Float64, UInt8
from pixelwise.colour.palette import Palette
from pixelwise.colour.spaces import srgb_to_lab
from pixelwise.labels.confusion import Confusion
from pixelwise.network.config import EpochMetrics, MetricName
from pixelwise.training.runs import open_torch_model, read_checkpoint, read_metrics
from pixelwise.training.shapes import Bytes

Classes = UInt8[ndarray, "N H W"]  # of the pixels of pictures
_LAST_EPOCHS = 3  # whose scores are averaged for variants, since single ones jump by a point
EDGES_FRAC = 0.15  # of all pixels count as edges: those where brightness changes most
_AT_ONCE = 100  # pictures, whose logits are held in memory
# Ranges of the distance to the nearest edge, each with its greatest distance in pixels.
_PLACES = {"on an edge": 0.0, "next to it": 1.0, "1 to 2": 2.0, "2 to 4": 4.0, "over 4": np.inf}


def mean(values: Sequence[float] | ndarray) -> float:
    """Return the mean as a plain number, for JSON."""
    return float(np.mean(values))


def apart_by_chance(values: Sequence[float] | ndarray) -> float | None:
    """Return the distance that 19 of 20 pairs of runs stay below if only their seeds differ; None for one."""
    num = len(values)
    return float(stdtrit(num - 1, 0.975) * np.std(values, ddof=1) * 2**0.5) if num > 1 else None


def over_seeds(gains: Sequence[float] | ndarray) -> dict[str, float | None]:
    """Return the mean of each seed's own difference, with Student's 95 % interval; none for one seed."""
    value, apart = mean(gains), apart_by_chance(gains)
    if apart is None:
        return {"value": value, "low": None, "high": None}
    half = apart / (2 * len(gains)) ** 0.5
    return {"value": value, "low": value - half, "high": value + half}


def compare(by_seed: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Return the mean score of each network over its seeds; of two also the second's gain, seed by seed."""
    found: dict[str, Any] = {name: mean(scores) for name, scores in by_seed.items()}
    if len(by_seed) == 2:
        first, second = by_seed.values()
        found["gain"] = over_seeds(np.subtract(second, first))
    return found


def training(runs: Sequence[Path]) -> dict[str, Any]:
    """Return the configuration of runs that differ in their seed alone, and their scores at the end."""
    checkpoints, last = [*map(read_checkpoint, runs)], [read_metrics(run)[-1] for run in runs]
    config = checkpoints[0].config
    names: tuple[MetricName, ...] = ("train_loss", "val_loss", "val_accuracy")
    return {
        "source": config.source,
        "epochs": config.train.epochs,
        "batch_size": config.train.batch_size,
        "learning_rate": config.train.learning_rate,
        "precision": sorted({checkpoint.precision for checkpoint in checkpoints}),
        "seconds": mean([row["train_seconds"] for row in last]),
        "by_seed": [
            {"seed": checkpoint.config.train.seed} | {name: row[name] for name in names}
            for checkpoint, row in zip(checkpoints, last, strict=True)
        ],
        "mean": {name: mean([row[name] for row in last]) for name in names},
        "apart_by_chance": {
            name: apart_by_chance([row[name] for row in last]) for name in ("val_loss", "val_accuracy")
        },
    }


def compare_variants(rows: dict[str, list[list[EpochMetrics]]], reference: str) -> list[dict[str, Any]]:
    """Return the scores of variants after equally many epochs, averaged over the last of them, best first.

    `rows` has the rows of each seed by the variant's name; `behind` is by how many points a variant is less
    accurate than the reference, over the seeds that both have.
    """
    epochs = min(len(seed) for seeds in rows.values() for seed in seeds)
    averaged = min(_LAST_EPOCHS, epochs)
    accuracy: dict[str, list[float]] = {}
    for name, seeds in rows.items():
        last = [seed[epochs - averaged : epochs] for seed in seeds]
        accuracy[name] = [mean([row["val_accuracy"] for row in seed]) for seed in last]
    found: list[dict[str, Any]] = []
    for name, own in accuracy.items():
        gains = [best - other for best, other in zip(accuracy[reference], own, strict=False)]
        row = {"name": name, "epochs": epochs, "averaged": averaged, "accuracy": mean(own)}
        found.append(row | {"by_seed": own, "behind": over_seeds(gains)})
    return sorted(found, key=lambda row: -row["accuracy"])


def predict(run: Path, images: Bytes) -> Classes:
    """Return the classes that a finished run's network gives to the pixels."""
    model = open_torch_model(run)
    batches = images.split(_AT_ONCE)
    greys = (model.palette.read_grey(batch.numpy()) for batch in batches)
    return np.concatenate([model.logits(grey).argmax(1).astype(np.uint8) for grey in greys])


def distance_to_edges(grey: Float32[ndarray, "N H W"]) -> Float64[ndarray, "N H W"]:
    """Return each pixel's distance to the nearest edge of its picture, in pixels; inf if it has none."""
    steepness = np.hypot(*np.gradient(grey, axis=(1, 2)))
    is_edge = steepness >= np.quantile(steepness, 1 - EDGES_FRAC)
    far = np.full(grey.shape[1:], np.inf)
    return np.stack([ndimage.distance_transform_edt(~edges) if edges.any() else far for edges in is_edge])


def by_edges(
    grey: Float32[ndarray, "N H W"], labels: Classes, predicted: Mapping[str, Sequence[Classes]]
) -> list[dict[str, Any]]:
    """Return what `compare` says of networks' right pixels, in per cent, by distance to the nearest edge."""
    distances, start, rows = distance_to_edges(grey), -1.0, []
    for place, end in _PLACES.items():
        where = (distances > start) & (distances <= end)
        start = end
        if where.any():
            true = labels[where]
            right = {
                name: [100 * float((classes[where] == true).mean()) for classes in seeds]
                for name, seeds in predicted.items()
            }
            rows.append({"place": place, "share": 100 * float(where.mean())} | compare(right))
    return rows


def appearance(classes: Classes, palette: Palette) -> dict[str, float]:
    """Return the detail and the colourfulness of pictures whose pixels have these classes.

    `borders` is the share of neighbouring pixels that differ, in per cent; `chroma` the mean distance from
    grey in Lab.
    """
    down, right = classes[:, 1:] != classes[:, :-1], classes[..., 1:] != classes[..., :-1]
    shares = np.bincount(classes.ravel(), minlength=palette.num_classes) / classes.size
    lab = srgb_to_lab(palette.colours.T[:, :, None])[..., 0]  # (3, K)
    return {
        "borders": 100 * float((down.sum() + right.sum()) / (down.size + right.size)),
        "chroma": float(shares @ np.hypot(lab[1], lab[2])),
    }


def by_colour(confusion: Confusion, palette: Palette) -> list[dict[str, Any]]:
    """Return the shares of pixels and predictions and the recall of each colour, commonest first; per cent.

    `taken_for` is the colour that it is most often mistaken for; colours are sRGB codes.
    """
    counts = confusion.counts
    true, given, total = counts.sum(1), counts.sum(0), counts.sum()
    wrong = counts - np.diag(counts.diagonal())
    codes = (255 * palette.colours).round().astype(int).tolist()
    return [
        {
            "colour": codes[index],
            "share": float(100 * true[index] / total),
            "given": float(100 * given[index] / total),
            "found": float(100 * counts[index, index] / max(true[index], 1)),
            "taken_for": codes[int(wrong[index].argmax())],
        }
        for index in np.argsort(-true, kind="stable").tolist()
    ]
