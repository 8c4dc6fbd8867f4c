"""Outcomes of runs: of one configuration with several seeds, and of variants beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import stdtrit

from pixelwise.network.runs import Row, read_checkpoint, read_metrics

_LAST_EPOCHS = 3  # whose scores are averaged for variants, since single ones jump by a point


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
    names = ("train_loss", "val_loss", "val_accuracy")
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


def compare_variants(rows: dict[str, list[list[Row]]], reference: str) -> list[dict[str, Any]]:
    """Return the scores of variants after equally many epochs, averaged over the last of them, best first.

    `rows` has the rows of each seed by the variant's name; `behind` is by how many points a variant is less
    accurate than the reference, over the seeds that both have.
    """
    epochs = min(len(one) for own in rows.values() for one in own)
    averaged = min(_LAST_EPOCHS, epochs)
    found: list[dict[str, Any]] = []
    for name in (reference, *(one for one in rows if one != reference)):
        by_seed = [
            float(np.mean([row["val_accuracy"] for row in one[epochs - averaged : epochs]]))
            for one in rows[name]
        ]
        accuracy = by_seed if name == reference else found[0]["by_seed"]
        gains = [one - other for one, other in zip(accuracy, by_seed, strict=False)]
        found.append(
            {
                "name": name,
                "epochs": epochs,
                "averaged": averaged,
                "accuracy": float(np.mean(by_seed)),
                "by_seed": by_seed,
                "behind": over_seeds(gains),
            }
        )
    return sorted(found, key=lambda one: -one["accuracy"])
