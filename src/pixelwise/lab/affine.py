"""Question A4: every pixel x becomes ax + b, for a trained network and for one that is trained on it.

With the statistics of the batch, a network that reads ax + b is the network that reads x with three things of
its first block changed: the sign of its weights, the padding, and the epsilon of its batch norm. That is
`equivalent`, exact for every a but 0; the algebra is in the writeup's `a4.typ`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelwise.lab.answer import PICTURES, Answer, Setting
from pixelwise.lab.colouring import train_alike
from pixelwise.lab.outcomes import mean, over_seeds
from pixelwise.network.config import HANDOUT_CONFIGS, CNNConfig
from pixelwise.progress import progress
from pixelwise.report.figures import Drawing, new_drawing
from pixelwise.training.evaluation import PixelScore
from pixelwise.training.models import build
from pixelwise.training.models.handout import CNN
from pixelwise.training.recipes import recipe
from pixelwise.training.runs import open_torch_model
from pixelwise.training.shapes import Grey, Labels, Logits

_SCALES, _SHIFTS = (-2.0, -1.0, -0.5, 0.01, 0.1, 0.5, 1.0, 2.0, 10.0), (-1.0, -0.5, 0.0, 0.5, 1.0)
_QUICK_SCALES, _QUICK_SHIFTS = (-1.0, 0.1, 0.5, 1.0, 2.0), (-0.5, 0.0, 0.5)
_AFFINES = {
    "cnn": ((2.0, 0.0), (0.01, 0.0), (0.5, 0.5), (1.0, 1.0), (0.1, 1.0), (-1.0, 1.0)),
    "unet": ((2.0, 0.0), (-1.0, 1.0)),
}
_QUICK_AFFINES = {"cnn": ((2.0, 0.0), (0.5, 0.5), (0.1, 1.0)), "unet": ((2.0, 0.0),)}
_NUM_SEEDS, _QUICK_SEEDS = 3, 2
_CHANGES: dict[str, Any] = {"precision": "fp32", "crop_frac": 0.0}
_QUICK_CHANGES = _CHANGES | {"num_filters": 8, "batch_size": 48}  # enough steps for the stored statistics
_EXACT = 1e-6  # of a standard deviation of the logits; rounding of fp64 stays below
_NUM_PICTURES, _QUICK_PICTURES, _NUM_EXACT, _BATCH = 300, 50, 16, 100
_EXACT_STEPS, _EXACT_BATCH = 5, 4  # of networks that are trained in fp64, which is slow
_NO_EPSILON = 1e-25  # a factor that stands for 0, which torch refuses
Accuracy = Callable[[CNN], float]  # right pixels in per cent


def answer_a4(setting: Setting) -> Answer:
    """Measure networks on ax + b: trained on x, and trained anew; which cases are exact and which are not."""
    runs = [train_alike(setting, f"{net}-seed0", config()) for net, config in HANDOUT_CONFIGS.items()]
    models = [*map(open_torch_model, runs)]
    cnn, unet = (cast(CNN, model.net) for model in models)
    val = setting.pictures().val
    images = val[:: max(1, len(val) // (_QUICK_PICTURES if setting.quick else _NUM_PICTURES))]
    palette, codes = models[0].palette, images.numpy()
    grey, labels = torch.from_numpy(palette.read_grey(codes)), torch.from_numpy(palette.encode(codes))

    def accuracy(net: CNN) -> float:
        return PixelScore.of(logits_of(net, grey), labels).accuracy

    grid = _grid(cnn, accuracy, setting.quick)
    values = {
        "network": {"accuracy": accuracy(cnn), "num_pictures": len(grey)},
        "grid": grid,
        "claims": {"rows": check_claims(cnn, unet, grey[:_NUM_EXACT], labels[:_NUM_EXACT].long())},
        "retrained": _retrain(setting, accuracy),
    }
    return Answer(values, [setting.draw("a4-grid", _draw_grid(grid))])


def _grid(cnn: CNN, accuracy: Accuracy, quick: bool) -> dict[str, Any]:
    scales, shifts = (_QUICK_SCALES, _QUICK_SHIFTS) if quick else (_SCALES, _SHIFTS)
    grid: dict[str, Any] = {"a": scales, "b": shifts, "stored": [], "batch": []}
    with progress("reading a x + b", 2 * len(shifts) * len(scales)) as advance:
        for name, net in (("stored", cnn), ("batch", _on_batch(cnn))):
            for b in shifts:
                grid[name].append([accuracy(reading(net, a, b)) for a in scales])
                advance(len(scales), f"b = {b:g}")
    return grid


def check_claims(cnn: CNN, unet: CNN, grey: Grey, labels: Labels) -> list[dict[str, Any]]:
    """Return what is exact and what is not, in fp64: the largest difference of logits, in deviations."""
    grey, stored, skipping = grey.double(), copy.deepcopy(cnn).double(), copy.deepcopy(unet).double()
    batch = _on_batch(stored)
    no_epsilon = with_first_block(batch, epsilon=_NO_EPSILON)
    skips = with_first_block(_on_batch(skipping), epsilon=_NO_EPSILON)
    fresh = with_first_block(_fresh(cnn.config), epsilon=_NO_EPSILON)
    on_x = _trained_on(fresh, 1, 0, grey, labels)
    found = []
    for name, net, other in (
        ("trained_factor", _trained_on(fresh, 2, 0, grey, labels), on_x),
        ("trained_shift", _trained_on(fresh, 1, 1, grey, labels), on_x),
        ("trained_negative", _trained_on(fresh, -1, 0, grey, labels), on_x),
        ("factor", reading(no_epsilon, 2, 0), no_epsilon),
        ("factor_with_epsilon", reading(batch, 0.01, 0), batch),
        ("shift_padded_with_b", with_first_block(reading(no_epsilon, 1, 1), padding=1), no_epsilon),
        ("shift_padded_with_0", reading(no_epsilon, 1, 1), no_epsilon),
        ("negative", reading(no_epsilon, -1, 0), no_epsilon),
        ("negative_repaired", _with_least_pooled(reading(no_epsilon, -1, 0)), no_epsilon),
        ("equivalent", reading(batch, -0.7, 0.4), equivalent(batch, -0.7, 0.4)),
        ("stored_factor", reading(stored, 2, 0), stored),
        ("stored_shift", with_first_block(reading(stored, 1, 1), padding=1), stored),
        ("skip", reading(skips, 2, 0), skips),
        ("skip_reads_x", skip_reads_x(skips, 2, 0), skips),
    ):
        wanted = logits_of(other, grey)
        difference = float((logits_of(net, grey) - wanted).abs().max() / wanted.std())
        found.append({"name": name, "difference": difference, "exact": difference < _EXACT})
    return found


def _fresh(config: CNNConfig) -> CNN:
    """Return a network in fp64 whose stored statistics forget how they began: means over all batches."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = cast(CNN, build(config)).double()
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None
    return net


