"""The verbs models and demo."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pixelwise.cli.common import Common, Outcome


def models(*, common: Common = Common()) -> Outcome:  # noqa: ARG001, B008 - every verb's options
    """List what is shipped, models that colour and heads that segment: source, licence, score, checksum."""
    from pixelwise.network.cards import (
        card_path,
        check_weights,
        read_card,
        shipped_heads,
        shipped_models,
        weights_path,
    )

    found = []
    for name in (*shipped_models(), *shipped_heads()):
        check_weights(name)
        size = weights_path(name).stat().st_size
        found.append(
            {"name": name, "colours": name in shipped_models(), "size_bytes": size}
            | asdict(read_card(name))
            | {"card": str(card_path(name))}
        )
    return Outcome(values={"models": found}, message="\n\n".join(_described(model) for model in found))


def _described(model: dict[str, object]) -> str:
    """One model for people to read."""
    facts = [f"  {key:<11}{value}" for key, value in model.items() if key not in ("name", "colours")]
    return "\n".join([f"{model['name']} ({'model' if model['colours'] else 'head'})", *facts])


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
    lines = [f"{made.page}  the page: open it in a browser", *(f"{path}  coloured" for path in photos)]
    return Outcome(
        values={"page": str(made.page), "photos": photos, "seconds": made.seconds},
        message=f"made in {made.seconds:.0f} s:\n" + "\n".join(lines),
    )
