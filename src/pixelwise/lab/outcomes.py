"""What runs came to: of one configuration with several seeds, and of variants of it beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pixelwise.lab.seeds import apart_by_chance, over_seeds
from pixelwise.runs import Row, read_checkpoint, read_metrics

_LAST_EPOCHS = 3  # whose scores are averaged for variants: at a constant rate single ones jump by a point


def rows_of(runs: Sequence[Path]) -> list[list[Row]]:
    """The scores of every epoch of each run."""
    return [read_metrics(run) for run in runs]


def training(runs: Sequence[Path]) -> dict[str, Any]:
    """How runs that differ in their seed alone were trained, and what they came to at the end."""
    checkpoints, last = [read_checkpoint(run) for run in runs], [rows[-1] for rows in rows_of(runs)]
    train = checkpoints[0].config.train
    return {
        "source": checkpoints[0].config.source,
        "epochs": train.epochs,
        "batch_size": train.batch_size,
        "learning_rate": train.learning_rate,
        "precision": sorted({one.precision for one in checkpoints}),
        "seconds": float(np.mean([row["train_seconds"] for row in last])),
        "by_seed": [
            {"seed": one.config.train.seed}
            | {key: row[key] for key in ("train_loss", "val_loss", "val_accuracy")}
            for one, row in zip(checkpoints, last, strict=True)
        ],
        "mean": {
            key: float(np.mean([row[key] for row in last]))
            for key in ("train_loss", "val_loss", "val_accuracy")
        },
        "apart_by_chance": {
            key: apart_by_chance([row[key] for row in last]) for key in ("val_loss", "val_accuracy")
        },
    }


def variants(rows: dict[str, list[list[Row]]]) -> list[dict[str, Any]]:
    """Scores of each variant after equally many epochs, averaged over the last of them, best first.

    `behind` is how much less accurate it is than a whole network, over the seeds that both have.
    """
    epochs = min(len(one) for own in rows.values() for one in own)
    averaged = min(_LAST_EPOCHS, epochs)
    scores = {
        key: {
            name: [float(np.mean([row[key] for row in one[epochs - averaged : epochs]])) for one in own]
            for name, own in rows.items()
        }
        for key in ("val_accuracy", "val_loss")
    }
    right = scores["val_accuracy"]
    found = [
        {
            "name": name,
            "epochs": epochs,
            "averaged": averaged,
            "accuracy": float(np.mean(by_seed)),
            "loss": float(np.mean(scores["val_loss"][name])),
            "by_seed": by_seed,
            "behind": {
                key: over_seeds([one - other for one, other in zip(right[whole], by_seed, strict=False)])
                for key, whole in (("cnn", "CNN"), ("unet", "U-Net"))
            },
        }
        for name, by_seed in right.items()
    ]
    return sorted(found, key=lambda one: -one["accuracy"])
