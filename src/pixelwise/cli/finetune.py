"""The verb that learns heads from masks: finetune."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from pixelwise.cli.common import Common, DataDir, Outcome
from pixelwise.config import FinetuneConfig

if TYPE_CHECKING:  # its module imports torch
    from pixelwise.finetune import FinetuneResult


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
    data_dir: DataDir = None,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Outcome:
    """Learn to cut out what a few masks show: the last layer on a frozen network, solved exactly.

    The network's features are computed once, kept in the user's cache, and used by every later run, with
    other labels too. The head file is a few kilobytes; `pixelwise segment --head` uses it.

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
        seed=common.seed,
    )
    from pixelwise.finetune import finetune as learn

    path = out or Path("out") / f"{source.replace(':', '-').replace('/', '-')}.head.safetensors"
    result = learn(config, path, data_dir, common.device)
    return Outcome(values={"head": str(path)} | result.to_dict(), message=_told(result, path))


def _told(result: FinetuneResult, path: Path) -> str:
    """What was learned, for people to read."""
    solved = result.learned.solved
    lines = [
        f"{result.head.weights.num_learned} numbers learned from {result.num_images} photos, "
        f"{result.num_looks} looks at them",
        f"features {result.extract_seconds:.1f} s, solving {result.solve_seconds:.1f} s "
        f"({solved.num_steps} steps to a gradient of {solved.gradient_norm:.1e}, ridge {solved.ridge:g})",
        f"intersection over union on {result.after.num_images} other photos ({result.scored_on}), "
        "before and after learning:",
    ]
    width = max(len(name) for name in result.after.iou)
    for name, after in result.after.iou.items():
        before = result.before.iou[name].value
        lines.append(
            f"  {name:{width}}  {before:.3f}  {after.value:.3f} ({after.low:.3f} to {after.high:.3f})"
        )
    lines.append(
        f"the backbone's {result.certificate.num_tensors} tensors are as they were "
        f"({result.certificate.after[:12]}); wrote {path}"
    )
    return "\n".join(lines)
