"""Questions A2, B2 and B3: the CNN and the U-Net trained alike and compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

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
from pixelwise.lab.outcomes import compare_variants, over_seeds, training
from pixelwise.lab.pixels import EDGES_FRAC, appearance, by_colour, by_edges, compare_appearance, predict
from pixelwise.labels.confusion import Confusion
from pixelwise.network.config import HANDOUT_CONFIGS, CNNConfig, RunConfig, TrainConfig, UNetConfig
from pixelwise.network.models import build
from pixelwise.network.runs import Row, open_model, read_metrics, read_samples
from pixelwise.report.figures import ON_LIGHT, Drawing, Strip, draw_curves, draw_strips, new_figure, styled
from pixelwise.report.run import compare

EPOCHS, QUICK_EPOCHS = 25, 2
LARGE_CNN = "CNN, as many weights"
_LARGE_CONFIG = CNNConfig(num_filters=37)  # about as many weights as the U-Net has
_NUM_SEEDS, _NUM_QUICK_SEEDS = 3, 2
_ABLATION_EPOCHS = 5  # enough to order the variants
_HANDOUT_RATE = 0.3  # the handout's learning rate for the CNN
_COLOURS = {"CNN": ON_LIGHT.train, "U-Net": ON_LIGHT.val}
_OTHER_COLOUR = "#767676"


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
    model = open_model(runs[0])
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
        "places": by_edges(palette.read_grey(pictures.val)[:, 0].numpy(), {"prediction": [found]}),
        "handouts_rate": _HANDOUT_RATE,
    }
    figures = (
        setting.draw("a2-curves", draw_curves(read_metrics(runs[0]))),
        setting.draw("a2-pictures", draw_strips(compare(model, read_samples(runs[0])))),
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
        setting.draw("b2-pictures", draw_strips(compare(open_model(runs[0]), read_samples(runs[0])))),
    )
    return Answer(values, figures)


def answer_b3(setting: Setting) -> Answer:
    """Compare the CNN and the U-Net, trained alike and as in the handout; test why skip connections help."""
    runs = {"CNN": _trained(setting, "cnn"), "U-Net": _trained(setting, "unet")}
    val = setting.pictures().val
    cnn, unet = ([predict(run, val) for run in own] for own in runs.values())
    palette = open_model(runs["CNN"][0]).palette
    grey = palette.read_grey(val)[:, 0].numpy()
    rows = {name: [read_metrics(run) for run in own] for name, own in runs.items()}
    handout = _trained_as_in_handout(setting)
    gain_by_seed = {}
    for name, sign in (("accuracy", 1), ("loss", -1)):
        ours, theirs = ([sign * own[-1][f"val_{name}"] for own in rows[net]] for net in ("U-Net", "CNN"))
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


def _train_ablated(setting: Setting) -> dict[str, list[list[Row]]]:
    """Return rows of shorter runs: the U-Net without each of its skips, and a CNN with as many weights."""
    nets = {f"U-Net, no skip at {skip} size": (f"unet-without-{skip}", unet_without(skip)) for skip in SKIPS}
    nets[LARGE_CNN] = ("cnn-as-large", _LARGE_CONFIG)
    rows: dict[str, list[list[Row]]] = {}
    for title, (name, net) in nets.items():
        for seed in range(1 if setting.quick else _NUM_SEEDS):
            config = comparison_config(setting, "unet", seed)
            train = replace(config.train, epochs=min(config.train.epochs, _ABLATION_EPOCHS))
            run = setting.trained(f"{name}-seed{seed}", replace(config, net=net, train=train))
            rows.setdefault(title, []).append(read_metrics(run))
    return rows


def compare_pictures(runs: dict[str, Path]) -> list[Strip]:
    """Return rows of the same validation pictures: true, and as the network of each run colours them."""
    strips: list[Strip] = []
    for title, run in runs.items():
        *above, prediction = compare(open_model(run), read_samples(run))
        strips = strips or above
        strips.append(replace(prediction, title=title))
    return strips


def _draw_runs(runs: Mapping[str, Sequence[Sequence[Row]]]) -> Drawing:
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


def _draw_band(axes: Axes, seeds: Sequence[Sequence[Row]], key: str, name: str) -> None:
    epochs = [row["epoch"] for row in seeds[0]]
    values = np.array([[row[key] for row in rows] for rows in seeds])
    colour, line = (_COLOURS[name], "-") if name in _COLOURS else (_OTHER_COLOUR, "--")
    axes.fill_between(epochs, values.min(0), values.max(0), color=colour, alpha=0.2, linewidth=0)
    axes.plot(epochs, values.mean(0), line, color=colour, label=name, marker="o", markersize=4, linewidth=1.8)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _draw_confusion(counts: Int64[ndarray, "K K"], palette: Palette) -> Drawing:
    """Draw for each true colour the share of its pixels that get each colour, both from dark to light."""
    order = np.argsort(palette.colours.sum(1).numpy(), kind="stable")
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