def _trained_on(net: CNN, a: float, b: float, grey: Grey, labels: Labels) -> CNN:
    """Return a network after steps of Adam on ax + b, with the statistics that it stored meanwhile."""
    grey, labels = grey[:_EXACT_BATCH], labels[:_EXACT_BATCH]
    net = reading(net, a, b).train()
    adam = torch.optim.Adam(net.parameters())
    for _ in range(_EXACT_STEPS):
        adam.zero_grad()
        F.cross_entropy(net(grey), labels).backward()
        adam.step()
    return net.eval()


def _retrain(setting: Setting, accuracy: Accuracy) -> dict[str, Any]:
    """Train both networks on ax + b by the recipe `fast`; return accuracies and differences to x by seed.

    `fed` is the accuracy on ax + b of the networks that were trained on x. Seeds draw initial weights and
    batches, the same for every a and b, so differences are taken seed by seed. Pictures are whole, since
    crops have a larger share of border pixels, and convolutions in fp32, since bf16 has too few digits for
    pictures far from 0.
    """
    changes = _QUICK_CHANGES if setting.quick else _CHANGES
    num_seeds = _QUICK_SEEDS if setting.quick else _NUM_SEEDS
    found: dict[str, Any] = {"recipe": "fast", "changes": changes, "num_seeds": num_seeds}
    for net, affines in (_QUICK_AFFINES if setting.quick else _AFFINES).items():
        rows, on_x = list[dict[str, Any]](), list[CNN]()
        for a, b in ((1.0, 0.0), *affines):
            name, stored = f"{a:g}x{b:+g}", []
            for seed in range(num_seeds):
                options = changes | {"scale": a, "shift": b, "seed": setting.seed_of(seed)}
                config = recipe("fast", net, PICTURES, **options)
                run = setting.trained(f"affine-{net}-{name}-seed{seed}", config)
                stored.append(cast(CNN, open_torch_model(run).net))
            on_x = on_x or stored
            fed = mean([accuracy(reading(one, a, b)) for one in on_x])
            row: dict[str, Any] = {"a": a, "b": b, "fed": fed}
            for kind, nets in (("stored", stored), ("batch", map(_on_batch, stored))):
                scores = [*map(accuracy, nets)]
                row[kind] = {"accuracy": scores, "mean": mean(scores)}
                if rows:
                    row[kind]["difference"] = over_seeds(np.subtract(scores, rows[0][kind]["accuracy"]))
            rows.append(row)
        found[net] = {"on_x": rows[0], "rows": rows[1:]}
    return found


