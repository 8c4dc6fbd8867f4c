"""Questions A2, B2, B3 and B4: the CNN and the U-Net trained alike and compared; batch sizes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import matplotlib
import numpy as np
from matplotlib.patches import Rectangle
from numpy import ndarray

from pixelwise.colour.arrays import Int64
from pixelwise.colour.palette import Palette
from pixelwise.errors import DivergedError
from pixelwise.lab import outcomes
from pixelwise.lab.answer import PICTURES, Answer, Setting
from pixelwise.lab.networks import SKIPS, num_parameters, unet_without
from pixelwise.labels.confusion import Confusion
from pixelwise.network.config import (
    HANDOUT_CONFIGS,
    CNNConfig,
    EpochMetrics,
    MetricName,
    NetConfig,
    RunConfig,
    TrainConfig,
    UNetConfig,
)
from pixelwise.progress import announce
from pixelwise.report import figures
from pixelwise.report.figures import ON_LIGHT, Drawing, Strips, draw_strips, new_drawing
from pixelwise.training.evaluation import evaluate
from pixelwise.training.models import build
from pixelwise.training.report import prediction_strips
from pixelwise.training.runs import open_torch_model, read_metrics
from pixelwise.training.shapes import Bytes

MetricsBySeed = dict[str, list[list[EpochMetrics]]]  # network -> the rows of each seed
_Runs = dict[str, dict[int, list[Path]]]  # what is fixed -> batch size -> the run of each seed
_TITLES = {"cnn": "CNN", "unet": "U-Net"}
_EPOCHS, _QUICK_EPOCHS = 25, 2
_LARGE_CNN = "CNN, as many weights"
_LARGE_CONFIG = CNNConfig(num_filters=37)  # about as many weights as the U-Net has
_NUM_SEEDS, _NUM_QUICK_SEEDS = 3, 2
_ABLATION_EPOCHS, _QUICK_ABLATION_EPOCHS = 5, 1  # enough to order the variants
_HANDOUT_BATCH = 100
_RATE, _HANDOUT_RATE = 0.001, 0.3  # our learning rate, which is the handout's for the U-Net; its for the CNN
_COLOURS = {"CNN": ON_LIGHT.train, "U-Net": ON_LIGHT.val}
_OTHER_COLOUR = "#767676"
# Batch sizes by what is fixed, each about three times the one before. Equal steps are those of the epochs at
# the handout's size, so that both share these runs; a step on more pictures takes too long for them.
_BATCH_SIZES, _BATCH_EPOCHS = {"epochs": (10, 30, 100, 300, 1000), "steps": (10, 30, 100)}, 3
_QUICK_BATCH_SIZES, _QUICK_BATCH_EPOCHS = {"epochs": (50, 100, 500), "steps": (50, 100)}, 1
_BATCH_SEEDS, _QUICK_BATCH_FILTERS = 3, 8


def train_alike(setting: Setting, name: str, net: NetConfig, seed: int = 0, **changes: Any) -> Path:
    """Train a network as the handout does its U-Net, but for changes; return the folder of the run."""
    options: dict[str, Any] = {
        "epochs": _QUICK_EPOCHS if setting.quick else _EPOCHS,
        "batch_size": _HANDOUT_BATCH,
        "learning_rate": _RATE,
        "precision": setting.precision,
        "seed": setting.seed_of(seed),
    }
    train = TrainConfig(**options | changes)
    return setting.trained(name, RunConfig(net=net, source=PICTURES, train=train))


def _trained(setting: Setting, net: str) -> list[Path]:
    """Return finished runs of `cnn` or `unet`, one for each seed; questions share them."""
    seeds = range(_NUM_QUICK_SEEDS if setting.quick else _NUM_SEEDS)
    return [train_alike(setting, f"{net}-seed{seed}", HANDOUT_CONFIGS[net](), seed) for seed in seeds]


def answer_a2(setting: Setting) -> Answer:
    """Train the CNN; show curves, pictures, which colours it confuses, and where it fails."""
    runs, pictures = _trained(setting, "cnn"), setting.pictures()
    model = open_torch_model(runs[0])
    palette, grey = model.palette, model.palette.read_grey(pictures.val.numpy())[:, 0]
    labels, predicted = palette.encode(pictures.val.numpy()), outcomes.predict(runs[0], pictures.val)
    rows = len(labels), -1
    confusion = Confusion.of(predicted.reshape(rows), labels.reshape(rows), palette.num_classes)
    scores = evaluate(model, pictures, setting.seed)
    values = outcomes.training(runs) | {
        "scores": {
            method.replace(" ", "_"): {name: score.to_dict() for name, score in found.items()}
            for method, found in scores.items()
        },
        "looks": {
            "truth": outcomes.appearance(labels, palette),
            "prediction": outcomes.appearance(predicted, palette),
        },
        "colours": outcomes.by_colour(confusion, palette),
        "places": outcomes.by_edges(grey, labels, {"prediction": [predicted]}),
        "handouts_rate": _HANDOUT_RATE,
    }
    drawn = [
        setting.draw("a2-curves", figures.draw_curves(read_metrics(runs[0]))),
        setting.draw("a2-pictures", draw_strips(prediction_strips(runs[0]))),
        setting.draw("a2-confusion", _draw_confusion(confusion.counts, palette)),
    ]
    return Answer(values, drawn)


def answer_b2(setting: Setting) -> Answer:
    """Train the U-Net with the handout's batch size of 100; show its curves."""
    runs = _trained(setting, "unet")
    rows = read_metrics(runs[0])
    best = min(rows, key=lambda row: row["val_loss"])
    values = outcomes.training(runs) | {
        "least_val_loss": {"epoch": best["epoch"], "val_loss": best["val_loss"]},
        "first_epoch": {name: rows[0][name] for name in ("train_loss", "val_loss", "val_accuracy")},
    }
    drawn = [
        setting.draw("b2-curves", figures.draw_curves(rows)),
        setting.draw("b2-pictures", draw_strips(prediction_strips(runs[0]))),
    ]
    return Answer(values, drawn)


