"""Outcomes of runs: scores over seeds, of variants beside each other, and where pixels are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, UInt8
from numpy import ndarray
from scipy import ndimage
from scipy.special import stdtrit

from pixelwise.colour.palette import Palette
from pixelwise.colour.shapes import Bytes
from pixelwise.colour.spaces import srgb_to_lab
from pixelwise.labels.confusion import Confusion
from pixelwise.network.runs import EpochMetrics, MetricName, open_torch_model, read_checkpoint, read_metrics

_LAST_EPOCHS = 3  # whose scores are averaged for variants, since single ones jump by a point
EDGES_FRAC = 0.15
"""Share of all pixels that count as edges: those where brightness changes most."""
_AT_ONCE = 100  # pictures, whose logits are held in memory
_PLACES = {"on an edge": 0.0, "next to it": 1.0, "1 to 2": 2.0, "2 to 4": 4.0, "over 4": np.inf}
"""Ranges of the distance to the nearest edge, each by its greatest distance in pixels."""


def over_seeds(gains: Sequence[float]) -> dict[str, float | None]:
    """Return the mean of each seed's own difference, with Student's 95 % interval; none for one seed."""
    num, mean = len(gains), float(np.mean(gains))
    if num < 2:
        return {"value": mean, "low": None, "high": None}
    half = float(stdtrit(num - 1, 0.975) * np.std(gains, ddof=1) / num**0.5)
    return {"value": mean, "low": mean - half, "high": mean + half}


def gains_over_seeds(values: Sequence[float], others: Sequence[float]) -> dict[str, float | None]:
    """Return `over_seeds` of how much larger the first values are, seed by seed."""
    return over_seeds([one - other for one, other in zip(values, others, strict=True)])


def apart_by_chance(values: Sequence[float]) -> float | None:
    """Return the distance that 19 of 20 pairs of runs stay below if only their seeds differ; None for one."""
    num = len(values)
    return float(stdtrit(num - 1, 0.975) * np.std(values, ddof=1) * 2**0.5) if num > 1 else None


def training(runs: Sequence[Path]) -> dict[str, Any]:
    """Return the configuration of runs that differ in their seed alone, and their scores at the end."""
    checkpoints, last = [read_checkpoint(run) for run in runs], [read_metrics(run)[-1] for run in runs]
    config = checkpoints[0].config
    names: tuple[MetricName, ...] = ("train_loss", "val_loss", "val_accuracy")
    return {
        "source": config.source,
        "epochs": config.train.epochs,
        "batch_size": config.train.batch_size,
        "learning_rate": config.train.learning_rate,
        "precision": sorted({one.precision for one in checkpoints}),
        "seconds": float(np.mean([row["train_seconds"] for row in last])),
        "by_seed": [
            {"seed": one.config.train.seed} | {name: row[name] for name in names}
            for one, row in zip(checkpoints, last, strict=True)
        ],
        "mean": {name: float(np.mean([row[name] for row in last])) for name in names},
        "apart_by_chance": {
            name: apart_by_chance([row[name] for row in last]) for name in ("val_loss", "val_accuracy")
        },
    }


def compare_variants(rows: dict[str, list[list[EpochMetrics]]], reference: str) -> list[dict[str, Any]]:
    """Return the scores of variants after equally many epochs, averaged over the last of them, best first.

    `rows` has the rows of each seed by the variant's name; `behind` is by how many points a variant is less
    accurate than the reference, over the seeds that both have.
    """
    epochs = min(len(one) for own in rows.values() for one in own)
    averaged = min(_LAST_EPOCHS, epochs)
    by_seed = {
        name: [
            float(np.mean([row["val_accuracy"] for row in one[epochs - averaged : epochs]])) for one in own
        ]
        for name, own in rows.items()
    }
    found: list[dict[str, Any]] = []
    for name, own in by_seed.items():
        gains = [one - other for one, other in zip(by_seed[reference], own, strict=False)]
        row = {"name": name, "epochs": epochs, "averaged": averaged, "accuracy": float(np.mean(own))}
        found.append(row | {"by_seed": own, "behind": over_seeds(gains)})
    return sorted(found, key=lambda one: -one["accuracy"])


@dataclass(frozen=True, eq=False)
class Predictions:
    """The classes of all pixels, true and predicted."""

    labels: UInt8[ndarray, "N H W"]
    predicted: UInt8[ndarray, "N H W"]


def predict(run: Path, images: Bytes) -> Predictions:
    """Return the predictions of a finished run's network."""
    model = open_torch_model(run)
    predicted = [
        model.logits(model.palette.read_grey(one.numpy())).argmax(1).astype(np.uint8)
        for one in images.split(_AT_ONCE)
    ]
    return Predictions(model.palette.encode(images.numpy()), np.concatenate(predicted))


def distance_to_edges(grey: Float32[ndarray, "N H W"]) -> Float64[ndarray, "N H W"]:
    """Return each pixel's distance to the nearest edge of its picture, in pixels; inf if it has none."""
    steepness = np.hypot(*np.gradient(grey, axis=(1, 2)))
    edges = steepness >= np.quantile(steepness, 1 - EDGES_FRAC)
    far = np.full(grey.shape[1:], np.inf)
    return np.stack([ndimage.distance_transform_edt(~one) if one.any() else far for one in edges])


def by_edges(
    grey: Float32[ndarray, "N H W"], networks: dict[str, Sequence[Predictions]]
) -> list[dict[str, Any]]:
    """Return the right pixels of networks in per cent by the distance to the nearest edge.

    `networks` has the predictions of each seed. Of two networks there is also the gain of the second.
    """
    distances, start, rows = distance_to_edges(grey), -1.0, []
    for place, end in _PLACES.items():
        where = (distances > start) & (distances <= end)
        start = end
        if not where.any():
            continue
        right = {
            name: [100 * float((one.predicted == one.labels)[where].mean()) for one in each]
            for name, each in networks.items()
        }
        row: dict[str, Any] = {"place": place, "share": 100 * float(where.mean())}
        row |= {name: float(np.mean(each)) for name, each in right.items()}
        if len(right) == 2:
            row["gain"] = gains_over_seeds(*reversed(right.values()))
        rows.append(row)
    return rows


def appearance(classes: UInt8[ndarray, "N H W"], palette: Palette) -> dict[str, float]:
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


def compare_appearance(
    palette: Palette, cnn: Sequence[Predictions], unet: Sequence[Predictions]
) -> dict[str, dict[str, Any]]:
    """Return the `appearance` of both networks' pictures, and the differences over seeds."""
    found = {}
    for name in ("borders", "chroma"):
        ours, theirs = ([appearance(one.predicted, palette)[name] for one in each] for each in (unet, cnn))
        means = {"cnn": float(np.mean(theirs)), "unet": float(np.mean(ours))}
        found[name] = means | {"gain": gains_over_seeds(ours, theirs)}
    return found


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