def _draw_grid(grid: dict[str, Any]) -> Drawing:
    high = np.max([grid["stored"], grid["batch"]])
    with new_drawing(11, 0.5 * len(grid["b"]) + 1.5) as drawing:
        left, right = drawing.figure.subplots(1, 2, sharey=True)
        left.set_title("Statistics as stored", loc="left")
        right.set_title("Statistics of the batch", loc="left")
        for axes, name in ((left, "stored"), (right, "batch")):
            axes.imshow(grid[name], cmap="cividis", vmin=0, vmax=high, aspect="auto", origin="lower")
            for (row, column), value in np.ndenumerate(grid[name]):
                colour = "white" if value < 0.6 * high else "black"
                axes.text(column, row, f"{value:.0f}", ha="center", va="center", color=colour)
            axes.set_xticks(range(len(grid["a"])), [f"{a:g}" for a in grid["a"]])
            axes.set_yticks(range(len(grid["b"])), [f"{b:g}" for b in grid["b"]])
            axes.set_xlabel("a")
            axes.grid(False)
        left.set_ylabel("b")
        title = "Right pixels, %, of the trained CNN on ax + b"
        drawing.figure.suptitle(title, fontsize=11, x=0.02, ha="left")
    return drawing


def _on_batch(net: CNN) -> CNN:
    """Return a network that uses the mean and variance of the batch, as in training."""
    return copy.deepcopy(net).train()


def reading(net: CNN, a: float, b: float) -> CNN:
    """Return a network that turns every pixel x into ax + b before the first layer."""
    net = copy.deepcopy(net)
    net.config = replace(net.config, scale=a, shift=b)
    return net


@torch.no_grad()
def with_first_block(net: CNN, sign: float = 1, padding: float = 0, epsilon: float = 1) -> CNN:
    """Return a network whose first block has its weights times a sign, pads with a value, and scales epsilon.

    It subtracts the value, pads with 0, and adds the response of its weights to the value to the bias.
    """
    net = copy.deepcopy(net)
    conv, _, norm, _ = cast(Any, net.down1)
    conv.weight.mul_(sign)
    conv.register_forward_pre_hook(lambda _, inputs: inputs[0] - padding)
    conv.bias.add_(conv.weight.sum((1, 2, 3)), alpha=padding)
    norm.eps *= epsilon
    return net


def equivalent(net: CNN, a: float, b: float) -> CNN:
    """Return the network that gives on x what `net` gives on ax + b, with the statistics of the batch.

    The U-Net's skip from the picture is left out: exact for the CNN, and for `skip_reads_x`.
    """
    return with_first_block(net, math.copysign(1, a), -b / a, 1 / a**2)


@torch.no_grad()
def _with_least_pooled(net: CNN) -> CNN:
    """Return a network whose first block pools the least value of each window, and has gamma negated."""
    net = copy.deepcopy(net)
    _, pool, norm, _ = cast(Any, net.down1)
    pool.register_forward_pre_hook(lambda _, inputs: -inputs[0])
    pool.register_forward_hook(lambda _, _inputs, output: -output)
    norm.weight.neg_()
    return net


def skip_reads_x(net: CNN, a: float, b: float) -> CNN:
    """Return a U-Net that reads ax + b, but x through the skip from the picture to the last convolution."""
    net = reading(net, a, b)

    def undo(_: nn.Module, inputs: tuple[Tensor]) -> Tensor:
        below, picture = inputs[0].split(net.config.num_colours, 1)
        return torch.cat([below, (picture - b) / a], 1)

    net.classes.register_forward_pre_hook(undo)
    return net


@torch.inference_mode()
def logits_of(net: CNN, grey: Grey) -> Logits:
    """Return logits of pictures in batches, whose statistics a network may use."""
    return torch.cat([net(batch) for batch in grey.split(_BATCH)])