def answer_b3(setting: Setting) -> Answer:
    """Compare the CNN and the U-Net, trained alike and as in the handout; test why skip connections help."""
    runs = {"cnn": _trained(setting, "cnn"), "unet": _trained(setting, "unet")}
    rows = {_TITLES[net]: [read_metrics(run) for run in own] for net, own in runs.items()}
    handout, handout_rows = _train_as_in_handout(setting)
    values = {net: outcomes.training(own) for net, own in runs.items()} | {
        "gain_by_seed": {
            "accuracy": _gain_of_unet(rows, "val_accuracy", 1),
            "loss": _gain_of_unet(rows, "val_loss", -1),
        },
        "epochs_to_cnn": [
            next((row["epoch"] for row in unet if row["val_loss"] <= cnn[-1]["val_loss"]), None)
            for cnn, unet in zip(rows["CNN"], rows["U-Net"], strict=True)
        ],
        "confounded": handout,
        "edges_frac": outcomes.EDGES_FRAC,
        "ablation": outcomes.compare_variants(rows | _train_ablated(setting), "U-Net"),
        "as_large": {
            "name": _LARGE_CNN,
            "parameters": num_parameters(build(_LARGE_CONFIG)),
            "unet": num_parameters(build(UNetConfig())),
        },
    }
    firsts = {_TITLES[net]: own[0] for net, own in runs.items()}
    drawn = [
        setting.draw("b3-curves", _draw_runs(rows | handout_rows)),
        setting.draw("b3-pictures", draw_strips(compare_pictures(firsts))),
    ]
    return Answer(values | _see(runs, setting.pictures().val), drawn)


def _see(runs: dict[str, list[Path]], val: Bytes) -> dict[str, Any]:
    """Return what can be seen in the pictures of two networks, and where their pixels are right."""
    palette = open_torch_model(runs["cnn"][0]).palette
    grey, labels = palette.read_grey(val.numpy())[:, 0], palette.encode(val.numpy())
    predicted = {net: [outcomes.predict(run, val) for run in own] for net, own in runs.items()}
    seen = {net: [outcomes.appearance(classes, palette) for classes in own] for net, own in predicted.items()}
    return {
        "truth": outcomes.appearance(labels, palette),
        "looks": {
            name: outcomes.compare({net: [picture[name] for picture in own] for net, own in seen.items()})
            for name in ("borders", "chroma")
        },
        "places": outcomes.by_edges(grey, labels, predicted),
    }


def _gain_of_unet(rows: MetricsBySeed, column: MetricName, sign: int) -> dict[str, Any]:
    """Return by how much the U-Net is better in a column at the end, seed by seed; less is with sign -1."""
    unet, cnn = ([seed[-1][column] for seed in rows[net]] for net in ("U-Net", "CNN"))
    gains = (sign * np.subtract(unet, cnn)).tolist()
    return {"gains": gains, "over_seeds": outcomes.over_seeds(gains)}


