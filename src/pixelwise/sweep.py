"""The batch-size study: one network trained with several batch sizes, at equal epochs and at equal steps.

At equal epochs every batch size sees the same pictures as often, and a larger one makes fewer steps of them:
two things change at once. At equal steps the number of updates is the same, and a larger batch sees more
pictures. Only both together tell what the size of a batch does from what the number of steps does.

A study is a folder with a run for each; runs that are finished in it are found again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from pixelwise.config import Device, RunConfig
from pixelwise.data import Pictures, load_pictures
from pixelwise.data.batches import Batches
from pixelwise.errors import ConfigError, Interrupted
from pixelwise.evaluate import score
from pixelwise.figures import ON_LIGHT, Drawing, Ink, Strip, new_figure, styled
from pixelwise.metrics import PixelScore
from pixelwise.processor import choose_device
from pixelwise.progress import announce
from pixelwise.report.run import compare
from pixelwise.runs import CHECKPOINT, open_model, read_metrics, read_samples
from pixelwise.train import TrainResult, train

Fixed = Literal["epochs", "steps"]
"""What all batch sizes have alike."""
PAGE, OUTCOMES, CURVES = "sweep.html", "outcomes.png", "curves.png"
_BOTH: tuple[Fixed, Fixed] = ("epochs", "steps")
_MARKS = {"epochs": ("o", "-"), "steps": ("s", "--")}


@dataclass(frozen=True, kw_only=True)
class SweepRow:
    """What one batch size came to."""

    fixed: Fixed
    """What this run has alike with those of other batch sizes."""
    batch_size: int
    epochs: float
    """Passes over the training pictures."""
    steps: int
    """Updates of the weights."""
    train_loss: float
    """Nats a pixel on the first training pictures, as many as validate, after training."""
    val_loss: float
    """Nats a pixel."""
    val_accuracy: float
    """Share of right pixels in per cent."""
    train_seconds: float
    """Validation left out."""
    run: str
    """The run's folder."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def sweep(
    config: RunConfig,
    batch_sizes: Sequence[int],
    folder: Path,
    *,
    steps: int = 0,
    data_dir: Path | None = None,
    device: Device = "auto",
) -> list[SweepRow]:
    """Train with each batch size: for the epochs of `config`, and then again for `steps` steps.

    The number of steps is that of the largest batch in these epochs if it is 0. The learning rate stays the
    same.

    Raises:
        ConfigError: there is no batch size, or one twice, or `config` counts steps itself.
        DataError: the pictures are not to be had.
        CheckpointError: the folder holds runs of another configuration or on other pictures.
        Interrupted: Ctrl-C came; what was learned is kept, and the same call goes on.
    """
    if not batch_sizes or len(set(batch_sizes)) < len(batch_sizes) or min(batch_sizes) < 1:
        given = ", ".join(map(str, batch_sizes)) or "none"
        raise ConfigError(f"a sweep needs different batch sizes of at least 1, got {given}")
    if config.train.steps:
        raise ConfigError(f"a sweep needs a number of epochs, got a run of {config.train.steps} steps")
    pictures = load_pictures(config.source, data_dir, config.train.seed)
    steps = steps or config.train.epochs * _steps_of_epoch(pictures, max(batch_sizes))
    rows: list[SweepRow] = []
    plan = [(fixed, size) for fixed in _BOTH for size in batch_sizes]
    for fixed, size in plan:
        run = _config_of(config, size, fixed, steps, pictures)
        name = f"batch-{size}-" + (f"steps-{steps}" if run.train.steps else f"epochs-{run.train.epochs}")
        announce(f"run {len(rows) + 1} of {len(plan)}: {name}")
        try:
            result = _trained(run, pictures, folder / name, device)
        except Interrupted as error:
            raise Interrupted(
                f"{len(rows)} of {len(plan)} runs are finished in {folder}, and the next one is saved; "
                "the same command goes on",
                folder,
            ) from error
        rows.append(_row(result, fixed, size, pictures, device))
    return rows


