"""Questions A2, B2, B3 and B4: the CNN and the U-Net trained alike and compared; batch sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import matplotlib
import numpy as np
from jaxtyping import Int64
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy import ndarray

from pixelwise.colour.palette import Palette
from pixelwise.errors import DivergedError
from pixelwise.evaluate.pictures import evaluate
from pixelwise.lab.answer import PICTURES, Answer, Setting
from pixelwise.lab.networks import SKIPS, num_parameters, unet_without
from pixelwise.lab.outcomes import (
    EDGES_FRAC,
    appearance,
    by_colour,
    by_edges,
    compare_appearance,
    compare_variants,
    over_seeds,
    predict,
    training,
)
from pixelwise.labels.confusion import Confusion
from pixelwise.network.config import HANDOUT_CONFIGS, CNNConfig, RunConfig, TrainConfig, UNetConfig
from pixelwise.network.models import build
from pixelwise.network.runs import EpochMetrics, MetricName, open_torch_model, read_metrics, read_samples
from pixelwise.progress import announce
from pixelwise.report.figures import ON_LIGHT, Drawing, Strips, draw_curves, draw_strips, new_figure, styled
from pixelwise.report.run import prediction_strips

EPOCHS, QUICK_EPOCHS = 25, 2
LARGE_CNN = "CNN, as many weights"
_LARGE_CONFIG = CNNConfig(num_filters=37)  # about as many weights as the U-Net has
_NUM_SEEDS, _NUM_QUICK_SEEDS = 3, 2
_ABLATION_EPOCHS = 5  # enough to order the variants
_HANDOUT_RATE = 0.3  # the handout's learning rate for the CNN
_COLOURS = {"CNN": ON_LIGHT.train, "U-Net": ON_LIGHT.val}
_OTHER_COLOUR = "#767676"
Fixed = Literal["epochs", "steps"]
_BOTH: tuple[Fixed, Fixed] = ("epochs", "steps")
_BATCH_SIZES, _BATCH_EPOCHS, _STEPS = (10, 30, 100, 300, 1000), 12, 200
"""Even steps of a factor of about three; about as long as the handout's 25 epochs of three sizes."""
_QUICK_BATCH_SIZES, _QUICK_BATCH_EPOCHS, _QUICK_STEPS = (20, 100, 500), 1, 10


def comparison_config(setting: Setting, net: str, seed: int) -> RunConfig:
    """Return the configuration of `cnn` or `unet`: both alike, so that they can be compared.

    It is the handout's batch size of 100, its 25 epochs and Adam, at the learning rate that it gives the
    U-Net alone.
    """
    train = TrainConfig(
        epochs=QUICK_EPOCHS if setting.quick else EPOCHS,
        batch_size=100,
        learning_rate=0.001,
        precision=setting.precision,
        seed=setting.seed_of(seed),
    )
    return RunConfig(net=HANDOUT_CONFIGS[net](), source=PICTURES, train=train)


def _trained(setting: Setting, net: str) -> list[Path]:
    """Return finished runs of a network, one for each seed; questions share them."""
    return [
        setting.trained(f"{net}-seed{seed}", comparison_config(setting, net, seed))
        for seed in range(_NUM_QUICK_SEEDS if setting.quick else _NUM_SEEDS)
    ]


def answer_a2(setting: Setting) -> Answer:
    """Train the CNN; show curves, pictures, which colours it confuses, and where it fails."""
    runs, pictures = _trained(setting, "cnn"), setting.pictures()
    model = open_torch_model(runs[0])
    palette, found = model.palette, predict(runs[0], pictures.val)
    rows = len(found.labels), -1
    confusion = Confusion.of(found.predicted.reshape(rows), found.labels.reshape(rows), palette.num_classes)
    values = training(runs) | {
        "scores": {
            name.replace(" ", "_"): {what: asdict(one) for what, one in scores.items()}
            for name, scores in evaluate(model, pictures, setting.seed, setting.device).items()
        },
        "looks": {
            "truth": appearance(found.labels, palette),
            "prediction": appearance(found.predicted, palette),
        },
        "colours": by_colour(confusion, palette),
        "places": by_edges(palette.read_grey(pictures.val.numpy())[:, 0], {"prediction": [found]}),
        "handouts_rate": _HANDOUT_RATE,
    }
    figures = (
        setting.draw("a2-curves", draw_curves(read_metrics(runs[0]))),
        setting.draw("a2-pictures", draw_strips(prediction_strips(model, read_samples(runs[0])))),
        setting.draw("a2-confusion", _draw_confusion(confusion.counts, palette)),
    )
    return Answer(values, figures)