def _train_as_in_handout(setting: Setting) -> tuple[dict[str, Any], MetricsBySeed]:
    """Return the scores and rows of the CNN at the handout's own learning rate, or that it diverges."""
    try:
        run = train_alike(setting, f"cnn-rate-{_HANDOUT_RATE:g}", CNNConfig(), learning_rate=_HANDOUT_RATE)
    except DivergedError as error:
        return {"diverged": True, "learning_rate": _HANDOUT_RATE, "why": str(error)}, {}
    rows = {f"CNN at rate {_HANDOUT_RATE:g}": [read_metrics(run)]}
    return outcomes.training([run]) | {"diverged": False}, rows


def _train_ablated(setting: Setting) -> MetricsBySeed:
    """Return rows of shorter runs: the U-Net without each of its skips, and a CNN with as many weights."""
    nets = {f"U-Net, no skip at {skip} size": (f"unet-without-{skip}", unet_without(skip)) for skip in SKIPS}
    nets[_LARGE_CNN] = ("cnn-as-large", _LARGE_CONFIG)
    epochs, num_seeds = (_QUICK_ABLATION_EPOCHS, 1) if setting.quick else (_ABLATION_EPOCHS, _NUM_SEEDS)
    rows: MetricsBySeed = {}
    for title, (name, net) in nets.items():
        for seed in range(num_seeds):
            run = train_alike(setting, f"{name}-seed{seed}", net, seed, epochs=epochs)
            rows.setdefault(title, []).append(read_metrics(run))
    return rows


def compare_pictures(runs: dict[str, Path]) -> Strips:
    """Return rows of the same validation pictures: true, and as the network of each run colours them."""
    predictions, strips = {}, Strips()
    for title, run in runs.items():
        strips = prediction_strips(run)
        predictions[title] = strips.pop("Prediction")
    return strips | predictions


def _draw_runs(runs: MetricsBySeed) -> Drawing:
    with new_drawing(10, 3.8) as drawing:
        left, right = drawing.figure.subplots(1, 2)
        for name, seeds in runs.items():
            colour, line = (_COLOURS[name], "-") if name in _COLOURS else (_OTHER_COLOUR, "--")
            figures.draw_by_epoch(left, seeds, "val_loss", colour, name, line)
            figures.draw_by_epoch(right, seeds, "val_accuracy", colour, name, line)
        # of what is not compared only the last loss, since it may start anywhere
        shown = [rows if name in _COLOURS else rows[-1:] for name, seeds in runs.items() for rows in seeds]
        losses = [row["val_loss"] for rows in shown for row in rows]
        left.set_ylim(0.95 * min(losses), 1.05 * max(losses))
        left.set_title("Validation loss, nats per pixel", loc="left")
        right.set_title("Validation pixels in the right class, %", loc="left")
        left.legend(frameon=False)
    return drawing


def _draw_confusion(counts: Int64[ndarray, "K K"], palette: Palette) -> Drawing:
    """Draw for each true colour the share of its pixels that get each colour, both from dark to light."""
    order = np.argsort(palette.colours.sum(1), kind="stable")
    shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    swatch: dict[str, Any] = {"linewidth": 0, "clip_on": False}
    with new_drawing(6.2, 5.6) as drawing:
        axes = drawing.figure.subplots()
        shown = axes.imshow(shares[np.ix_(order, order)], cmap="Greys", vmin=0, vmax=max(1.0, shares.max()))
        for place, colour in enumerate(palette.colours[order].tolist()):
            axes.add_patch(Rectangle((-2.1, place - 0.5), 1.3, 1, color=colour, **swatch))
            axes.add_patch(Rectangle((place - 0.5, len(order) - 0.2), 1, 1.3, color=colour, **swatch))
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        axes.set_xlabel("taken for", labelpad=22)
        axes.set_ylabel("true colour", labelpad=26)
        drawing.figure.colorbar(shown, label="% of the true colour's pixels", shrink=0.8)
    return drawing


