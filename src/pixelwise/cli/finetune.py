"""The verb that learns heads from masks, and colourisers from colour photos: finetune."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from pixelwise.cli.common import OUT, Common, DataDir, Outcome, as_file_name, format_interval, format_number
from pixelwise.errors import ConfigError
from pixelwise.network.config import ColourFinetuneConfig, FinetuneConfig, FinetuneOptions

if TYPE_CHECKING:  # verbs import them when they are called
    from pixelwise.training.finetune import FinetuneResult, HeadScores
    from pixelwise.training.learning_curve import LearningCurve

_OF_COLOURS = ("backbone", "shots", "looks", "ridge", "sizes")  # options that --task colour takes as well


def finetune(
    source: str,
    /,
    *,
    task: Literal["mask", "colour"] = "mask",
    colours: int = 0,
    out: Annotated[Path | None, OUT] = None,
    curve: bool = False,
    data_dir: DataDir = None,
    options: Annotated[FinetuneOptions, Parameter(name="*")] = FinetuneOptions(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> Outcome:
    """Learn to cut out what a few masks show, or to colour as a few photos are: the last layer, solved.

    The network's features are computed once and kept in the user's cache for later runs. The head file is a
    few kilobytes; `pixelwise segment --head` uses it. The policies stage and full go on from there, and let a
    part of the network learn along, or all of it: that takes many times as long, and the file is megabytes.

    With --task colour it learns from the colour photos of a folder, and writes a model for `pixelwise
    colourise --model`, and its card beside it. Grey, sepia and equal photos are left out and named; a fifth
    of the others is held out for scores.

    Parameters
    ----------
    source
        Photos and masks: flowers17, flowers17:classes, or folder:PATH. With --task colour: folder:PATH.
    task
        mask: a head, from photos and their masks. colour: a colouriser, from the colour photos of
        folder:PATH, by --colours, --shots, --looks, --sizes (one), --ridge and --backbone.
    colours
        Of --task colour: classes of colour; 0: 32, or fewer of few photos.
    out
        The head's file; out/SOURCE.head.safetensors if not given; of a model out/SOURCE.safetensors.
    curve
        Learn exact last layers from 2, 5, 10, 20, ... of the photos, too, several draws of each: their scores
        by number, drawn in HEAD.curve.png, and what 10 more photos would add at most.
    """
    name = as_file_name(source)
    if task == "colour":
        if curve or data_dir:
            raise ConfigError("--curve and --data-dir are options of --task mask; leave them out")
        return _learn_colours(source, colours, out or Path("out") / f"{name}.safetensors", options, common)
    if colours:
        raise ConfigError(f"--colours is an option of --task colour, got {colours}; leave it out")
    config = FinetuneConfig(source=source, seed=common.seed, **asdict(options))
    return _learn_head(config, out or Path("out") / f"{name}.head.safetensors", curve, data_dir, common)


def _learn_head(
    config: FinetuneConfig, path: Path, curve: bool, data_dir: Path | None, common: Common
) -> Outcome:
    from pixelwise.files import require_learnable
    from pixelwise.labels.sources import load_labelled
    from pixelwise.training.finetune import finetune as learn
    from pixelwise.training.learning_curve import draw_for_curve, learning_curve

    require_learnable(path)  # before a download
    if curve:
        import matplotlib  # noqa: F401 - refused before anything is learned
    labelled = load_labelled(config.source, data_dir, config.seed)
    draws = draw_for_curve(config, labelled) if curve else []  # refused before anything is learned
    result = learn(config, path, device=common.device, labelled=labelled)
    values, lines = {"head": str(path)} | result.to_dict(), _describe(result, path)
    if draws:
        more_values, more_lines = _report_curve(learning_curve(config, labelled, draws, common.device), path)
        values, lines = values | more_values, lines + more_lines
    return Outcome(values=values, message="\n".join(lines))


def _learn_colours(
    source: str, colours: int, path: Path, options: FinetuneOptions, common: Common
) -> Outcome:
    given = asdict(options)
    for option in fields(options):
        if option.name not in _OF_COLOURS and given.pop(option.name) != option.default:
            raise ConfigError(f"--{option.name.replace('_', '-')} is an option of --task mask; leave it out")
    sizes = given.pop("sizes")
    if len(sizes) > 1:
        raise ConfigError(f"--task colour reads photos at one size, got --sizes {sizes}; give one")
    given |= {"size": sizes[0]} if sizes else {}
    config = ColourFinetuneConfig(source=source, num_colours=colours, seed=common.seed, **given)
    from pixelwise.training.personal import card_of, finetune_colours

    result = finetune_colours(config, path, common.device)
    solved, card = result.solved, card_of(path)
    lines = [
        f"{solved.weights.num_learned} numbers learned from {len(result.dataset.train)} photos, "
        f"{result.facts.num_looks} views of them; {result.model.palette.num_classes} colours",
        f"features {result.extract_s:.1f} s, learning {result.solve_s:.1f} s ({solved.num_steps} steps to a "
        f"gradient of {solved.gradient_norm:.1e}, ridge {solved.ridge:g})",
    ]
    if scores := result.score_lines():
        lines.append(f"on {len(result.dataset.held_out)} other photos, which were held out:")
        lines += [f"  {line}" for line in scores]
    lines.append(f"the backbone is as it was; wrote {path}, and its card {card}")
    values = {"model": str(path), "card": str(card)} | result.to_dict()
    return Outcome(values=values, message="\n".join(lines))


def _report_curve(found: LearningCurve, path: Path) -> tuple[dict[str, object], list[str]]:
    from pixelwise.files import write_bytes
    from pixelwise.report.figures import draw_learning
    from pixelwise.training.learning_curve import MORE

    drawn = path.with_name(f"{path.name.removesuffix('.safetensors')}.curve.png")
    scores = [row.miou for row in found.rows]
    write_bytes(drawn, draw_learning([row.shots for row in found.rows], scores).png())
    lines = [
        "mean intersection over union by the number of photos learned from:",
        *(f"  {row.shots:>5}  {format_interval(row.miou)}, draws: {row.draws}" for row in found.rows),
    ]
    if gain := found.gain:
        lines.append(
            f"{MORE} more photos would add at most about {gain.value:+.3f} "
            f"({gain.low:+.3f} to {gain.high:+.3f}): so much if the curve flattened no further"
        )
    else:
        lines.append(f"no forecast of {MORE} more photos: too few photos, or too little growth")
    return found.to_dict() | {"curve_picture": str(drawn)}, [*lines, f"wrote {drawn}"]


def _describe(result: FinetuneResult, path: Path) -> list[str]:
    learned, scored, facts, scores = result.learned, result.scored, result.head.facts, result.scores
    num = facts.scored_num_images or facts.num_images
    lines = [
        f"{scored.num_learned} numbers learned from {num} photos, {scored.facts.num_looks} views of them",
        f"features {scored.extract_s:.1f} s, learning {scored.solve_s:.1f} s ({scored.how})",
    ]
    if scores:
        lines += _describe_scores(scores, result.scored_on)
    if learned is not scored:
        lines += [
            f"then learned anew from {facts.num_images} photos, {learned.facts.num_looks} views of them, "
            "including those it was scored on:",
            f"  {learned.how}",
        ]
    elif scores and result.scored_on == "val":
        lines.append("add --then-all to learn from the photos that it was scored on, too")
    certificate, others = learned.certificate, "other " if learned.tuned else ""
    lines.append(
        f"the backbone's {certificate.num_tensors} {others}tensors are as they were "
        f"({certificate.after[:12]}); wrote {path}, {result.head.num_bytes / 1e3:,.0f} kB of numbers"
    )
    return lines


def _describe_scores(scores: HeadScores, scored_on: str) -> list[str]:
    alone = ", of the last layer alone" if scores.last_layer else ""
    lines = [
        f"intersection over union on {scores.after.num_images} other photos ({scored_on}), "
        f"before{alone} and after learning:"
    ]
    width = max(len(name) for name in scores.after.iou)
    for name, after in scores.after.iou.items():
        earlier = [part.iou[name].value for part in (scores.before, scores.last_layer) if part]
        values = "  ".join([*map(format_number, earlier), format_interval(after)])
        lines.append(f"  {name:{width}}  {values}")
    return lines
