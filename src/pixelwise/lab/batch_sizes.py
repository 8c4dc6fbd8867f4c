"""Question B4: the U-Net with several batch sizes, at equal epochs, and at equal steps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pixelwise.config import RunConfig
from pixelwise.data import load_pictures
from pixelwise.figures import draw_strips
from pixelwise.lab.answer import Answer, Setting
from pixelwise.lab.colouring import SOURCE, comparison_config
from pixelwise.lab.commands import sweep_command
from pixelwise.lab.pixels import guess, looks
from pixelwise.runs import open_model
from pixelwise.shapes import Bytes
from pixelwise.sweep import SweepRow, compare_pictures, draw_losses, draw_outcomes, sweep


@dataclass(frozen=True)
class Study:
    """Which batch sizes are tried, and for how long."""

    batch_sizes: tuple[int, ...]
    epochs: int
    """Of every batch size, in the first half."""
    steps: int
    """Of every batch size, in the second half."""


WHOLE = Study((10, 30, 100, 300, 1000), epochs=12, steps=200)
"""Even steps of a factor of about three; about as long as the handout's 25 epochs of three sizes."""
QUICK = Study((20, 100, 500), epochs=1, steps=10)


def study_config(setting: Setting) -> tuple[RunConfig, Study]:
    """What is trained with each batch size, and the study of it."""
    study = QUICK if setting.quick else WHOLE
    config = comparison_config(setting, "unet", 0)
    return replace(config, train=replace(config.train, epochs=study.epochs)), study


def answer_b4(setting: Setting) -> Answer:
    """What the size of a batch does to losses, time and pictures; and what of it is the number of steps."""
    config, study = study_config(setting)
    rows = sweep(
        config,
        study.batch_sizes,
        setting.runs / "batch-sizes",
        steps=study.steps,
        data_dir=setting.data_dir,
        device=setting.device,
    )
    val = load_pictures(SOURCE, setting.data_dir, setting.seed).val
    values = {
        "source": SOURCE,
        "learning_rate": config.train.learning_rate,
        "epochs": study.epochs,
        "steps": study.steps,
        "rows": [_told(row, val) for row in rows],
        "truth": _truth(rows[0], val),
        "command": sweep_command(setting, config, study.batch_sizes, study.steps),
    }
    figures = (
        setting.draw("b4-outcomes", draw_outcomes(rows)),
        setting.draw("b4-curves", draw_losses(rows)),
        setting.draw("b4-pictures-epochs", draw_strips(compare_pictures(rows, "epochs"))),
        setting.draw("b4-pictures-steps", draw_strips(compare_pictures(rows, "steps"))),
    )
    return Answer(values=values, figures=figures)


def _told(row: SweepRow, images: Bytes) -> dict[str, Any]:
    """A row, and how detailed and colourful its pictures are; without the run's place on this machine."""
    run = Path(row.run)
    values = row.to_dict()
    del values["run"]
    return values | looks(open_model(run).palette, {"looks": guess(run, images).guessed})


def _truth(row: SweepRow, images: Bytes) -> dict[str, float]:
    palette = open_model(Path(row.run)).palette
    return looks(palette, {"truth": palette.encode(images).numpy()})["truth"]
