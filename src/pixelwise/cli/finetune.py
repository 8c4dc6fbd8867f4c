"""The verb that learns heads from masks: finetune."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from pixelwise.cli.common import Common, DataDir, Outcome
from pixelwise.config import FinetuneConfig, Policy

if TYPE_CHECKING:  # its module imports torch
    from pixelwise.finetune import FinetuneResult
    from pixelwise.scores import SegmentationScores


def finetune(
    source: str,
    /,
    *,
    out: Annotated[Path | None, Parameter(name=["--out", "-o"])] = None,
    backbone: str = "efficientnet_lite0",
    weights: Path | None = None,
    shots: int = 0,
    sizes: Annotated[tuple[int, ...], Parameter(consume_multiple=True, negative="")] = (),
    looks: int = 0,
    ridge: float | None = None,
    rebalance: float = 0.0,
    loss: Literal["pixels", "whole"] = "pixels",
    policy: Policy = "last-layer",
    solver: Literal["exact", "adam"] = "exact",
    epochs: int = 0,
    batch_size: int = 8,
    learning_rate: float | None = None,
    advise: Annotated[bool, Parameter(negative="")] = False,
    curve: Annotated[bool, Parameter(negative="")] = False,
    data_dir: DataDir = None,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Outcome:
    """Learn to cut out what a few masks show: the last layer on a frozen network, solved exactly.

    The network's features are computed once, kept in the user's cache, and used by every later run, with
    other labels too. The head file is a few kilobytes; `pixelwise segment --head` uses it. The policies stage
    and full go on from there, and let a part of the network learn along, or all of it: that takes many times
    as long, and the head file holds what changed, megabytes of it.

    Parameters
    ----------
    source
        Photos and masks: flowers17, flowers17:classes, or folder:PATH with images/ and masks/.
    out
        The head's file; out/SOURCE.head.safetensors if not given.
    backbone
        The frozen network: efficientnet_lite0 (inside the package), deeplabv3_resnet101, deeplabv3_resnet50,
        deeplabv3_mobilenet_v3_large, lraspp_mobilenet_v3_large, or timm:NAME.
    weights
        File of the backbone's weights, where there is no network to download them from.
    shots
        Photos to learn from, drawn by --seed; all of the training part if not given.
    sizes
        Short sides in pixels at which photos are read; the backbone's own if not given.
    looks
        Looks at each photo, the first at the whole, others closer; more the fewer photos, if not given.
    ridge
        Keeps the head's weights small; chosen by photos left out, if not given.
    rebalance
        Weight rare classes up: 0 not at all, 1 until all classes weigh the same.
    loss
        Of a sample of pixels, or of every labelled pixel at full size.
    policy
        What learns: the last layer alone; with it the last stage of the network; or all of it. The best on
        photos that are not learned from is kept, Ctrl-C or not.
    solver
        Of the last layer: exact, or by adam as the handout does, the network run again in each epoch: to
        compare.
    epochs
        Passes over the photos: 10 with --solver adam, at most 20 with --policy stage or full, if not given.
    batch_size
        Photos in a step, of the same.
    learning_rate
        Of the same: 0.01 with --solver adam, 0.0001 of the network with --policy, if not given.
    advise
        Measure on photos held out what --policy stage would gain, and what it would cost.
    curve
        Learn exact last layers from 2, 5, 10, 20, ... of the photos, too, several draws of each: what they
        score by number, drawn in HEAD.curve.png, and what 10 more photos would bring at most.
    data_dir
        Where the data sets lie or are downloaded to; if not given, where PIXELWISE_DATA says, or
        else in the user's cache.
    """
    config = FinetuneConfig(
        source=source,
        backbone=backbone,
        weights=str(weights) if weights else None,
        sizes=sizes,
        shots=shots,
        looks=looks,
        ridge=ridge,
        rebalance=rebalance,
        loss=loss,
        policy=policy,
        solver=solver,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        advise=advise,
        seed=common.seed,
    )
    from pixelwise.finetune import finetune as learn

    path = out or Path("out") / f"{source.replace(':', '-').replace('/', '-')}.head.safetensors"
    result = learn(config, path, data_dir, common.device)
    outcome = Outcome(values={"head": str(path)} | result.to_dict(), message=_told(result, path))
    return _with_curve(outcome, config, result, path, data_dir, common) if curve else outcome


def _with_curve(
    outcome: Outcome,
    config: FinetuneConfig,
    result: FinetuneResult,
    path: Path,
    data_dir: Path | None,
    common: Common,
) -> Outcome:
    """The same with the learning curve, and a drawing of it beside the head."""
    from pixelwise.figures import ON_LIGHT, draw_learning
    from pixelwise.files import write_bytes
    from pixelwise.finetune.curve import learning_curve

    found = learning_curve(config, result.head.facts.get("ridge"), data_dir, common.device)
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
    if result.advice:
        lines.append(result.advice.describe())
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
