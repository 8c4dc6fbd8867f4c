"""Question B4: the U-Net with several batch sizes, at equal epochs and at equal steps.

At equal epochs all batch sizes see the same pictures equally often, and a larger one makes fewer steps: two
things change at once. At equal steps a larger batch sees more pictures. Only both together tell the effect of
the batch size from that of the number of steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import matplotlib

from pixelwise.data.batches import Batches
from pixelwise.evaluate import score
from pixelwise.figures import ON_LIGHT, Drawing, Strip, draw_strips, new_figure, styled
from pixelwise.lab.answer import PICTURES, Answer, Setting
from pixelwise.lab.colouring import comparison_config
from pixelwise.lab.pixels import appearance, predict
from pixelwise.processor import choose_device
from pixelwise.progress import announce
from pixelwise.report import compare
from pixelwise.runs import open_model, read_metrics, read_samples

Fixed = Literal["epochs", "steps"]
_BOTH: tuple[Fixed, Fixed] = ("epochs", "steps")


@dataclass(frozen=True)
class Study:
    """Batch sizes, and the epochs and the steps that each is trained for."""

    batch_sizes: tuple[int, ...]
    epochs: int
    steps: int


WHOLE = Study((10, 30, 100, 300, 1000), epochs=12, steps=200)
"""Even steps of a factor of about three; about as long as the handout's 25 epochs of three sizes."""
QUICK = Study((20, 100, 500), epochs=1, steps=10)


@dataclass(frozen=True, kw_only=True)
class BatchSizeRow:
    """Results of one batch size."""

    fixed: Fixed
    """What this run has in common with those of the other batch sizes."""
    batch_size: int
    epochs: float
    steps: int
    train_loss: float
    """Nats a pixel after training, on as many training pictures as there are validation pictures."""
    val_loss: float
    val_accuracy: float
    """Per cent."""
    train_seconds: float
    looks: dict[str, float]
    """Detail and colourfulness of the predicted pictures, see `pixels.appearance`."""
    run: Path

    def to_dict(self) -> dict[str, Any]:
        """Return plain values without the run's folder."""
        return {name: value for name, value in asdict(self).items() if name != "run"}


def answer_b4(setting: Setting) -> Answer:
    """Train with each batch size; show losses, time and pictures."""
    study = QUICK if setting.quick else WHOLE
    rows = [
        _train_one(setting, study, fixed, batch_size) for fixed in _BOTH for batch_size in study.batch_sizes
    ]
    palette = open_model(rows[0].run).palette
    values = {
        "source": PICTURES,
        "learning_rate": comparison_config(setting, "unet", 0).train.learning_rate,
        "epochs": study.epochs,
        "steps": study.steps,
        "rows": [row.to_dict() for row in rows],
        "truth": appearance(palette.encode(setting.pictures().val).numpy(), palette),
    }
    figures = (
        setting.draw("b4-curves", _draw_losses(rows)),
        setting.draw("b4-pictures-epochs", draw_strips(_compare_pictures(rows, "epochs"))),
        setting.draw("b4-pictures-steps", draw_strips(_compare_pictures(rows, "steps"))),
    )
    return Answer(values, figures)


def _train_one(setting: Setting, study: Study, fixed: Fixed, batch_size: int) -> BatchSizeRow:
    """Train with one batch size, or reuse its run; if the epochs make just the steps, both share a run."""
    pictures, config = setting.pictures(), comparison_config(setting, "unet", 0)
    steps_an_epoch = -(-len(pictures.train) // batch_size)
    steps = study.steps if fixed == "steps" and study.steps != study.epochs * steps_an_epoch else 0
    train = replace(config.train, batch_size=batch_size, epochs=study.epochs, steps=steps)
    name = f"batch-{batch_size}-{f'steps-{steps}' if steps else f'epochs-{study.epochs}'}"
    announce(name)
    run = setting.trained(name, replace(config, train=train))
    model, last, device = open_model(run), read_metrics(run)[-1], choose_device(setting.device)
    # the mean over an epoch would count its early steps, of which large batches have few
    learned_from = Batches.of(pictures.train[: len(pictures.val)], model.palette, device)
    epochs, rest = divmod(last["step"], steps_an_epoch)
    return BatchSizeRow(
        fixed=fixed,
        batch_size=batch_size,
        epochs=epochs + rest * batch_size / len(pictures.train),
        steps=last["step"],
        train_loss=score(model.net.to(device), learned_from).loss,
        val_loss=last["val_loss"],
        val_accuracy=last["val_accuracy"],
        train_seconds=last["train_seconds"],
        looks=appearance(predict(run, pictures.val).predicted, model.palette),
        run=run,
    )


def _draw_losses(rows: Sequence[BatchSizeRow]) -> Drawing:
    """Draw the training loss by epoch at equal epochs, and by step at equal steps."""
    with styled(ON_LIGHT):
        figure = new_figure(11, 3.9)
        for axes, fixed in zip(figure.subplots(1, 2), _BOTH, strict=True):
            own = [row for row in rows if row.fixed == fixed]
            colours = matplotlib.colormaps["viridis"].resampled(len(own) + 1)
            for index, row in enumerate(own):
                steps, losses = _losses_by_step(row)
                scale = row.epochs / row.steps if fixed == "epochs" else 1
                label = str(row.batch_size)
                axes.plot([step * scale for step in steps], losses, color=colours(index), label=label)
            axes.set_xlabel(fixed[:-1])
            axes.set_title(f"Training loss at equal {fixed}, nats per pixel", loc="left")
        axes.legend(frameon=False, fontsize=9, title="batch", ncols=2)
    return Drawing(figure, ON_LIGHT)


def _losses_by_step(row: BatchSizeRow) -> tuple[list[float], list[float]]:
    """Return the middle step of each piece of an epoch, and its training loss."""
    steps, losses, start = [], [], 0
    for epoch in read_metrics(row.run):
        length = (epoch["step"] - start) / len(epoch["losses"])
        steps += [start + (index + 0.5) * length for index in range(len(epoch["losses"]))]
        losses += epoch["losses"]
        start = epoch["step"]
    return steps, losses


def _compare_pictures(rows: Sequence[BatchSizeRow], fixed: Fixed) -> list[Strip]:
    """Return rows of the same validation pictures: true, and as each batch size's network colours them."""
    strips: list[Strip] = []
    for row in (row for row in rows if row.fixed == fixed):
        *above, prediction = compare(open_model(row.run), read_samples(row.run))
        strips = strips or above[1:]
        title = f"Batches of {row.batch_size}: {row.val_accuracy:.1f} % right, loss {row.val_loss:.3f}"
        strips.append(replace(prediction, title=title))
    return strips
