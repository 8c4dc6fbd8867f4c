"""The page and the card of a training run, made from its folder alone."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pixelwise import figures
from pixelwise.config import LEARNED, NET_NAMES, RunConfig
from pixelwise.control.options import ColouriseOptions
from pixelwise.errors import CheckpointError
from pixelwise.files import write_bytes, write_text
from pixelwise.recipes import recipe, recipe_names
from pixelwise.report import page
from pixelwise.runs import (
    METRICS,
    MODEL,
    Manifest,
    Model,
    Row,
    open_model,
    read_manifest,
    read_metrics,
    read_samples,
    resume_command,
)
from pixelwise.shapes import Bytes

PAGE, CARD, CURVES, PICTURES = "report.html", "card.md", "curves.png", "pictures.png"
_LEFT_OUT = "left out "
_TRAIN_OPTIONS = (
    *("epochs", "batch_size", "learning_rate", "reshuffle", "precision", "seed"),
    *("rebalance", "softness", "film"),
)
_NET_OPTIONS = ("kernel", "num_filters", "convolution")


def write_report(folder: Path) -> Path:
    """Write `report.html`, `curves.png`, `pictures.png` and `card.md` into a run's folder; return the page.

    An interrupted run has curves of the epochs it finished, and neither pictures nor a card yet.

    Raises:
        CheckpointError: the folder holds no run, or a damaged one.
        OutputError: the folder cannot be written.
    """
    manifest, rows = read_manifest(folder), read_metrics(folder)
    config, finished = manifest.config, (folder / MODEL).is_file()
    if finished and not rows:
        raise CheckpointError(f"{folder} holds a model but no scores: {METRICS} is empty; start the run anew")
    strips = compare(open_model(folder), read_samples(folder)) if finished else []
    if rows:
        write_bytes(folder / CURVES, figures.draw_curves(rows).png())
    if strips:
        write_bytes(folder / PICTURES, figures.draw_strips(strips).png())
        write_text(folder / CARD, _card(folder, manifest, rows))
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
        strips={strip.title: page.png_uri(strip.pixels) for strip in strips},
        resume=resume_command(folder),
        repeat=repeat(config),
        settings={name.replace("_", " "): value for name, value in settings.items()},
        made_by=manifest.versions | manifest.machine | {"data SHA-256": manifest.data_sha256},
    )
    write_text(folder / PAGE, text)
    return folder / PAGE


def compare(model: Model, images: Bytes) -> list[figures.Strip]:
    """Return rows of pictures beside a model's predictions, decoded as photos are coloured."""
    logits = model.logits(model.palette.read_grey(images))
    options = ColouriseOptions()
    saturation = model.net.saturation * options.saturation
    return figures.compare(model.palette, images, logits, options.temperature, saturation)


def _card(folder: Path, manifest: Manifest, rows: Sequence[Row]) -> str:
    """Return the card of a finished run, Markdown."""
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
        repeat=repeat(config),
    )


def _palette(config: RunConfig) -> str:
    return f"{config.net.num_colours} colours ({Path(config.palette).stem})"


def repeat(config: RunConfig) -> str:
    """Return the command that trains with this configuration, or a program where no command reaches it."""
    tries = (_arguments(name, config) for name in recipe_names(NET_NAMES[type(config.net)]))
    reached = [arguments for arguments in tries if arguments is not None]
    if reached:
        return shlex.join(["pixelwise", "train", *min(reached, key=len), "--out", "again"])
    return (
        "from pathlib import Path\n"
        "from pixelwise.config import RunConfig\n"
        "from pixelwise.train import train_source\n\n"
        f"config = RunConfig.from_dict({config.to_dict()!r})\n"
        'train_source(config, Path("again"))'
    )


def _arguments(name: str, config: RunConfig) -> list[str] | None:
    """Return the arguments that turn a recipe into this configuration; None where options lack."""
    net, source = NET_NAMES[type(config.net)], config.source
    wanted, got = _options(config), _options(recipe(name, net, source))
    changes = {option: value for option, value in wanted.items() if value != got[option]}
    reached = recipe(name, net, source, **changes)
    # The number of colours is the palette's, where that is not learned.
    if replace(reached, net=replace(reached.net, num_colours=config.net.num_colours)) != config:
        return None
    arguments = [net, source, "--recipe", name]
    for option, value in changes.items():
        flag = f"--{option.replace('_', '-')}"
        arguments += ["--fixed-order"] if option == "reshuffle" else [flag, str(value)]
    return arguments


def _options(config: RunConfig) -> dict[str, Any]:
    """Return the values that `pixelwise train` has options for."""
    values = {"palette": config.palette, "size": config.size}
    values |= {name: getattr(config.train, name) for name in _TRAIN_OPTIONS}
    of_net = (*_NET_OPTIONS, "num_colours") if config.palette == LEARNED else _NET_OPTIONS
    return values | {name: getattr(config.net, name) for name in of_net if hasattr(config.net, name)}