def answer_b4(setting: Setting) -> Answer:
    """Train with each batch size and several seeds; show losses, time and pictures.

    At equal epochs a larger batch makes fewer steps; at equal steps it sees more pictures. Only both together
    separate the effect of the batch size from that of the number of steps.
    """
    sizes = _QUICK_BATCH_SIZES if setting.quick else _BATCH_SIZES
    epochs = _QUICK_BATCH_EPOCHS if setting.quick else _BATCH_EPOCHS
    net = UNetConfig(num_filters=_QUICK_BATCH_FILTERS) if setting.quick else UNetConfig()
    pictures = setting.pictures()
    num = len(pictures.train)
    lengths = {"epochs": epochs, "steps": epochs * -(-num // _HANDOUT_BATCH)}
    runs: _Runs = {
        fixed: {size: _train_batches_of(setting, net, size, fixed, lengths) for size in own}
        for fixed, own in sizes.items()
    }
    values = {
        "source": PICTURES,
        "learning_rate": _RATE,
        "lengths": lengths,
        "num_seeds": _BATCH_SEEDS,
        "num_filters": net.num_filters,
        "rows": [
            {"fixed": fixed, "batch_size": size}
            | _end_of_batches(own, size, num)
            | _look_of(own[0], pictures.val)
            for fixed, by_size in runs.items()
            for size, own in by_size.items()
        ],
        "smallest_above_largest": {
            fixed: outcomes.over_seeds(
                np.subtract(_last(by_size[min(by_size)]), _last(by_size[max(by_size)]))
            )
            for fixed, by_size in runs.items()
        },
    }
    drawn = [setting.draw("b4-curves", _draw_losses(runs))]
    for fixed, by_size in runs.items():
        strips = compare_pictures({f"Batches of {size}": own[0] for size, own in by_size.items()})
        shown = dict([*strips.items()][2:])  # grey pictures and true ones stand in B3
        drawn.append(setting.draw(f"b4-pictures-{fixed}", draw_strips(shown)))
    return Answer(values, drawn)


def _train_batches_of(
    setting: Setting, net: UNetConfig, size: int, fixed: str, lengths: dict[str, int]
) -> list[Path]:
    """Train with each seed on batches of one size for the epochs or steps that are fixed; return the runs."""
    unit = "epochs" if size == _HANDOUT_BATCH else fixed  # these epochs are these steps
    name, options = f"batch-{size}-{unit}", {"batch_size": size, unit: lengths[unit]}
    announce(f"batches of {size}, {lengths[unit]} {unit}")
    seeds = range(_BATCH_SEEDS)
    return [train_alike(setting, f"{name}-seed{seed}", net, seed, **options) for seed in seeds]


def _look_of(run: Path, val: Bytes) -> dict[str, Any]:
    """Return how a network's pictures look: their detail and colourfulness."""
    return {"looks": outcomes.appearance(outcomes.predict(run, val), open_torch_model(run).palette)}


def _last(runs: Sequence[Path], name: MetricName = "val_loss") -> list[float]:
    """Return a score of runs at their end."""
    return [read_metrics(run)[-1][name] for run in runs]


def _end_of_batches(runs: Sequence[Path], batch_size: int, num: int) -> dict[str, Any]:
    """Return the steps and epochs of runs that differ in their seed alone, and their scores over seeds."""
    steps, names = read_metrics(runs[0])[-1]["step"], get_args(MetricName)
    whole, rest = divmod(steps, -(-num // batch_size))
    scores = {name: outcomes.over_seeds(_last(runs, name)) for name in names}
    return {"steps": steps, "epochs": whole + rest * batch_size / num} | scores


def _draw_losses(runs: _Runs) -> Drawing:
    with new_drawing(11, 3.9) as drawing:
        for axes, (fixed, by_size) in zip(drawing.figure.subplots(1, 2), runs.items(), strict=True):
            colours = matplotlib.colormaps["viridis"].resampled(len(by_size) + 1)
            for index, (size, own) in enumerate(by_size.items()):
                rows = read_metrics(own[0])
                x, _ = figures.loss_pieces(rows)
                if fixed == "steps":
                    x = np.interp(x, range(len(rows) + 1), [0, *(epoch["step"] for epoch in rows)]).tolist()
                losses = np.mean([figures.loss_pieces(read_metrics(run))[1] for run in own], axis=0)
                axes.plot(x, losses, color=colours(index), label=str(size))
            axes.set_xlabel(fixed[:-1])
            axes.set_title(f"Training loss at equal {fixed}, nats per pixel", loc="left")
        drawing.figure.axes[0].legend(frameon=False, fontsize=9, title="batch", ncols=2)
    return drawing
