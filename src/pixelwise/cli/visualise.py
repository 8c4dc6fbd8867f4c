"""The verb that shows what is inside a network: visualise."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pixelwise.cli.common import Common, Outcome


def visualise(
    model: str,
    photo: Path | None = None,
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])] = Path("out/visualise"),
    common: Common = Common(),  # noqa: ARG001, B008 - every verb's options
) -> Outcome:
    """Show what is inside a network: how its blocks are joined, its first filters, what each block gives.

    Parameters
    ----------
    model
        A run's folder, a model file or a shipped model's name.
    photo
        What the network looks at; if not given, a picture that a run keeps of its own, and for other models
        there are no activations.
    out
        The folder for network.png, filters.png and activations.png.
    """
    from pixelwise.runs import open_model
    from pixelwise.visualise import read_picture, visualise, write_figures

    opened = open_model(model)
    picture = read_picture(photo, opened) if photo else None
    paths = {name: str(path) for name, path in write_figures(out, visualise(opened, picture)).items()}
    lines = [f"wrote {path}" for path in paths.values()]
    if "activations" not in paths:
        lines.append(f"no activations: {model} keeps no picture; give a photo")
    return Outcome(values={"figures": paths}, message="\n".join(lines))