def answer_b2(setting: Setting) -> Answer:
    """Train the U-Net with the handout's batch size of 100; show its curves."""
    runs = _trained(setting, "unet")
    rows = read_metrics(runs[0])
    best = min(rows, key=lambda row: row["val_loss"])
    values = training(runs) | {
        "least_val_loss": {"epoch": best["epoch"], "val_loss": best["val_loss"]},
        "first_epoch": {name: rows[0][name] for name in ("train_loss", "val_loss", "val_accuracy")},
    }
    figures = (
        setting.draw("b2-curves", draw_curves(rows)),
        setting.draw(
            "b2-pictures", draw_strips(prediction_strips(open_torch_model(runs[0]), read_samples(runs[0])))
        ),
    )
    return Answer(values, figures)


def answer_b3(setting: Setting) -> Answer:
    """Compare the CNN and the U-Net, trained alike and as in the handout; test why skip connections help."""
    runs = {"CNN": _trained(setting, "cnn"), "U-Net": _trained(setting, "unet")}
    val = setting.pictures().val
    cnn, unet = ([predict(run, val) for run in own] for own in runs.values())
    palette = open_torch_model(runs["CNN"][0]).palette
    grey = palette.read_grey(val.numpy())[:, 0]
    rows = {name: [read_metrics(run) for run in own] for name, own in runs.items()}
    handout = _trained_as_in_handout(setting)
    gain_by_seed = {}
    scored: dict[str, tuple[MetricName, int]] = {"accuracy": ("val_accuracy", 1), "loss": ("val_loss", -1)}
    for name, (key, sign) in scored.items():
        ours, theirs = ([sign * own[-1][key] for own in rows[net]] for net in ("U-Net", "CNN"))
        gains = [one - other for one, other in zip(ours, theirs, strict=True)]
        gain_by_seed[name] = {"gains": gains, "over_seeds": over_seeds(gains)}
    values = {
        "cnn": training(runs["CNN"]),
        "unet": training(runs["U-Net"]),
        "gain_by_seed": gain_by_seed,
        "confounded": handout if isinstance(handout, dict) else training([handout]) | {"diverged": False},
        "truth": appearance(cnn[0].labels, palette),
        "looks": compare_appearance(palette, cnn, unet),
        "places": by_edges(grey, {"cnn": cnn, "unet": unet}),
        "edges_frac": EDGES_FRAC,
        "ablation": compare_variants(rows | _train_ablated(setting), "U-Net"),
        "as_large": {
            "name": LARGE_CNN,
            "parameters": num_parameters(build(_LARGE_CONFIG)),
            "unet": num_parameters(build(UNetConfig())),
        },
    }
    if isinstance(handout, Path):
        rows[f"CNN at rate {_HANDOUT_RATE:g}"] = [read_metrics(handout)]
    figures = (
        setting.draw("b3-curves", _draw_runs(rows)),
        setting.draw(
            "b3-pictures", draw_strips(compare_pictures({name: own[0] for name, own in runs.items()}))
        ),
    )
    return Answer(values, figures)


def _trained_as_in_handout(setting: Setting) -> Path | dict[str, Any]:
    """Return the run of the CNN at the handout's own learning rate; if it diverges, the facts of that."""
    config = comparison_config(setting, "cnn", 0)
    config = replace(config, train=replace(config.train, learning_rate=_HANDOUT_RATE))
    try:
        return setting.trained(f"cnn-rate-{_HANDOUT_RATE:g}", config)
    except DivergedError as error:
        return {"diverged": True, "learning_rate": _HANDOUT_RATE, "why": str(error)}