def _steps_of_epoch(pictures: Pictures, batch_size: int) -> int:
    return -(-len(pictures.train) // batch_size)


def _config_of(config: RunConfig, size: int, fixed: Fixed, steps: int, pictures: Pictures) -> RunConfig:
    """The configuration of one run; where the epochs come to just the steps, both are one run."""
    in_epochs = config.train.epochs * _steps_of_epoch(pictures, size)
    own = steps if fixed == "steps" and steps != in_epochs else 0
    return replace(config, train=replace(config.train, batch_size=size, steps=own))


def _trained(config: RunConfig, pictures: Pictures, folder: Path, device: Device) -> TrainResult:
    """A finished run, trained now, or from where it was interrupted, if it is not there."""
    return train(config, pictures, folder, device=device, resume=(folder / CHECKPOINT).exists())


def _row(result: TrainResult, fixed: Fixed, batch_size: int, pictures: Pictures, device: Device) -> SweepRow:
    run = Path(result.run)
    whole, last = divmod(result.steps, _steps_of_epoch(pictures, batch_size))
    return SweepRow(
        fixed=fixed,
        batch_size=batch_size,
        epochs=whole + last * batch_size / len(pictures.train),
        steps=result.steps,
        train_loss=_train_score(run, pictures, device).loss,
        val_loss=result.val_loss,
        val_accuracy=result.val_accuracy,
        train_seconds=read_metrics(run)[-1]["train_seconds"],  # without the start of a run that is found
        run=result.run,
    )


def _train_score(run: Path, pictures: Pictures, device: Device) -> PixelScore:
    """After training: the mean over an epoch would count its early steps, which large batches have few of."""
    model, on = open_model(run), choose_device(device)
    learned_from = pictures.train[: len(pictures.val)]
    return score(model.net.to(on), Batches.of(learned_from, model.palette, on))


def draw_outcomes(rows: Sequence[SweepRow], ink: Ink = ON_LIGHT) -> Drawing:
    """Loss, accuracy and time by batch size: lines and dots at equal epochs, dashes and squares at steps."""
    panels: dict[str, list[tuple[str, str, str]]] = {
        "Loss, nats per pixel": [
            ("train_loss", "training", ink.train),
            ("val_loss", "validation", ink.val),
        ],
        "Validation pixels right, %": [("val_accuracy", "", ink.val)],
        "Seconds of training": [("train_seconds", "", ink.text)],
    }
    with styled(ink):
        figure = new_figure(11, 3.9)
        every = figure.subplots(1, len(panels))
        for axes, (title, lines) in zip(every, panels.items(), strict=True):
            for key, label, colour in lines:
                _draw_line(axes, rows, key, label, colour)
            axes.set_title(title, loc="left")
            _by_batch_size(axes, rows)
        every[-1].set_yscale("log")
        every[-1].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        every[-1].yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        every[-1].yaxis.set_minor_locator(NullLocator())
        figure.legend(*every[0].get_legend_handles_labels(), frameon=False, ncols=4, loc="outside lower left")
    return Drawing(figure, ink)


def _draw_line(axes: Axes, rows: Sequence[SweepRow], key: str, label: str, colour: str) -> None:
    for fixed in _BOTH:
        own = sorted((row.batch_size, getattr(row, key)) for row in rows if row.fixed == fixed)
        mark, line = _MARKS[fixed]
        name = f"{label}, equal {fixed}" if label else f"equal {fixed}"
        axes.plot(
            *zip(*own, strict=True), color=colour, marker=mark, linestyle=line, markersize=5, label=name
        )


def _by_batch_size(axes: Axes, rows: Sequence[SweepRow]) -> None:
    sizes = sorted({row.batch_size for row in rows})
    axes.set_xscale("log")
    axes.set_xticks(sizes, [str(size) for size in sizes], fontsize=9, rotation=45)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("pictures in a batch")


def draw_losses(rows: Sequence[SweepRow], ink: Ink = ON_LIGHT) -> Drawing:
    """Training loss on the way: by epoch at equal epochs, by step at equal steps; a colour per batch size."""
    with styled(ink):
        figure = new_figure(11, 3.9)
        for axes, fixed in zip(figure.subplots(1, 2), _BOTH, strict=True):
            own = [row for row in rows if row.fixed == fixed]
            colours = matplotlib.colormaps["viridis"].resampled(len(own) + 1)
            for index, row in enumerate(own):
                steps, losses = _on_the_way(row)
                scale = row.epochs / row.steps if fixed == "epochs" else 1
                label = str(row.batch_size)
                axes.plot([step * scale for step in steps], losses, color=colours(index), label=label)
            axes.set_xlabel(fixed[:-1])
            axes.set_title(f"Training loss at equal {fixed}, nats per pixel", loc="left")
        axes.legend(frameon=False, fontsize=9, title="batch", ncols=2)
    return Drawing(figure, ink)


def _on_the_way(row: SweepRow) -> tuple[list[float], list[float]]:
    """Steps in the middle of each piece of an epoch, and the training loss there."""
    steps, losses, start = [], [], 0
    for done in read_metrics(Path(row.run)):
        pieces = done["losses"]
        length = (done["step"] - start) / len(pieces)
        steps += [start + (index + 0.5) * length for index in range(len(pieces))]
        losses += pieces
        start = done["step"]
    return steps, losses


def compare_pictures(rows: Sequence[SweepRow], fixed: Fixed) -> list[Strip]:
    """What each batch size's network makes of the same validation pictures, below what is true."""
    strips: list[Strip] = []
    for row in (row for row in rows if row.fixed == fixed):
        run = Path(row.run)
        *above, prediction = compare(open_model(run), read_samples(run))
        strips = strips or above[1:]
        title = f"Batches of {row.batch_size}: {row.val_accuracy:.1f} % right, loss {row.val_loss:.3f}"
        strips.append(replace(prediction, title=title))
    return strips
