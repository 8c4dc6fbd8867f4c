"""The verb that exports models: export."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pixelwise.cli.common import Common, Outcome, Weights
from pixelwise.errors import CheckpointError


def export(
    model: str,
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    weights: Weights = None,
    common: Common = Common(),  # noqa: ARG001, B008 - every verb's options
) -> Outcome:
    """Write a model or a head as ONNX, to run without torch; first it is run beside torch, on real photos.

    Photos go in as sRGB from 0 to 1, of any number, height and width that the file's metadata allows; out
    come Lab's a and b, or logits of classes. Nothing is written where the two differ.

    Parameters
    ----------
    model
        A shipped model's or head's name, a run's folder, a model file or a head file.
    out
        The file, whose name ends in .onnx.
    """
    from pixelwise.network.backbones import open_backbone
    from pixelwise.network.cards import shipped_heads, shipped_models
    from pixelwise.network.runs import open_model
    from pixelwise.segmenting.heads import is_head, open_head
    from pixelwise.training.export import export_head, export_model

    shipped = (*shipped_models(), *shipped_heads())
    if not Path(model).exists() and model not in shipped:
        raise CheckpointError(
            f"needed a run's folder, a model's or head's file, or one of {', '.join(shipped)}; got {model!r}"
        )
    if is_head(model):
        head = open_head(model)
        done = export_head(head, open_backbone(head.backbone, weights), out)
        near = f"{done.equal:.4%} of pixels have torch's class"
    else:
        done = export_model(open_model(model), out)
        near = f"colours differ from torch's by a CIEDE2000 of {done.ciede2000:.4f} on average"
    num_bytes = out.stat().st_size
    return Outcome(
        values={"file": str(out), "bytes": num_bytes} | asdict(done),
        message=f"{out}, {num_bytes / 1e6:.1f} MB: {near}, on real photos",
    )
