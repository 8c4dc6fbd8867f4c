"""The verb that learns heads from masks, and colourisers from colour photos: finetune."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pixelwise.cli.common import Common, Outcome, say
from pixelwise.cli.options import FinetuneOptions
from pixelwise.errors import ConfigError

if TYPE_CHECKING:  # its module imports torch
    from pixelwise.cost import Plan
    from pixelwise.finetune import FinetuneResult
    from pixelwise.finetune.curve import Ladder
    from pixelwise.scores import SegmentationScores


def finetune(
    source: str,
    /,
    *,
    plan: Annotated[bool, Parameter(negative="")] = False,
    options: FinetuneOptions = FinetuneOptions(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> Outcome:
    """Learn to cut out what a few masks show, or to colour as a few photos are: the last layer, solved.

    The network's features are computed once, kept in the user's cache, and used by every later run, with
    other labels too. The head file is a few kilobytes; `pixelwise segment --head` uses it. The policies stage
    and full go on from there, and let a part of the network learn along, or all of it: that takes many times
    as long, and the head file holds what changed, megabytes of it.

    With --task colour it learns from the colour photos of a folder, and writes a model that `pixelwise
    colourise --model` and `pixelwise evaluate` use, and its card beside it. Grey, sepia and equal photos
    are left out and named; a fifth of the others is held out for scores.

    Parameters
    ----------
    source
        Photos and masks: flowers17, flowers17:classes, or folder:PATH. With --task colour: folder:PATH.
    plan
        Say first what learning will cost in time and memory, and afterwards, beside it, what it came to.
    """
    if options.task == "colour":
        return _colours(source, options, common, plan=plan)
    config = options.config(source, common.seed)
    from pixelwise.finetune import finetune as learn
    from pixelwise.finetune.curve import ladder

    climbed = (
        ladder(config, options.data_dir) if options.curve else None
    )  # refused before anything is learned

    path = options.out or _named_after(source, ".head.safetensors")
    announce = partial(_announce, common) if plan else None
    result = learn(config, path, options.data_dir, common.device, announce=announce)
    outcome = Outcome(values={"head": str(path)} | result.to_dict(), message=_told(result, path))
    return _with_curve(outcome, climbed, path, common) if climbed else outcome


def _named_after(source: str, suffix: str) -> Path:
    return Path("out") / f"{source.replace(':', '-').replace('/', '-')}{suffix}"


def _colours(source: str, options: FinetuneOptions, common: Common, *, plan: bool) -> Outcome:
    """Learn to colour."""
    config = options.colour_config(source, common.seed)
    if plan:
        raise ConfigError("--plan is an option of --task mask; leave it out: colours take a minute")
    from pixelwise.finetune.colours import card_of, finetune_colours

    path = options.out or _named_after(source, ".safetensors")
    result = finetune_colours(config, path, common.device)
    solved = result.solved
    lines = [
        f"{result.num_learned} numbers learned from {len(result.album.shots)} photos, {result.num_looks} "
        f"looks at them; {result.palette.num_classes} colours",
        f"features {result.extract_s:.1f} s, learning {result.solve_s:.1f} s ({solved.num_steps} steps to a "
        f"gradient of {solved.gradient_norm:.1e}, ridge {solved.ridge:g})",
    ]
    if scores := result.scores_told():
        lines.append(f"on {len(result.album.held_out)} other photos, which were held out:")
        lines += [f"  {line}" for line in scores]
    certificate = result.certificate
    lines.append(
        f"the backbone's {certificate.num_tensors} tensors are as they were ({certificate.after[:12]}); "
        f"wrote {path}, and its card {card_of(path)}"
    )
    values = {"model": str(path), "card": str(card_of(path))} | result.to_dict()
    return Outcome(values=values, message="\n".join(lines))


def _announce(common: Common, planned: Plan) -> None:
    """Tell the plan before what it is of begins."""
    say(f"what this will cost:\n{planned.describe()}", quiet=common.quiet)


def _with_curve(outcome: Outcome, ladder: Ladder, path: Path, common: Common) -> Outcome:
    """The same with the learning curve, and a drawing of it beside the head."""
    from pixelwise.figures import ON_LIGHT, draw_learning
    from pixelwise.files import write_bytes
    from pixelwise.finetune.curve import learning_curve

    found = learning_curve(ladder, common.device)
    drawn = path.with_name(f"{path.name.removesuffix('.safetensors')}.curve.png")
    scores = [row.miou for row in found.rows]
    write_bytes(drawn, draw_learning([row.shots for row in found.rows], scores, ON_LIGHT).png())
    lines = ["mean intersection over union by the number of photos learned from:"]
    lines += [
        f"  {row.shots:>5}  {row.miou.value:.3f} ({row.miou.low:.3f} to {row.miou.high:.3f}), "
        f"draws: {row.draws}"
        for row in found.rows
    ]
    values = outcome.values | found.to_dict() | {"curve_picture": str(drawn)}
    return Outcome(
        values=values, message="\n".join([outcome.message, *lines, found.sentence, f"wrote {drawn}"])
    )


def _told(result: FinetuneResult, path: Path) -> str:
    """What was learned, for people to read."""
    taught, facts = result.taught, result.head.facts
    lines = [
        f"{taught.num_learned} numbers learned from {facts['num_images']} photos, "
        f"{taught.num_looks} looks at them",
        f"features {taught.extract_s:.1f} s, learning {taught.solve_s:.1f} s ({taught.how})",
    ]
    if result.after:
        lines += _scores_told(result, result.after)
    if "scored_num_images" in facts:
        lines[0] = lines[0].replace(f"{facts['num_images']} photos", f"{facts['scored_num_images']} photos")
        lines.append(
            f"then learned anew from {facts['num_images']} photos, those it was scored on among them"
        )
    elif result.after and result.scored_on == "val":
        lines.append("--then-all learns from the photos that it was scored on, too")
    if result.advice:
        lines.append(result.advice.describe())
    if result.plan and result.measured:
        lines.append(result.plan.beside(result.measured))
    certificate, others = taught.certificate, "other " if taught.changed else ""
    lines.append(
        f"the backbone's {certificate.num_tensors} {others}tensors are as they were "
        f"({certificate.after[:12]}); wrote {path}, {result.head.num_bytes / 1e3:,.0f} kB of numbers"
    )
    return "\n".join(lines)


def _scores_told(result: FinetuneResult, scores: SegmentationScores) -> list[str]:
    lines = [
        f"intersection over union on {scores.num_images} other photos ({result.scored_on}), "
        f"before{', of the last layer alone' if result.last_layer else ''} and after learning:",
    ]
    width = max(len(name) for name in scores.iou)
    for name, after in scores.iou.items():
        earlier = [one.iou[name].value for one in (result.before, result.last_layer) if one]
        values = "  ".join(f"{value:.3f}" for value in (*earlier, after.value))
        lines.append(f"  {name:{width}}  {values} ({after.low:.3f} to {after.high:.3f})")
    return lines