def _train_ablated(setting: Setting) -> dict[str, list[list[EpochMetrics]]]:
    """Return rows of shorter runs: the U-Net without each of its skips, and a CNN with as many weights."""
    nets = {f"U-Net, no skip at {skip} size": (f"unet-without-{skip}", unet_without(skip)) for skip in SKIPS}
    nets[LARGE_CNN] = ("cnn-as-large", _LARGE_CONFIG)
    rows: dict[str, list[list[EpochMetrics]]] = {}
    for title, (name, net) in nets.items():
        for seed in range(1 if setting.quick else _NUM_SEEDS):
            config = comparison_config(setting, "unet", seed)
            train = replace(config.train, epochs=min(config.train.epochs, _ABLATION_EPOCHS))
            run = setting.trained(f"{name}-seed{seed}", replace(config, net=net, train=train))
            rows.setdefault(title, []).append(read_metrics(run))
    return rows


def compare_pictures(runs: dict[str, Path]) -> Strips:
    """Return rows of the same validation pictures: true, and as the network of each run colours them."""
    predictions, strips = {}, Strips()
    for title, run in runs.items():
        strips = prediction_strips(open_torch_model(run), read_samples(run))
        predictions[title] = strips.pop("Prediction")
    return strips | predictions


def _draw_runs(runs: Mapping[str, Sequence[Sequence[EpochMetrics]]]) -> Drawing:
    """Draw validation loss and accuracy by epoch: means over seeds, bands from least to most."""
    with styled(ON_LIGHT):
        figure = new_figure(10, 3.8)
        left, right = figure.subplots(1, 2)
        for name, seeds in runs.items():
            _draw_band(left, seeds, "val_loss", name)
            _draw_band(right, seeds, "val_accuracy", name)
        # of what is not compared only the last loss, since it may start anywhere
        shown = [rows if name in _COLOURS else rows[-1:] for name, seeds in runs.items() for rows in seeds]
        losses = [row["val_loss"] for rows in shown for row in rows]
        left.set_ylim(0.95 * min(losses), 1.05 * max(losses))
        left.set_title("Validation loss, nats per pixel", loc="left")
        right.set_title("Validation pixels in the right class, %", loc="left")
        left.legend(frameon=False)
    return Drawing(figure, ON_LIGHT)


def _draw_band(axes: Axes, seeds: Sequence[Sequence[EpochMetrics]], key: MetricName, name: str) -> None:
    epochs = [row["epoch"] for row in seeds[0]]
    values = np.array([[row[key] for row in rows] for rows in seeds])
    colour, line = (_COLOURS[name], "-") if name in _COLOURS else (_OTHER_COLOUR, "--")
    axes.fill_between(epochs, values.min(0), values.max(0), color=colour, alpha=0.2, linewidth=0)
    axes.plot(epochs, values.mean(0), line, color=colour, label=name, marker="o", markersize=4, linewidth=1.8)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _draw_confusion(counts: Int64[ndarray, "K K"], palette: Palette) -> Drawing:
    """Draw for each true colour the share of its pixels that get each colour, both from dark to light."""
    order = np.argsort(palette.colours.sum(1), kind="stable")
    shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    swatch: dict[str, Any] = {"linewidth": 0, "clip_on": False}
    with styled(ON_LIGHT):
        figure = new_figure(6.2, 5.6)
        axes = figure.subplots()
        shown = axes.imshow(shares[np.ix_(order, order)], cmap="Greys", vmin=0, vmax=max(1.0, shares.max()))
        for place, colour in enumerate(palette.colours[order].tolist()):
            axes.add_patch(Rectangle((-2.1, place - 0.5), 1.3, 1, color=colour, **swatch))
            axes.add_patch(Rectangle((place - 0.5, len(order) - 0.2), 1, 1.3, color=colour, **swatch))
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        axes.set_xlabel("taken for", labelpad=22)
        axes.set_ylabel("true colour", labelpad=26)
        figure.colorbar(shown, label="% of the true colour's pixels", shrink=0.8)
    return Drawing(figure, ON_LIGHT)


