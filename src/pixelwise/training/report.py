"""The page and the card of a training run, made from its folder alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pixelwise.colourising.options import ColouriseOptions
from pixelwise.errors import CheckpointError
from pixelwise.files import write_bytes
from pixelwise.network.config import NET_NAMES
from pixelwise.network.model import resume_command
from pixelwise.report import figures, page
from pixelwise.training.runs import (
    METRICS,
    WEIGHTS,
    open_torch_model,
    read_manifest,
    read_metrics,
    read_samples,
)

_LEFT_OUT = "left out "


def write_report(folder: Path, repeat: str) -> Path:
    """Write `report.html`, `curves.png`, `pictures.png` and `card.md` into a run's folder; return the page.

    `repeat` is the command that trains the same again. An interrupted run has curves of the epochs it
    finished, and neither pictures nor a card yet. CheckpointError where the folder holds no whole run.
    """
    manifest, rows = read_manifest(folder), read_metrics(folder)
    config, finished = manifest.config, (folder / WEIGHTS).is_file()
    if finished and not rows:
        raise CheckpointError(f"{folder} holds a model but no scores: {METRICS} is empty; start the run anew")
    net = NET_NAMES[type(config.net)]
    palette = f"{config.net.num_colours} colours ({Path(config.palette).stem})"
    on_both: dict[str, Any] = {"manifest": manifest, "config": config, "palette": palette, "repeat": repeat}
    if rows:
        write_bytes(folder / "curves.png", figures.draw_curves(rows).png())
    strips = prediction_strips(folder) if finished else {}
    if finished:
        write_bytes(folder / "pictures.png", figures.draw_strips(strips).png())
        left_out = [note.removeprefix(_LEFT_OUT) for note in manifest.notes if note.startswith(_LEFT_OUT)]
        about = {"folder": folder, "net": net, "left_out": left_out, "last": rows[-1]}
        page.write_page(folder / "card.md", "card.md", **about, **on_both)
    nested = config.to_dict()
    settings = {"source": config.source, "palette": config.palette} | nested["net"] | nested["train"]
    return page.write_page(
        folder / "report.html",
        "run.html",
        title=f"{net} on {config.source}",
        finished=finished,
        rows=rows,
        curves=page.drawing_uris(lambda ink: figures.draw_curves(rows, ink)) if rows else None,
        strips={title: page.png_uri(pixels) for title, pixels in strips.items()},
        resume=resume_command(folder),
        settings={name.replace("_", " "): value for name, value in settings.items()},
        made_by=manifest.versions | manifest.machine | {"data SHA-256": manifest.data_sha256},
        **on_both,
    )


def prediction_strips(folder: Path) -> figures.Strips:
    """Return rows of a finished run's sample pictures and its predictions, decoded as photos are coloured."""
    model, images, options = open_torch_model(folder), read_samples(folder).numpy(), ColouriseOptions()
    logits = model.logits(model.palette.read_grey(images))
    saturation = model.saturation * options.saturation
    return figures.comparison_strips(model.palette, images, logits, options.temperature, saturation)
