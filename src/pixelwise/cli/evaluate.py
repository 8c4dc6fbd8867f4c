"""The verb that scores: evaluate."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from pixelwise.cli.common import Common, DataDir, Outcome
from pixelwise.errors import ConfigError

if TYPE_CHECKING:  # its module imports torch
    from pixelwise.evaluate.heads import HeadEvaluation
    from pixelwise.scores import Interval


def evaluate(
    model: str,
    source: str,
    /,
    *,
    part: Literal["test", "val"] | None = None,
    baselines: bool = True,
    without_duplicates: Annotated[bool, Parameter(negative="")] = False,
    page: Path | None = None,
    weights: Path | None = None,
    data_dir: DataDir = None,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Outcome:
    """Score a model or a head on pictures it never learned from, beside baselines that need no network.

    A colour model is scored on the validation part of its source. A head is scored on labelled photos:
    overlap of classes, outlines, and whether it is as often right as it is sure.

    Parameters
    ----------
    model
        A run's folder, a model file or a shipped model's name; or a head file or a shipped head's name.
    source
        For a model pictures: cifar10:CLASS, cifar10:all, synthetic:shapes or folder:PATH. For a head photos
        and masks: flowers17, flowers17:classes or folder:PATH.
    part
        Of a head's source: test if there is one, or else val, if not given.
    baselines
        Score majority, colour and GrabCut, too, beside a head; without, it takes a third of the time.
    without_duplicates
        Leave out what a head is scored on and may have learned from: photos that the training part has, too.
    page
        Write a head's scores with its best and worst photos as one HTML page: this file, or evaluation.html
        in this folder.
    weights
        The weights of a head's backbone, where they are neither installed nor downloaded.
    data_dir
        Where the data sets lie or are downloaded to; if not given, where PIXELWISE_DATA says, or
        else in the user's cache.
    """
    from pixelwise.heads import is_head

    options = {"part": part, "baselines": baselines, "without_duplicates": without_duplicates}
    if is_head(model):
        return _evaluate_head(model, source, options, page, weights, data_dir, common)
    if part or not baselines or without_duplicates or page or weights:
        raise ConfigError(
            f"--part, --no-baselines, --without-duplicates, --page and --weights are for heads, and {model} "
            "is none"
        )
    return _evaluate_model(model, source, data_dir, common)


def _evaluate_model(model: str, source: str, data_dir: Path | None, common: Common) -> Outcome:
    from pixelwise.data import load_pictures
    from pixelwise.evaluate import evaluate as evaluate_model
    from pixelwise.runs import open_model

    opened = open_model(model)
    scores = evaluate_model(opened, load_pictures(source, data_dir, common.seed), common.seed, common.device)
    values = {
        name: {key: asdict(interval) for key, interval in kinds.items()} for name, kinds in scores.items()
    }
    rows = [f"{'':12}{'right pixels, %':>24}{'loss, nats':>28}"]
    for name, kinds in scores.items():
        right, loss = kinds["accuracy"], kinds["loss"]
        rows.append(
            f"{name:12}{right.value:10.2f} ({right.low:.2f} to {right.high:.2f})"
            f"{loss.value:10.4f} ({loss.low:.4f} to {loss.high:.4f})"
        )
    model_scores = values.pop("model")
    return Outcome(values=model_scores | {"baselines": values}, message="\n".join(rows))


def _evaluate_head(
    name: str,
    source: str,
    options: dict[str, Any],
    page: Path | None,
    weights: Path | None,
    data_dir: Path | None,
    common: Common,
) -> Outcome:
    from pixelwise.backbones import open_backbone
    from pixelwise.data import load_labelled
    from pixelwise.evaluate.heads import evaluate_head
    from pixelwise.heads import open_head

    head, labelled = open_head(name), load_labelled(source, data_dir, common.seed)
    backbone = open_backbone(head.backbone, weights)
    found = evaluate_head(head, backbone, labelled, **options, device=common.device, seed=common.seed)
    values, lines = found.to_dict(), list(_told(found))
    if page:
        from pixelwise.report import write_evaluation

        written = write_evaluation(page, found)
        values["page"] = str(written)
        lines.append(f"wrote {written}")
    return Outcome(values=values, message="\n".join(lines))


def _told(found: HeadEvaluation) -> Iterator[str]:
    """The scores beside those of the baselines, and under which conditions they are to be read."""
    scored = {"head": found.scores} | found.baselines
    tables = {name: scores.by_name() for name, scores in scored.items()}
    width = max(len(name) for name in tables["head"])
    yield f"{'':{width}}  {'head':22}" + "".join(f"  {name:>16}" for name in found.baselines)
    for score, one in tables["head"].items():
        others = (_number(tables[name].get(score)) for name in found.baselines)
        told = f"{_number(one)} ({_number(one, 'low')} to {_number(one, 'high')})"
        yield f"{score:{width}}  {told:22}" + "".join(f"  {other:>16}" for other in others)
    yield found.protocol
    yield from found.notes


def _number(score: Interval | None, which: str = "value") -> str:
    """One number of a score; a dash where there is none."""
    value = getattr(score, which, math.nan)
    return "-" if math.isnan(value) else f"{value:.3f}"