@dataclass(frozen=True)
class BatchSizeRun:
    """One batch size, trained."""

    row: dict[str, Any]
    """The fixed quantity, batch size, epochs, steps and the last scores."""
    run: Path


def answer_b4(setting: Setting) -> Answer:
    """Train with each batch size; show losses, time and pictures.

    At equal epochs a larger batch makes fewer steps; at equal steps it sees more pictures. Only both together
    separate the effect of the batch size from that of the number of steps.
    """
    sizes = _QUICK_BATCH_SIZES if setting.quick else _BATCH_SIZES
    runs = [_train_batches_of(setting, fixed, size) for fixed in _BOTH for size in sizes]
    values = {
        "source": PICTURES,
        "learning_rate": comparison_config(setting, "unet", 0).train.learning_rate,
        "epochs": _QUICK_BATCH_EPOCHS if setting.quick else _BATCH_EPOCHS,
        "steps": _QUICK_STEPS if setting.quick else _STEPS,
        "rows": [one.row for one in runs],
    }
    figures = [setting.draw("b4-curves", _draw_losses(runs))]
    for fixed in _BOTH:
        shown = {f"Batches of {one.row['batch_size']}": one.run for one in runs if one.row["fixed"] == fixed}
        figures.append(setting.draw(f"b4-pictures-{fixed}", draw_strips(compare_pictures(shown))))
    return Answer(values, tuple(figures))


def _train_batches_of(setting: Setting, fixed: Fixed, batch_size: int) -> BatchSizeRun:
    """Train with one batch size, or reuse its run; if the epochs make just the steps, both share a run."""
    num, config = len(setting.pictures().train), comparison_config(setting, "unet", 0)
    epochs, steps = (_QUICK_BATCH_EPOCHS, _QUICK_STEPS) if setting.quick else (_BATCH_EPOCHS, _STEPS)
    steps_an_epoch = -(-num // batch_size)
    if fixed == "epochs" or steps == epochs * steps_an_epoch:
        steps = 0
    train = replace(config.train, batch_size=batch_size, epochs=epochs, steps=steps)
    name = f"batch-{batch_size}-{f'steps-{steps}' if steps else f'epochs-{epochs}'}"
    announce(name)
    run = setting.trained(name, replace(config, train=train))
    last = read_metrics(run)[-1]
    whole, rest = divmod(last["step"], steps_an_epoch)
    row = {"fixed": fixed, "batch_size": batch_size, "epochs": whole + rest * batch_size / num}
    names: tuple[MetricName, ...] = get_args(MetricName)
    scores = {key: last[key] for key in names}
    return BatchSizeRun(row | {"steps": last["step"]} | scores, run)


def _draw_losses(runs: Sequence[BatchSizeRun]) -> Drawing:
    """Draw the training loss by epoch at equal epochs, and by step at equal steps."""
    with styled(ON_LIGHT):
        figure = new_figure(11, 3.9)
        for axes, fixed in zip(figure.subplots(1, 2), _BOTH, strict=True):
            own = [one for one in runs if one.row["fixed"] == fixed]
            colours = matplotlib.colormaps["viridis"].resampled(len(own) + 1)
            for index, one in enumerate(own):
                steps, losses, start = [], [], 0
                for epoch in read_metrics(one.run):  # each piece of an epoch at its middle step
                    num, length = len(epoch["losses"]), epoch["step"] - start
                    steps += [start + (place + 0.5) * length / num for place in range(num)]
                    losses += epoch["losses"]
                    start = epoch["step"]
                scale = one.row["epochs"] / start if fixed == "epochs" else 1
                x, label = [step * scale for step in steps], str(one.row["batch_size"])
                axes.plot(x, losses, color=colours(index), label=label)
            axes.set_xlabel(fixed[:-1])
            axes.set_title(f"Training loss at equal {fixed}, nats per pixel", loc="left")
        axes.legend(frameon=False, fontsize=9, title="batch", ncols=2)
    return Drawing(figure, ON_LIGHT)
