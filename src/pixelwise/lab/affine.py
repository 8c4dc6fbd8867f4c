"""Question A4: every pixel x becomes ax + b, for a trained network and for one that is trained on it.

The first block is convolution W with bias c, max pooling, batch norm (gamma, beta, epsilon), ReLU. Let u be W
on x where x is padded with -b/a. If the network reads y = ax + b, padded with 0, the convolution gives a u
plus a constant of each filter, since a (-b/a) + b = 0. Pooling that gives |a| p plus the constant, where p is
u, times the sign of a, pooled. Batch norm with the statistics of the batch removes the constant and leaves

    gamma (p - mean p) / sqrt(var p + epsilon / a^2) + beta

So a network that reads ax + b is the network that reads x with three things changed: the sign of W, the
padding, and epsilon. That is `equivalent`, exact for every a but 0; all that question A4 asks follows.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, cast

import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from pixelwise.colour.shapes import Grey, Logits
from pixelwise.evaluate.pictures import PixelScore
from pixelwise.lab.answer import PICTURES, Answer, Setting
from pixelwise.lab.colouring import comparison_config
from pixelwise.lab.outcomes import gains_over_seeds
from pixelwise.network.models import HandoutNetwork
from pixelwise.network.models.handout import MyConv2d, UNet
from pixelwise.network.runs import open_torch_model
from pixelwise.progress import progress
from pixelwise.report.figures import ON_LIGHT, Drawing, new_figure, styled
from pixelwise.training.recipes import recipe

NO_EPSILON = 1e-30
"""Stands for 0, which torch refuses."""
_SCALES, _SHIFTS = (-2.0, -1.0, -0.5, 0.01, 0.1, 0.5, 1.0, 2.0, 10.0), (-1.0, -0.5, 0.0, 0.5, 1.0)
_QUICK_SCALES, _QUICK_SHIFTS = (-1.0, 0.1, 0.5, 1.0, 2.0), (-0.5, 0.0, 0.5)
_AFFINES = ((2.0, 0.0), (0.01, 0.0), (-1.0, 0.0), (1.0, 1.0), (-1.0, 1.0), (0.1, 1.0))
_QUICK_AFFINES = ((2.0, 0.0), (0.1, 1.0))
_NUM_SEEDS, _QUICK_SEEDS = 3, 2
_QUICK_CHANGES = {"num_filters": 8, "batch_size": 96}  # steps take the time, not pictures
_EXACT = 1e-6  # of a standard deviation of the logits; rounding of fp64 stays below
_NUM_PICTURES, _QUICK_PICTURES, _NUM_EXACT = 300, 50, 16


@dataclass(frozen=True, eq=False)
class TrainedNet:
    """A trained network in evaluation mode, and the pictures that it is tried on."""

    net: HandoutNetwork
    grey: Grey
    labels: UInt8[Tensor, "N H W"]

    def accuracy(self, net: HandoutNetwork) -> float:
        """Return the right pixels of a rewritten network in per cent."""
        return PixelScore.of(logits_of(net, self.grey), self.labels).accuracy


def answer_a4(setting: Setting) -> Answer:
    """Measure networks on ax + b: trained on x, and trained anew; which cases are exact and which are not."""
    cnn, unet = (_subject(setting, net) for net in ("cnn", "unet"))
    grid = _grid(cnn, setting.quick)
    values = {
        "network": {"accuracy": cnn.accuracy(cnn.net), "num_pictures": len(cnn.grey)},
        "grid": grid,
        "claims": {"rows": check_claims(cnn, unet)},
        "retrained": _retrain(setting, cnn),
    }
    return Answer(values, (setting.draw("a4-grid", _draw_grid(grid)),))


def _subject(setting: Setting, net: str) -> TrainedNet:
    """Return the network that A2 and B2 train, with some validation pictures."""
    model = open_torch_model(setting.trained(f"{net}-seed0", comparison_config(setting, net, 0)))
    val = setting.pictures().val
    images = val[:: max(1, len(val) // (_QUICK_PICTURES if setting.quick else _NUM_PICTURES))]
    return TrainedNet(
        cast(HandoutNetwork, model.net),
        torch.from_numpy(model.palette.read_grey(images.numpy())),
        torch.from_numpy(model.palette.encode(images.numpy())),
    )


def _grid(cnn: TrainedNet, quick: bool) -> dict[str, Any]:
    """Return the accuracy over a grid of a and b, with stored statistics and with those of the batch."""
    scales, shifts = (_QUICK_SCALES, _QUICK_SHIFTS) if quick else (_SCALES, _SHIFTS)
    nets = {"stored": cnn.net, "batch": on_batch_statistics(cnn.net)}
    scores: dict[str, list[list[float]]] = {}
    with progress("reading a x + b", len(nets) * len(shifts) * len(scales)) as advance:
        for name, net in nets.items():
            scores[name] = []
            for b in shifts:
                scores[name].append([cnn.accuracy(reading(net, a, b)) for a in scales])
                advance(len(scales), f"b = {b:g}")
    return {"a": list(scales), "b": list(shifts)} | scores


def check_claims(cnn: TrainedNet, unet: TrainedNet) -> list[dict[str, Any]]:
    """Return what is exact and what is not, in fp64: the largest difference of logits, in deviations."""
    grey = cnn.grey[:_NUM_EXACT].double()
    stored, skipping = (copy.deepcopy(one.net).double() for one in (cnn, unet))
    batch = on_batch_statistics(stored)
    no_epsilon = with_epsilon(batch, NO_EPSILON)
    skips = cast(UNet, with_epsilon(on_batch_statistics(skipping), NO_EPSILON))
    found = []
    for name, net, beside in (
        ("factor", reading(no_epsilon, 2, 0), no_epsilon),
        ("factor_with_epsilon", reading(batch, 0.01, 0), batch),
        ("shift_padded_with_b", padded_with(reading(no_epsilon, 1, 1), 1), no_epsilon),
        ("shift_padded_with_0", reading(no_epsilon, 1, 1), no_epsilon),
        ("negative", reading(no_epsilon, -1, 0), no_epsilon),
        ("negative_repaired", mirrored(reading(no_epsilon, -1, 0)), no_epsilon),
        ("equivalent", reading(batch, -0.7, 0.4), equivalent(batch, -0.7, 0.4)),
        ("stored_factor", reading(stored, 2, 0), stored),
        ("stored_shift", padded_with(reading(stored, 1, 1), 1), stored),
        ("skip", reading(skips, 2, 0), skips),
        ("skip_reads_x", skip_reads_x(skips, 2, 0), skips),
    ):
        wanted = logits_of(beside, grey)
        difference = float((logits_of(net, grey) - wanted).abs().max() / wanted.std())
        found.append({"name": name, "difference": difference, "exact": difference < _EXACT})
    return found


def _retrain(setting: Setting, cnn: TrainedNet) -> dict[str, Any]:
    """Train both networks on ax + b by the recipe `fast`; return accuracies and differences to x by seed.

    Seeds draw initial weights and batches, the same for every a and b, so differences are taken seed by seed.
    Pictures are whole, since a crop has a larger share of border pixels, and convolutions in fp32, since bf16
    has too few digits for pictures far from 0.
    """
    changes: dict[str, Any] = {"precision": "fp32", "crop_frac": 0.0}
    changes |= _QUICK_CHANGES if setting.quick else {}
    num_seeds = _QUICK_SEEDS if setting.quick else _NUM_SEEDS
    found: dict[str, Any] = {"recipe": "fast", "changes": changes, "num_seeds": num_seeds}
    for net in ("cnn", "unet"):
        rows: list[dict[str, Any]] = []
        for a, b in ((1.0, 0.0), *(_QUICK_AFFINES if setting.quick else _AFFINES)):
            name = f"{a:g}x{b:+g}"
            accuracy: dict[str, list[float]] = {"stored": [], "batch": []}
            for seed in range(num_seeds):
                options = changes | {"scale": a, "shift": b, "seed": setting.seed_of(seed)}
                run = setting.trained(
                    f"affine-{net}-{name}-seed{seed}", recipe("fast", net, PICTURES, **options)
                )
                trained = cast(HandoutNetwork, open_torch_model(run).net)
                accuracy["stored"].append(cnn.accuracy(trained))
                accuracy["batch"].append(cnn.accuracy(on_batch_statistics(trained)))
            row: dict[str, Any] = {"a": a, "b": b, "reads": name}
            for kind, values in accuracy.items():
                row[kind] = {"accuracy": values, "mean": fmean(values)}
                if rows:
                    row[kind]["difference"] = gains_over_seeds(values, rows[0][kind]["accuracy"])
            rows.append(row)
        found[net] = {"on_x": rows[0], "rows": rows[1:]}
    return found


def _draw_grid(grid: dict[str, Any]) -> Drawing:
    """Draw the accuracy over a and b, with stored statistics and with those of the batch."""
    with styled(ON_LIGHT):
        figure = new_figure(11, 0.5 * len(grid["b"]) + 1.5)
        axes = figure.subplots(1, 2, sharey=True)
        high = max(max(row) for name in ("stored", "batch") for row in grid[name])
        titles = {"stored": "Statistics as stored", "batch": "Statistics of the batch"}
        for place, (name, title) in zip(axes, titles.items(), strict=True):
            place.imshow(grid[name], cmap="cividis", vmin=0, vmax=high, aspect="auto", origin="lower")
            for row, values in enumerate(grid[name]):
                for column, value in enumerate(values):
                    colour = "white" if value < 0.6 * high else "black"
                    place.text(column, row, f"{value:.0f}", ha="center", va="center", color=colour)
            place.set_xticks(range(len(grid["a"])), [f"{a:g}" for a in grid["a"]])
            place.set_yticks(range(len(grid["b"])), [f"{b:g}" for b in grid["b"]])
            place.set_xlabel("a")
            place.set_title(title, loc="left")
            place.grid(False)
        axes[0].set_ylabel("b")
        figure.suptitle("Right pixels, %, of the trained CNN on ax + b", fontsize=11, x=0.02, ha="left")
    return Drawing(figure, ON_LIGHT)


def _copied(net: HandoutNetwork) -> tuple[HandoutNetwork, MyConv2d, nn.BatchNorm2d]:
    """Return a copy of a network, with its first convolution and batch norm."""
    net = copy.deepcopy(net)
    conv = next(layer for layer in net.modules() if isinstance(layer, MyConv2d))
    return net, conv, next(layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d))


def reading(net: HandoutNetwork, a: float, b: float) -> HandoutNetwork:
    """Turn every pixel x into ax + b before the first layer."""
    net, _, _ = _copied(net)
    net.config = replace(net.config, scale=a, shift=b)
    return net


def on_batch_statistics(net: HandoutNetwork) -> HandoutNetwork:
    """Let batch norms use the mean and variance of the batch, as in training."""
    net, _, _ = _copied(net)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean = layer.running_var = None
    return net


class _Affine(nn.Module):
    """Turns the last channels x into scale x + shift."""

    def __init__(self, channels: int, scale: float, shift: float) -> None:
        super().__init__()
        self.channels, self.scale, self.shift = channels, scale, shift

    def forward(self, x: Tensor) -> Tensor:
        """Return all channels."""
        kept, changed = x[:, : -self.channels], x[:, -self.channels :]
        return torch.cat([kept, self.scale * changed + self.shift], 1)


@torch.no_grad()
def padded_with(net: HandoutNetwork, value: float) -> HandoutNetwork:
    """Let the first convolution pad with a value instead of 0.

    It subtracts the value, pads with 0, and adds the response of its weights to the value to the bias.
    """
    net, conv, _ = _copied(net)
    conv.bias.add_(conv.weight.sum((1, 2, 3)), alpha=value)
    net.down1[0] = nn.Sequential(_Affine(conv.weight.shape[1], 1, -value), conv)
    return net


def with_epsilon(net: HandoutNetwork, epsilon: float) -> HandoutNetwork:
    """Change the epsilon of the first batch norm."""
    net, _, norm = _copied(net)
    norm.eps = epsilon
    return net


@torch.no_grad()
def with_weights_times(net: HandoutNetwork, factor: float) -> HandoutNetwork:
    """Multiply the weights of the first convolution."""
    net, conv, _ = _copied(net)
    conv.weight.mul_(factor)
    return net


def equivalent(net: HandoutNetwork, a: float, b: float) -> HandoutNetwork:
    """Return the network that gives on x what `net` gives on ax + b, with the statistics of the batch.

    The U-Net's skip from the picture is left out: exact for the CNN, and for `skip_reads_x`.
    """
    _, _, norm = _copied(net)
    return with_epsilon(padded_with(with_weights_times(net, math.copysign(1, a)), -b / a), norm.eps / a**2)


class _MinPool2d(nn.MaxPool2d):
    def forward(self, x: Tensor) -> Tensor:
        """Return the least value of each window."""
        return -super().forward(-x)


@torch.no_grad()
def mirrored(net: HandoutNetwork) -> HandoutNetwork:
    """Let the first block pool the least value of each window, and negate gamma of its batch norm."""
    net, _, norm = _copied(net)
    net.down1[1] = _MinPool2d(2)
    norm.weight.neg_()
    return net


def skip_reads_x(net: UNet, a: float, b: float) -> UNet:
    """Read ax + b, but x through the skip from the picture to the last convolution."""
    changed = reading(net, a, b)
    assert isinstance(changed, UNet)
    undo = _Affine(net.config.num_in_channels, 1 / a, -b / a)
    changed.add_module("classes", nn.Sequential(undo, changed.classes))
    return changed


@torch.inference_mode()
def logits_of(net: HandoutNetwork, grey: Grey, batch_size: int = 100) -> Logits:
    """Return logits of pictures in batches, whose statistics a network may use."""
    return torch.cat([net(batch) for batch in grey.split(batch_size)])
