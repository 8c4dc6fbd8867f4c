"""Networks trained anew on ax + b, from the same initial weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

from pixelwise.config import RunConfig
from pixelwise.lab.answer import Setting
from pixelwise.lab.colouring import SOURCE
from pixelwise.lab.rewritten import on_batch_statistics
from pixelwise.lab.seeds import over_seeds, sure_of_all
from pixelwise.models import HandoutNetwork
from pixelwise.recipes import recipe
from pixelwise.runs import open_model, read_metrics

AFFINES = ((2.0, 0.0), (0.01, 0.0), (-1.0, 0.0), (1.0, 1.0), (-1.0, 1.0), (0.1, 1.0))
"""Pairs of a and b: a factor, one at which epsilon is felt, the negative, shifts, and one of b / a = 10."""
QUICK_AFFINES = ((2.0, 0.0), (0.1, 1.0))
_NUM_SEEDS, _QUICK_SEEDS = 3, 2
_STATISTICS = ("stored", "batch")
_QUICK_CHANGES = {"num_filters": 8, "batch_size": 96}  # steps take the time, not pictures


def changes(setting: Setting) -> dict[str, Any]:
    """What is not as in the recipe `fast`: whole pictures in fp32, and less of all where it is to be quick.

    A crop has more of its pixels at the border than a picture has, which b changes; and bf16 has no bits for
    a picture far from 0.
    """
    return {"precision": "fp32", "crop_frac": 0.0} | (_QUICK_CHANGES if setting.quick else {})


def retrain_config(setting: Setting, net: str, a: float, b: float, seed: int) -> RunConfig:
    """The recipe `fast` on ax + b, with those `changes`."""
    chosen: dict[str, Any] = {"scale": a, "shift": b, "seed": setting.seed_of(seed)} | changes(setting)
    return recipe("fast", net, SOURCE, **chosen)


def retrain(setting: Setting, score: Callable[[HandoutNetwork], float]) -> dict[str, Any]:
    """Accuracy of `cnn` and `unet` after training on ax + b, and differences to x with their 95 % intervals.

    `score` is asked of every network as it is, and of it on the statistics of the batch: that tells what the
    weights are worth from stored statistics that follow them too late. Each seed draws its initial weights
    and its batches, the same for every a and b; so differences are taken seed by seed. `differs` says which
    of all these, of both networks, are more than chance (`sure_of_all`).

    Raises:
        DataError: the pictures are not to be had.
        Interrupted: Ctrl-C came; what was learned is kept.
    """
    affines = QUICK_AFFINES if setting.quick else AFFINES
    seeds = range(_QUICK_SEEDS if setting.quick else _NUM_SEEDS)
    found: dict[str, Any] = {"recipe": "fast", "changes": changes(setting), "num_seeds": len(seeds)}
    for net in ("cnn", "unet"):
        on_x, *others = (
            {"a": a, "b": b, "reads": written(a, b)} | _scores(setting, net, a, b, seeds, score)
            for a, b in ((1.0, 0.0), *affines)
        )
        for row, statistics in product(others, _STATISTICS):
            row[statistics] |= _difference(row[statistics]["accuracy"], on_x[statistics]["accuracy"])
        found[net] = {"on_x": on_x, "rows": others}
    for statistics in _STATISTICS:
        every = [row[statistics] for net in ("cnn", "unet") for row in found[net]["rows"]]
        for one, differs in zip(every, sure_of_all([one["difference"] for one in every]), strict=True):
            one["differs"] = differs
    return found


def _scores(
    setting: Setting, net: str, a: float, b: float, seeds: range, score: Callable[[HandoutNetwork], float]
) -> dict[str, Any]:
    """What was reached, one number for each seed."""
    names = [f"affine-{net}-{a:g}x{b:+g}-seed{seed}" for seed in seeds]
    runs = [
        setting.trained(name, retrain_config(setting, net, a, b, seed))
        for name, seed in zip(names, seeds, strict=True)
    ]
    nets = [_opened(run) for run in runs]
    return {
        "validation_loss": [read_metrics(run)[-1]["val_loss"] for run in runs],
        "stored": {"accuracy": [score(net) for net in nets]},
        "batch": {"accuracy": [score(on_batch_statistics(net)) for net in nets]},
    }


def _opened(run: Path) -> HandoutNetwork:
    net = open_model(run).net
    assert isinstance(net, HandoutNetwork)
    return net


def _difference(accuracy: Sequence[float], on_x: Sequence[float]) -> dict[str, Any]:
    """How many points of per cent more than on x, seed by seed."""
    gains = [one - other for one, other in zip(accuracy, on_x, strict=True)]
    return {"mean": fmean(accuracy), "difference": over_seeds(gains)}


def written(a: float, b: float) -> str:
    """What is read, as it is written by hand: 0.1x + 1."""
    factor = {1.0: "", -1.0: "-"}.get(a, f"{a:g}")
    return f"{factor}x" + (f" {'+' if b > 0 else '-'} {abs(b):g}" if b else "")
