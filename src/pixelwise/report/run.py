"""A run folder as one page: curves, pictures, scores, and all it takes to repeat the run."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from pixelwise import figures, page
from pixelwise.config import LEARNED, NET_NAMES, RunConfig
from pixelwise.control.options import ColouriseOptions
from pixelwise.errors import CheckpointError
from pixelwise.files import write_bytes, write_text
from pixelwise.recipes import recipe, recipe_names
from pixelwise.report.card import CARD, describe_run
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

PAGE, CURVES, PICTURES = "report.html", "curves.png", "pictures.png"
_FEW = 4  # notes in sight


def write_report(folder: Path) -> Path:
    """Write `report.html` and what it stands on into a run's folder; give the page's path.

    These are `curves.png`, `pictures.png` and the model's `card.md`. An interrupted run has curves of the
    epochs it finished, and neither pictures nor a card yet.

    Raises:
        CheckpointError: the folder holds no run, or a damaged one.
        OutputError: the folder cannot be written.
    """
    manifest, rows = read_manifest(folder), read_metrics(folder)
    config = manifest.config
    finished = (folder / MODEL).is_file()
    if finished and not rows:
        raise CheckpointError(f"{folder} holds a model but no scores: {METRICS} is empty; start the run anew")
    strips = compare(open_model(folder), read_samples(folder)) if finished else []
    if rows:
        write_bytes(folder / CURVES, figures.draw_curves(rows).png())
    if strips:
        write_bytes(folder / PICTURES, figures.draw_strips(strips).png())
        write_text(folder / CARD, describe_run(folder, manifest, rows, repeat(config)))
    sections = [
        *([page.section("How it went", final_scores(rows), curves(rows))] if rows else []),
        *(
            [page.section("What it makes of pictures it never learnt from", pictures(strips))]
            if strips
            else []
        ),
        *([] if finished else [page.section("How to go on", page.commands(resume_command(folder)))]),
        page.section("How to do it again", page.commands(repeat(config))),
        page.section("What was decided, and why", *_settings(config, manifest)),
    ]
    write_text(folder / PAGE, page.frame(_title(config), _summary(config, rows, finished), *sections))
    return folder / PAGE


def compare(model: Model, images: Bytes) -> list[figures.Strip]:
    """Pictures beside what a model makes of them, as it colours photos."""
    logits = model.logits(model.palette.read_grey(images))
    options = ColouriseOptions()
    saturation = model.net.saturation * options.saturation
    return figures.compare(model.palette, images, logits, options.temperature, saturation)


def final_scores(rows: Sequence[Row]) -> str:
    """The numbers of the last epoch."""
    last = rows[-1]
    return page.scores(
        {
            "of the validation pixels in the right class": f"{last['val_accuracy']:.2f}\N{NO-BREAK SPACE}%",
            "validation loss, nats per pixel": f"{last['val_loss']:.4f}",
            "training loss": f"{last['train_loss']:.4f}",
            "of training": _duration(last["train_seconds"]),
        }
    )


def curves(rows: Sequence[Row]) -> str:
    """Loss and accuracy by epoch, drawn for light and for dark screens."""
    drawings = {"loss by epoch": figures.draw_loss, "validation accuracy by epoch": figures.draw_accuracy}
    drawn = []
    for alt, draw in drawings.items():
        light, dark = (page.svg_uri(draw(rows, ink).svg()) for ink in (figures.ON_LIGHT, figures.ON_DARK))
        drawn.append(page.light_or_dark(light, dark, alt))
    return page.row([f"<figure>{drawing}</figure>" for drawing in drawn], least="20rem")


def pictures(strips: Sequence[figures.Strip]) -> str:
    """Rows of pictures, one column per picture."""
    return "".join(page.pixels(page.image(page.png_uri(s.pixels), s.title), s.title) for s in strips)


def repeat(config: RunConfig) -> str:
    """The command that trains with this configuration, or a program where no command reaches it."""
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
    """What to give `pixelwise train` so that a recipe becomes this configuration; None where options lack."""
    net, source = NET_NAMES[type(config.net)], config.source
    wanted, got = _options(config), _options(recipe(name, net, source))
    changes = {option: value for option, value in wanted.items() if value != got[option]}
    reached = recipe(name, net, source, **changes)
    # The number of colours is the palette's, where that is not learned.
    if replace(reached, net=replace(reached.net, num_colours=config.net.num_colours)) != config:
        return None
    return [
        net,
        source,
        "--recipe",
        name,
        *(word for option in changes.items() for word in _as_typed(*option)),
    ]


def _options(config: RunConfig) -> dict[str, Any]:
    """The values that `pixelwise train` has options for."""
    in_train = (
        *("epochs", "batch_size", "learning_rate", "reshuffle", "precision", "seed"),
        *("rebalance", "softness", "film"),
    )
    own = {"kernel", "num_filters", "convolution"} | ({"num_colours"} if config.palette == LEARNED else set())
    in_net = [one.name for one in fields(config.net) if one.name in own]
    return (
        {name: getattr(config.train, name) for name in in_train}
        | {name: getattr(config.net, name) for name in in_net}
        | {"palette": config.palette, "size": config.size}
    )


def _as_typed(option: str, value: Any) -> list[str]:
    if option == "reshuffle":
        return ["--fixed-order"]
    return [f"--{option.replace('_', '-')}", str(value)]


def _title(config: RunConfig) -> str:
    return f"{NET_NAMES[type(config.net)]} on {config.source}"


def _summary(config: RunConfig, rows: Sequence[Row], finished: bool) -> str:
    """The run in two sentences."""
    palette = f"{config.net.num_colours} colours ({Path(config.palette).stem})"
    if finished:
        last = rows[-1]
        right = f"{last['val_accuracy']:.1f}\N{NO-BREAK SPACE}%"
        state = f"After {_duration(last['train_seconds'])} of training it is right on {right} of the pixels"
        state += " of pictures it never saw."
    else:
        whole = f"{config.train.steps} steps" if config.train.steps else f"{config.train.epochs} epochs"
        done = len(rows) if not config.train.steps else (rows[-1]["step"] if rows else 0)
        state = f"It was interrupted after {done} of {whole}."
    return f"A network that gives every pixel one of {palette}. {state}"


def _settings(config: RunConfig, manifest: Manifest) -> list[str]:
    """Reasons in sight; every value, version and checksum folded away."""
    nested = config.to_dict()
    values = {"source": config.source, "palette": config.palette} | nested["net"] | nested["train"]
    made_by = manifest.versions | manifest.machine | {"data SHA-256": manifest.data_sha256}
    return [
        page.table(manifest.reasons),
        *_notes(manifest.notes),
        page.details(
            "Every setting", page.table({name.replace("_", " "): str(v) for name, v in values.items()})
        ),
        page.details("Versions, machine and data", page.table(made_by)),
    ]


def _notes(notes: Sequence[str]) -> list[str]:
    """What is to be known about the pictures; much of it folded away."""
    told = [page.paragraph(note) for note in notes]
    return told if len(told) <= _FEW else [page.details(f"{len(told)} notes on the pictures", "".join(told))]


def _duration(seconds: float) -> str:
    """Seconds as people say them, in one piece on a narrow page."""
    if seconds < 100:
        return f"{seconds:.1f}\N{NO-BREAK SPACE}s"
    return f"{seconds // 60:.0f}\N{NO-BREAK SPACE}min {seconds % 60:.0f}\N{NO-BREAK SPACE}s"
