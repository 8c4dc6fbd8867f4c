"""The verb that scores: evaluate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from pixelwise.cli.common import Common, DataDir, Outcome, Weights, say
from pixelwise.errors import ConfigError

if TYPE_CHECKING:  # its module imports torch
    from pixelwise.evaluate.found import ColourEvaluation
    from pixelwise.evaluate.heads import HeadEvaluation
    from pixelwise.scores import Interval


def evaluate(
    model: str,
    source: str,
    /,
    *,
    part: Literal["test", "val", "all"] | None = None,
    baselines: bool = True,
    without_duplicates: Annotated[bool, Parameter(negative="")] = False,
    size: int | None = None,
    temperature: float | None = None,
    saturation: float | None = None,
    page: Path | None = None,
    weights: Weights = None,
    data_dir: DataDir = None,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Outcome:
    """Score a model or a head on pictures it never learned from, beside baselines that need no network.

    A colour model is scored on all photos of a folder, as they would be coloured: difference to the eye,
    error of chroma, colourfulness, accuracy, and whether it is as often right as it is sure, beside grey,
    the mean colour and the shares of classes by lightness; all that moves a figure is printed. On cifar10
    and synthetic it is scored by accuracy on the validation part. A head is scored on labelled photos:
    overlap of classes, outlines, and whether it is as often right as it is sure.

    Parameters
    ----------
    model
        A run's folder, a model file or a shipped model's name; or a head file or a shipped head's name.
    source
        For a model folder:PATH, colour photos of any size, also below it; or cifar10:CLASS, cifar10:all,
        synthetic:shapes. For a head photos and masks: flowers17, flowers17:classes or folder:PATH.
    part
        Of a head's source: test, val, or all of it. If not given: test if there is one; where there is none,
        all if the head has learned from none of it, or else val.
    baselines
        Score majority, colour and GrabCut, too, beside a head; without, it takes a third of the time.
    without_duplicates
        Leave out what a head is scored on and may have learned from: photos that the training part has, too.
    size
        Short side in pixels at which a model's photos are measured, 16 to 2048; 256 if not given. Smaller
        pictures differ less: compare figures of one size only.
    temperature
        What photos are coloured with, as for `colourise`: below 1 bolder, above 1 duller and, often, nearer.
    saturation
        The same: factor on chroma. Cross-entropy and accuracy are of its own logits in any case.
    page
        Write the scores on photos, with best and worst ones, as one HTML page: this file, or evaluation.html
        in this folder.
    data_dir
        Where the data sets lie or are downloaded to; if not given, where PIXELWISE_DATA says, or
        else in the user's cache.
    """
    from pixelwise.heads import is_head

    options = {"part": part, "baselines": baselines, "without_duplicates": without_duplicates}
    chosen = {"temperature": temperature, "saturation": saturation}
    colouring = {name: value for name, value in chosen.items() if value is not None}
    if is_head(model):
        if size is not None or colouring:
            raise ConfigError(f"--size, --temperature and --saturation are for models, and {model} is a head")
        return _evaluate_head(model, source, options, page, weights, data_dir, common)
    if part or not baselines or without_duplicates or weights:
        raise ConfigError(
            f"--part, --no-baselines, --without-duplicates and --weights are for heads, and {model} is none"
        )
    if source.startswith("folder:"):
        return _evaluate_colours(model, source, size, colouring, page, common)
    if size is not None or colouring or page:
        raise ConfigError(f"--size, --temperature, --saturation and --page need folder:PATH, got {source}")
    return _evaluate_model(model, source, data_dir, common)


def _evaluate_colours(
    model: str,
    source: str,
    size: int | None,
    colouring: dict[str, Any],
    page: Path | None,
    common: Common,
) -> Outcome:
    from pixelwise.control.options import ColouriseOptions
    from pixelwise.evaluate.colours import evaluate_colours
    from pixelwise.evaluate.protocol import SIZE, Protocol
    from pixelwise.files import require_writable
    from pixelwise.report import evaluation_path, write_colour_evaluation
    from pixelwise.runs import open_model

    if page:
        require_writable(evaluation_path(page))
    protocol = Protocol(size=SIZE if size is None else size, options=replace(ColouriseOptions(), **colouring))
    found = evaluate_colours(
        open_model(model),
        source,
        protocol,
        device=common.device,
        seed=common.seed,
        tell=lambda message: say(message, always=True),
    )
    for warning in found.warnings:
        say(f"warning: {warning}", quiet=common.quiet)
    values, lines = found.to_dict(), list(_told_of_colours(found))
    if page:
        written = write_colour_evaluation(page, found)
        values["page"] = str(written)
        lines.append(f"wrote {written}")
    return Outcome(values=values, message="\n".join(lines), num_failed=len(found.failed))


def _told_of_colours(found: ColourEvaluation) -> Iterator[str]:
    """The scores beside those of the baselines, how they were measured, and how not to read them."""
    from pixelwise.evaluate.found import MODEL
    from pixelwise.scores.colours import SCORES

    tables = {
        who: {SCORES[name]: one for name, one in scores.items()} for who, scores in found.scores.items()
    }
    yield from _table({found.model.name if who == MODEL else who: one for who, one in tables.items()})
    gain, fitted = found.gain, found.calibrated
    yield f"CIEDE2000 less than grey's by {_with_ends(gain)}, on {len(found.photos)} photos"
    before, after = (_with_ends(one) for one in (fitted.error_before, fitted.error_after))
    yield (
        f"calibration error {before}; {after} at temperature {fitted.temperature:.2f}, fitted on other "
        "photos (to mend probabilities, not to decode by)"
    )
    for name, step in found.protocol.steps.items():
        yield f"{name}: {step}"
    for note in found.notes:
        yield f"note: {note}"


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
    from pixelwise.files import require_writable
    from pixelwise.heads import open_head
    from pixelwise.report import evaluation_path, write_evaluation

    if page:
        require_writable(evaluation_path(page))
    head, labelled = open_head(name), load_labelled(source, data_dir, common.seed)
    backbone = open_backbone(head.backbone, weights)
    found = evaluate_head(head, backbone, labelled, **options, device=common.device, seed=common.seed)
    values, lines = found.to_dict(), list(_told(found))
    if page:
        written = write_evaluation(page, found)
        values["page"] = str(written)
        lines.append(f"wrote {written}")
    return Outcome(values=values, message="\n".join(lines))


def _told(found: HeadEvaluation) -> Iterator[str]:
    """The scores beside those of the baselines, and under which conditions they are to be read."""
    scored = {"head": found.scores} | found.baselines
    yield from _table({name: scores.by_name() for name, scores in scored.items()})
    yield found.protocol
    yield from found.notes


def _table(tables: Mapping[str, Mapping[str, Interval]]) -> Iterator[str]:
    """Scores by name, one a line: the first column with its intervals, the others beside it."""
    (first, ours), *others = tables.items()
    width = max(len(score) for score in ours)
    yield f"{'':{width}}  {first:25}" + "".join(f"  {name:>16}" for name, _ in others)
    for score, one in ours.items():
        beside = (_number(scores.get(score)) for _, scores in others)
        yield f"{score:{width}}  {_with_ends(one):25}" + "".join(f"  {other:>16}" for other in beside)


def _with_ends(score: Interval) -> str:
    return f"{_number(score)} ({_number(score, 'low')} to {_number(score, 'high')})"


def _number(score: Interval | None, which: str = "value") -> str:
    """One number of a score; a dash where there is none."""
    value = getattr(score, which, math.nan)
    return "-" if math.isnan(value) else f"{value:.3f}"
