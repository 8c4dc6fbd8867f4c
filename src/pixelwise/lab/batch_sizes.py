"""Question B4: the U-Net with several batch sizes, at equal epochs and at equal steps.

At equal epochs all batch sizes see the same pictures equally often, and a larger one makes fewer steps: two
things change at once. At equal steps a larger batch sees more pictures. Only both together tell the effect of
the batch size from that of the number of steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import matplotlib

from pixelwise.lab.answer import PICTURES, Answer, Setting
from pixelwise.lab.colouring import compare_pictures, comparison_config
from pixelwise.network.runs import read_metrics
from pixelwise.progress import announce
from pixelwise.report.figures import ON_LIGHT, Drawing, draw_strips, new_figure, styled

Fixed = Literal["epochs", "steps"]
_BOTH: tuple[Fixed, Fixed] = ("epochs", "steps")
_BATCH_SIZES, _EPOCHS, _STEPS = (10, 30, 100, 300, 1000), 12, 200
"""Even steps of a factor of about three; about as long as the handout's 25 epochs of three sizes."""
_QUICK_BATCH_SIZES, _QUICK_EPOCHS, _QUICK_STEPS = (20, 100, 500), 1, 10


@dataclass(frozen=True, kw_only=True)
class BatchSizeRun:
    """One batch size, trained."""

    fixed: Fixed
    """What this run has in common with those of the other batch sizes."""
    batch_size: int
    epochs: float
    run: Path

    def to_dict(self) -> dict[str, Any]:
        """Return plain values: those above without the run's folder, and its last scores."""
        last = read_metrics(self.run)[-1]
        scores = {name: last[name] for name in ("train_loss", "val_loss", "val_accuracy", "train_seconds")}
        row = {"fixed": self.fixed, "batch_size": self.batch_size, "epochs": self.epochs}
        return row | {"steps": last["step"]} | scores


def answer_b4(setting: Setting) -> Answer:
    """Train with each batch size; show losses, time and pictures."""
    sizes = _QUICK_BATCH_SIZES if setting.quick else _BATCH_SIZES
    runs = [_train(setting, fixed, size) for fixed in _BOTH for size in sizes]
    values = {
        "source": PICTURES,
        "learning_rate": comparison_config(setting, "unet", 0).train.learning_rate,
        "epochs": _QUICK_EPOCHS if setting.quick else _EPOCHS,
        "steps": _QUICK_STEPS if setting.quick else _STEPS,
        "rows": [one.to_dict() for one in runs],
    }
    figures = [setting.draw("b4-curves", _draw_losses(runs))]
    for fixed in _BOTH:
        shown = {f"Batches of {one.batch_size}": one.run for one in runs if one.fixed == fixed}
        figures.append(setting.draw(f"b4-pictures-{fixed}", draw_strips(compare_pictures(shown))))
    return Answer(values, tuple(figures))


def _train(setting: Setting, fixed: Fixed, batch_size: int) -> BatchSizeRun:
    """Train with one batch size, or reuse its run; if the epochs make just the steps, both share a run."""
    num, config = len(setting.pictures().train), comparison_config(setting, "unet", 0)
    epochs, steps = (_QUICK_EPOCHS, _QUICK_STEPS) if setting.quick else (_EPOCHS, _STEPS)
    steps_an_epoch = -(-num // batch_size)
    if fixed == "epochs" or steps == epochs * steps_an_epoch:
        steps = 0
    train = replace(config.train, batch_size=batch_size, epochs=epochs, steps=steps)
    name = f"batch-{batch_size}-{f'steps-{steps}' if steps else f'epochs-{epochs}'}"
    announce(name)
    run = setting.trained(name, replace(config, train=train))
    whole, rest = divmod(read_metrics(run)[-1]["step"], steps_an_epoch)
    return BatchSizeRun(fixed=fixed, batch_size=batch_size, epochs=whole + rest * batch_size / num, run=run)


def _draw_losses(runs: Sequence[BatchSizeRun]) -> Drawing:
    """Draw the training loss by epoch at equal epochs, and by step at equal steps."""
    with styled(ON_LIGHT):
        figure = new_figure(11, 3.9)
        for axes, fixed in zip(figure.subplots(1, 2), _BOTH, strict=True):
            own = [one for one in runs if one.fixed == fixed]
            colours = matplotlib.colormaps["viridis"].resampled(len(own) + 1)
            for index, one in enumerate(own):
                steps, losses = _losses_by_step(one.run)
                scale = one.epochs / read_metrics(one.run)[-1]["step"] if fixed == "epochs" else 1
                label = str(one.batch_size)
                axes.plot([step * scale for step in steps], losses, color=colours(index), label=label)
            axes.set_xlabel(fixed[:-1])
            axes.set_title(f"Training loss at equal {fixed}, nats per pixel", loc="left")
        axes.legend(frameon=False, fontsize=9, title="batch", ncols=2)
    return Drawing(figure, ON_LIGHT)


def _losses_by_step(run: Path) -> tuple[list[float], list[float]]:
    """Return the middle step of each piece of an epoch, and its training loss."""
    steps, losses, start = [], [], 0
    for epoch in read_metrics(run):
        length = (epoch["step"] - start) / len(epoch["losses"])
        steps += [start + (index + 0.5) * length for index in range(len(epoch["losses"]))]
        losses += epoch["losses"]
        start = epoch["step"]
    return steps, losses
