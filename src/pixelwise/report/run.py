"""The page and the card of a training run, made from its folder alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jaxtyping import UInt8
from torch import Tensor

from pixelwise.colourising.options import ColouriseOptions
from pixelwise.errors import CheckpointError
from pixelwise.files import write_bytes, write_text
from pixelwise.network.config import NET_NAMES, RunConfig
from pixelwise.network.model import Model
from pixelwise.network.runs import (
    METRICS,
    MODEL,
    EpochMetrics,
    Manifest,
    open_torch_model,
    read_manifest,
    read_metrics,
    read_samples,
    resume_command,
)
from pixelwise.report import figures, page

PAGE, CARD, CURVES, PICTURES = "report.html", "card.md", "curves.png", "pictures.png"
_LEFT_OUT = "left out "


def write_report(folder: Path, repeat: str) -> Path:
    """Write `report.html`, `curves.png`, `pictures.png` and `card.md` into a run's folder; return the page.

    `repeat` is the command that trains the same again.

    An interrupted run has curves of the epochs it finished, and neither pictures nor a card yet.

    Raises:
        CheckpointError: the folder holds no run, or a damaged one.
        OutputError: the folder cannot be written.
    """
    manifest, rows = read_manifest(folder), read_metrics(folder)
    config, finished = manifest.config, (folder / MODEL).is_file()
    if finished and not rows:
        raise CheckpointError(f"{folder} holds a model but no scores: {METRICS} is empty; start the run anew")
    strips = prediction_strips(open_torch_model(folder), read_samples(folder)) if finished else {}
    if rows:
        write_bytes(folder / CURVES, figures.draw_curves(rows).png())
    if strips:
        write_bytes(folder / PICTURES, figures.draw_strips(strips).png())
        write_text(folder / CARD, _card(folder, manifest, rows, repeat))
    nested = config.to_dict()
    settings = {"source": config.source, "palette": config.palette} | nested["net"] | nested["train"]
    text = page.render(
        "run.html",
        title=f"{NET_NAMES[type(config.net)]} on {config.source}",
        config=config,
        manifest=manifest,
        palette=_palette(config),
        finished=finished,
        rows=rows,
        curves=page.drawing_uris(lambda ink: figures.draw_curves(rows, ink)) if rows else None,
        strips={title: page.png_uri(pixels) for title, pixels in strips.items()},
        resume=resume_command(folder),
        repeat=repeat,
        settings={name.replace("_", " "): value for name, value in settings.items()},
        made_by=manifest.versions | manifest.machine | {"data SHA-256": manifest.data_sha256},
    )
    write_text(folder / PAGE, text)
    return folder / PAGE


def prediction_strips(model: Model, images: UInt8[Tensor, "N 3 H W"]) -> figures.Strips:
    """Return rows of pictures beside a model's predictions, decoded as photos are coloured."""
    codes = images.numpy()
    logits = model.logits(model.palette.read_grey(codes))
    options = ColouriseOptions()
    saturation = model.saturation * options.saturation
    return figures.comparison_strips(model.palette, codes, logits, options.temperature, saturation)


def _card(folder: Path, manifest: Manifest, rows: Sequence[EpochMetrics], repeat: str) -> str:
    config = manifest.config
    return page.render(
        "card.md",
        folder=folder,
        manifest=manifest,
        config=config,
        left_out=[note.removeprefix(_LEFT_OUT) for note in manifest.notes if note.startswith(_LEFT_OUT)],
        net=NET_NAMES[type(config.net)],
        palette=_palette(config),
        last=rows[-1],
        repeat=repeat,
    )


def _palette(config: RunConfig) -> str:
    return f"{config.net.num_colours} colours ({Path(config.palette).stem})"
