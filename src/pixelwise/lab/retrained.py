"""Networks trained anew on ax + b, from the same initial weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scipy.stats import ttest_ind

from pixelwise.config import RunConfig
from pixelwise.lab.answer import Setting
from pixelwise.lab.colouring import SOURCE
from pixelwise.recipes import recipe
from pixelwise.runs import read_metrics

AFFINES = ((2.0, 0.0), (0.01, 0.0), (-1.0, 0.0), (1.0, 1.0), (-1.0, 1.0), (0.1, 1.0))
"""Pairs of a and b: a factor, one at which epsilon is felt, the negative, shifts, and one of b / a = 10."""
QUICK_AFFINES = ((2.0, 0.0), (0.1, 1.0))
_NUM_SEEDS, _QUICK_SEEDS = 3, 2
_QUICK_CHANGES = {"num_filters": 8, "batch_size": 96}  # steps take the time, not pictures


def retrain_config(setting: Setting, net: str, a: float, b: float, seed: int) -> RunConfig:
    """The recipe `fast` on ax + b, on whole pictures in fp32.

    A crop has more of its pixels at the border than a picture has, which b changes; and bf16 has no bits for
    a picture far from 0.
    """
    changes: dict[str, Any] = {"scale": a, "shift": b, "seed": setting.seed + seed}
    changes |= {"precision": "fp32", "crop_frac": 0.0}
    return recipe("fast", net, SOURCE, **changes, **(_QUICK_CHANGES if setting.quick else {}))


def retrain(setting: Setting) -> dict[str, Any]:
    """Scores of `cnn` and `unet` after training on ax + b, and differences to x with their 95 % intervals.

    Each seed draws its initial weights and its batches, the same for every a and b. An interval is Welch's
    for the difference of two means over seeds.

    Raises:
        DataError: the pictures are not to be had.
        Interrupted: Ctrl-C came; what was learned is kept.
    """
    affines = QUICK_AFFINES if setting.quick else AFFINES
    seeds = range(_QUICK_SEEDS if setting.quick else _NUM_SEEDS)
    found: dict[str, Any] = {"recipe": "fast", "num_seeds": len(seeds)}
    for net in ("cnn", "unet"):
        on_x, *others = (
            {"a": a, "b": b} | _scores(setting, net, a, b, seeds) for a, b in ((1.0, 0.0), *affines)
        )
        found[net] = {"on_x": on_x, "rows": [row | _difference(row, on_x) for row in others]}
    return found


def _scores(setting: Setting, net: str, a: float, b: float, seeds: range) -> dict[str, list[float]]:
    """Last validation scores, one for each seed."""
    last = [read_metrics(_trained(setting, net, a, b, seed))[-1] for seed in seeds]
    return {"loss": [row["val_loss"] for row in last], "accuracy": [row["val_accuracy"] for row in last]}


def _trained(setting: Setting, net: str, a: float, b: float, seed: int) -> Path:
    return setting.trained(f"affine-{net}-{a:g}x{b:+g}-seed{seed}", retrain_config(setting, net, a, b, seed))


def _difference(row: dict[str, Any], on_x: dict[str, Any]) -> dict[str, Any]:
    """How much more accurate in points of per cent, between which bounds, and whether 0 is within them."""
    test = ttest_ind(row["accuracy"], on_x["accuracy"], equal_var=False)
    low, high = test.confidence_interval(0.95)
    value = (sum(row["accuracy"]) - sum(on_x["accuracy"])) / len(row["accuracy"])
    bounds = {"value": value, "low": float(low), "high": float(high)}
    return {"difference": bounds, "differs": not low <= 0 <= high}
