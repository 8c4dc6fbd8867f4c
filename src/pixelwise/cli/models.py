"""The verbs that show what is shipped: models, demo."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pixelwise.cli.common import Common, Outcome


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


def demo(
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])] = Path("out/demo"),
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
    from pixelwise.network.runs import DEFAULT_MODEL, open_model

    made = write_demo(out, open_model(model or DEFAULT_MODEL), common.seed)
    photos = [str(path) for path in made.photos]
    lines = [
        f"made in {made.seconds:.0f} s:",
        f"{made.page}  the page: open it in a browser",
        *(f"{one}  coloured" for one in photos),
    ]
    values = {"page": str(made.page), "photos": photos, "seconds": made.seconds}
    return Outcome(values=values, message="\n".join(lines))
