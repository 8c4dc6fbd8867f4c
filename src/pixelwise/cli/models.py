"""The verbs on models, what is shipped above all: models, export, demo."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from pixelwise.cli.common import OUT, Common, Outcome, Weights
from pixelwise.errors import CheckpointError


def models(*, common: Common = Common()) -> Outcome:  # noqa: ARG001, B008 - every verb's options
    """List what is shipped, models that colour and heads that segment: source, licence, score, checksum."""
    from pixelwise.network import cards

    found, lines = [], []
    for name in (*cards.shipped_models(), *cards.shipped_heads()):
        cards.check_weights(name)
        colours, size = name in cards.shipped_models(), cards.weights_path(name).stat().st_size
        facts = {"size_bytes": size} | asdict(cards.read_card(name)) | {"card": str(cards.card_path(name))}
        found.append({"name": name, "colours": colours} | facts)
        lines.append(f"{name} ({'model' if colours else 'head'})")
        lines += [f"  {key:<11}{value}" for key, value in facts.items()]
        lines.append("")
    return Outcome(values={"models": found}, message="\n".join(lines[:-1]))


def export(
    model: str,
    /,
    *,
    out: Annotated[Path, OUT],
    weights: Weights = None,
    common: Common = Common(),  # noqa: ARG001, B008 - every verb's options
) -> Outcome:
    """Write a model or a head as one ONNX file for other programs, and compare it on real photos.

    A model reads grey, a head photos in sRGB from 0 to 1, of any number, height and width that the file's
    metadata allow; out come logits of classes. Nothing is written where they are not ours.

    Parameters
    ----------
    model
        A shipped model's or head's name, a run's folder, a model file or a head file.
    out
        The file, whose name ends in .onnx.
    """
    from pixelwise.network.backbone import open_backbone
    from pixelwise.network.cards import shipped_heads, shipped_models
    from pixelwise.segmenting.heads import is_head, open_head
    from pixelwise.training.export import export_head, export_model, open_any_model

    shipped = (*shipped_models(), *shipped_heads())
    if not Path(model).exists() and model not in shipped:
        raise CheckpointError(
            f"needed a run's folder, a model's or head's file, or one of {', '.join(shipped)}; got {model!r}"
        )
    if is_head(model):
        head = open_head(model)
        done = export_head(head, open_backbone(head.backbone, weights), out)
        near = f"{done.equal:.4%} of pixels have our class"
    else:
        done = export_model(open_any_model(model), out)
        near = f"logits differ from ours by at most {done.max_difference:.1e}"
    num_bytes = out.stat().st_size
    return Outcome(
        values={"file": str(out), "bytes": num_bytes} | asdict(done),
        message=f"{out}, {num_bytes / 1e6:.1f} MB: {near}, on real photos",
    )


def demo(
    *,
    out: Annotated[Path, OUT] = Path("out/demo"),
    model: str | None = None,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Outcome:
    """Do the main jobs on what is embedded, and show them on one page; works offline.

    Parameters
    ----------
    out
        The folder for the page and the coloured photographs; an earlier demonstration there is replaced.
    model
        A shipped model, a run folder or a model file; the model that `colourise` takes if not given.
    """
    from pixelwise.api.demo import write_demo
    from pixelwise.network.model import DEFAULT_MODEL, open_model

    made = write_demo(out, open_model(model or DEFAULT_MODEL, common.device), common.seed)
    photos = [str(path) for path in made.photos]
    lines = [
        f"made in {made.seconds:.0f} s:",
        f"{made.page}  the page: open it in a browser",
        *(f"{photo}  coloured" for photo in photos),
    ]
    values = {"page": str(made.page), "photos": photos, "seconds": made.seconds}
    return Outcome(values=values, message="\n".join(lines))
