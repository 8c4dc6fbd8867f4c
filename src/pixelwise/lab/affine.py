"""Questions A1 and A4: the network, and what becomes of it where every pixel x is read as ax + b."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from numpy import ndarray
from torch import Tensor

from pixelwise.config import CNNConfig
from pixelwise.data import load_pictures
from pixelwise.lab import affine_figures as figures
from pixelwise.lab.answer import Answer, Setting
from pixelwise.lab.colouring import SOURCE, comparison_config
from pixelwise.lab.retrained import retrain
from pixelwise.lab.rewritten import (
    NO_EPSILON,
    absorbing,
    equivalent,
    first_block,
    logits_of,
    on_batch_statistics,
    padded_with,
    reading,
    skip_reads_x,
    with_epsilon,
    with_min_pooling,
    with_norm_mirrored,
    with_weights_times,
)
from pixelwise.metrics import PixelScore
from pixelwise.models import HandoutNetwork, MyConv2d, UNet, build
from pixelwise.progress import progress
from pixelwise.runs import open_model
from pixelwise.shapes import Grey
from pixelwise.visualise import describe_layer, draw_network, look_at_blocks

SCALES, SHIFTS = (-2.0, -1.0, -0.5, 0.01, 0.1, 0.5, 1.0, 2.0, 10.0), (-1.0, -0.5, 0.0, 0.5, 1.0)
QUICK_SCALES, QUICK_SHIFTS = (-1.0, 0.1, 0.5, 1.0, 2.0), (-0.5, 0.0, 0.5)
EXACT = 1e-6
"""Largest difference of logits, in their standard deviations, that rounding of fp64 may leave."""
_NUM_PICTURES, _QUICK_PICTURES, _NUM_EXACT = 300, 50, 16
_SHAPES = ((1, 3, 3), (4, 2, 5), (3, 5, 1), (32, 64, 3))  # channels in and out, and kernel


def answer_a1(setting: Setting) -> Answer:
    """The network of the handout's diagram, its layers and parameters, and that MyConv2d is a convolution.

    Raises:
        OutputError: its picture cannot be written.
    """
    config = CNNConfig()
    torch.manual_seed(setting.seed)
    net, picture = build(config).eval(), torch.rand(1, config.num_in_channels, 32, 32)
    blocks = look_at_blocks(net, picture)
    values = {
        "parameters": sum(one.numel() for one in net.parameters()),
        "blocks": [
            {
                "name": one.name,
                "layers": [describe_layer(layer) for layer in one.layers],
                "output": list(one.maps.shape),
                "parameters": one.num_learned,
            }
            for one in blocks
        ],
        "configurable": [_configured(**changes) for changes in _CONFIGURATIONS],
        "my_conv2d": [_compare_with_torch(*shape) for shape in _SHAPES],
    }
    return Answer(values, (setting.draw("a1-network", draw_network(blocks, picture)),))


_CONFIGURATIONS: tuple[dict[str, int], ...] = (
    {},
    {"kernel": 5},
    {"num_filters": 16},
    {"num_colours": 12},
    {"num_in_channels": 3},
)


def _configured(**changes: int) -> dict[str, Any]:
    """A configuration, how many parameters its network has, and what it gives for three small pictures."""
    config = CNNConfig(**cast(Any, changes))
    net = build(config).eval()
    logits = net(torch.rand(3, config.num_in_channels, 16, 16))
    names = ("kernel", "num_filters", "num_colours", "num_in_channels")
    return {name: getattr(config, name) for name in names} | {
        "parameters": sum(one.numel() for one in net.parameters()),
        "output": list(logits.shape),
    }


def _compare_with_torch(num_in: int, num_out: int, kernel: int) -> dict[str, Any]:
    """The largest differences, in fp64, of the written-out convolution and its gradients to torch's."""
    torch.manual_seed(0)
    ours = MyConv2d(num_in, num_out, kernel, "unfold").double()
    results = []
    for convolve in (ours, lambda x: F.conv2d(x, ours.weight, ours.bias, padding=kernel // 2)):
        x = torch.rand(2, num_in, 9, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        out = convolve(x.requires_grad_())
        (out * torch.arange(out.numel(), dtype=torch.float64).view_as(out).sin()).sum().backward()
        gradients = [x.grad, ours.weight.grad, ours.bias.grad]
        results.append([out.detach(), *gradients])
        ours.zero_grad()
    names = ("output", "gradient_of_input", "gradient_of_weight", "gradient_of_bias")
    differences = {
        name: float((one - other).abs().max())
        for name, one, other in zip(names, *results, strict=True)
        if one is not None and other is not None
    }
    return {"num_in": num_in, "num_out": num_out, "kernel": kernel} | differences


@dataclass(frozen=True, eq=False)
class Subject:
    """A trained network, and the pictures on which it is looked at."""

    net: HandoutNetwork
    """In evaluation mode."""
    grey: Grey
    labels: UInt8[Tensor, "N H W"]
    images: UInt8[Tensor, "N 3 H W"]

    def score(self, net: HandoutNetwork, beside: Int64[Tensor, "N H W"] | None = None) -> dict[str, float]:
        """Right pixels of a rewritten network in per cent, and those that it classes unlike `beside`."""
        logits = logits_of(net, self.grey)
        found = {"accuracy": PixelScore.of(logits, self.labels).accuracy}
        if beside is not None:
            found["changed"] = 100 * (logits.argmax(1) != beside).double().mean().item()
        return found

    def classes(self, net: HandoutNetwork) -> Int64[Tensor, "N H W"]:
        """The likeliest class of every pixel."""
        return logits_of(net, self.grey).argmax(1)


def answer_a4(setting: Setting) -> Answer:
    """What becomes of the network where every pixel x is read as ax + b: trained before, and trained anew.

    Raises:
        DataError: the pictures are not to be had.
        Interrupted: Ctrl-C came; what was learned is kept.
        OutputError: a figure cannot be written.
    """
    cnn, unet = (_subject(setting, net) for net in ("cnn", "unet"))
    values: dict[str, Any] = {"network": cnn.score(cnn.net) | {"num_pictures": len(cnn.grey)}}
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "grid": lambda: _grid(cnn, setting.quick),
        "paddings": lambda: _paddings(cnn, values["grid"]),
        "border": lambda: _border(cnn),
        "negative": lambda: _negative(cnn),
        "epsilon": lambda: _epsilon(cnn),
        "skip": lambda: _skip(unet),
        "rounding": lambda: _rounding(cnn),
        "claims": lambda: {"rows": list(_claims(cnn, unet))},
    }
    with progress("reading ax + b", len(parts)) as advance:
        for name, measure in parts.items():
            values[name] = measure()
            advance(1, name)
    values["retrained"] = retrain(setting, lambda net: cnn.score(net)["accuracy"])
    drawn = {
        "a4-grid": figures.draw_grid(values["grid"]),
        "a4-padding": figures.draw_paddings(values["paddings"]),
        "a4-border": figures.draw_border(values["border"]),
        "a4-negative": figures.draw_stages(_stages(cnn, 1), _stages(cnn, -1)),
        "a4-epsilon": figures.draw_epsilon(values["epsilon"]),
        "a4-skip": figures.draw_skip(values["skip"]),
        "a4-pictures": figures.draw_pictures(cnn.images[:8], list(_shown(cnn))),
        "a4-retrained": figures.draw_retrained(values["retrained"]),
    }
    return Answer(values, tuple(setting.draw(name, drawing) for name, drawing in drawn.items()))


def _subject(setting: Setting, net: str) -> Subject:
    """The network that the questions before this one have trained, and some validation pictures."""
    model = open_model(setting.trained(f"{net}-seed0", comparison_config(setting, net, 0)))
    val = load_pictures(SOURCE, setting.data_dir, setting.seed).val
    images = val[:: max(1, len(val) // (_QUICK_PICTURES if setting.quick else _NUM_PICTURES))]
    assert isinstance(model.net, HandoutNetwork)
    return Subject(model.net, model.palette.read_grey(images), model.palette.encode(images), images)


def _grid(cnn: Subject, quick: bool) -> dict[str, Any]:
    """Accuracy over a grid of a and b, with the statistics of training and with those of the batch."""
    scales, shifts = (QUICK_SCALES, QUICK_SHIFTS) if quick else (SCALES, SHIFTS)
    nets = {"stored": cnn.net, "batch": on_batch_statistics(cnn.net)}
    scores = {
        name: [[cnn.score(reading(net, a, b))["accuracy"] for a in scales] for b in shifts]
        for name, net in nets.items()
    }
    return {"a": list(scales), "b": list(shifts)} | scores


def _paddings(cnn: Subject, grid: dict[str, Any]) -> dict[str, Any]:
    """Accuracy on x padded with -b/a instead of 0, for all b/a of a grid, beside that on ax + b.

    For a below 0 with the filters negated. What is left between the two is epsilon's.
    """
    net = on_batch_statistics(cnn.net)
    found: dict[str, Any] = {}
    for name, sign in (("positive", 1), ("negative", -1)):
        points = [
            {"ratio": b / a, "on_ax_b": grid["batch"][row][column]}
            for row, b in enumerate(grid["b"])
            for column, a in enumerate(grid["a"])
            if a * sign > 0
        ]
        ratios = sorted({point["ratio"] + 0.0 for point in points})
        padded = {ratio: cnn.score(equivalent(net, sign, sign * ratio))["accuracy"] for ratio in ratios}
        for point in points:
            point["on_padded_x"] = padded[point["ratio"]]
        found[name] = sorted(points, key=lambda point: point["ratio"])
    return found


def _border(cnn: Subject, b: float = 1.0) -> dict[str, Any]:
    """How far logits move where b is added, by distance from the border, in standard deviations of them."""
    stored = copy.deepcopy(cnn.net).double()  # so that what is exact is told from what is small
    batch = on_batch_statistics(stored)
    pairs = {
        "batch": (reading(batch, 1, b), batch),
        "absorbed": (reading(absorbing(stored, 1, b), 1, b), stored),
        "padded_with_b": (padded_with(reading(batch, 1, b), b), batch),
    }
    maps = {name: _moved(cnn.grey[:_NUM_EXACT].double(), *pair) for name, pair in pairs.items()}
    distance = distance_from_border(*cnn.grey.shape[-2:])
    rings = range(int(distance.max()) + 1)
    by_distance = {
        name: [float(moved[distance == ring].mean()) for ring in rings] for name, moved in maps.items()
    }
    reach = max((ring for ring in rings if by_distance["absorbed"][ring] > EXACT), default=-1)
    net = on_batch_statistics(cnn.net)
    changed = (cnn.classes(reading(net, 1, b)) != cnn.classes(net)).double().mean(0).numpy()
    return {
        "b": b,
        "distance": list(rings),
        "by_distance": by_distance,
        "reach": reach,
        "num_beyond": int((distance > reach).sum()),
        "changed": [100 * float(changed[distance == ring].mean()) for ring in rings],
        "map": maps["batch"].tolist(),
    }


def _moved(grey: Grey, net: HandoutNetwork, beside: HandoutNetwork) -> Float[ndarray, "H W"]:
    """How far two networks' logits are apart at each pixel: mean over pictures and classes, in deviations."""
    found, wanted = (logits_of(one, grey) for one in (net, beside))
    return ((found - wanted).abs().mean((0, 1)) / wanted.std()).numpy()


def distance_from_border(height: int, width: int) -> Int64[ndarray, "H W"]:
    """How many pixels lie between each pixel and the nearest border; 0 at the border."""
    rows, columns = (np.minimum(np.arange(n), np.arange(n)[::-1]) for n in (height, width))
    return np.minimum(rows[:, None], columns[None])


def _negative(cnn: Subject) -> dict[str, Any]:
    """Reading -x: what is broken, one repair at a time, with the statistics of the batch."""
    net = on_batch_statistics(cnn.net)
    negative, beside = reading(net, -1, 0), cnn.classes(net)
    repairs = {
        "as_it_is": negative,
        "min_pooling": with_min_pooling(negative),
        "norm_mirrored": with_norm_mirrored(negative),
        "both": with_norm_mirrored(with_min_pooling(negative)),
        "weights_negated": with_weights_times(negative, -1),
    }
    found: dict[str, Any] = {name: cnn.score(one, beside) for name, one in repairs.items()}
    *_, on_x = first_block(net, cnn.grey)
    *_, on_minus_x = first_block(negative, cnn.grey)
    found["on_for_either"] = 100 * float(((on_x > 0) & (on_minus_x > 0)).double().mean())
    found["on_for_one"] = 100 * float(((on_x > 0) ^ (on_minus_x > 0)).double().mean())
    return found | {"on_x": cnn.score(net, beside)}


def _stages(cnn: Subject, a: float) -> list[Tensor]:
    """A picture ax, and the map (h, w) that each layer of the first block makes of it with one filter."""
    net = on_batch_statistics(cnn.net)
    *_, out = first_block(net, cnn.grey)
    channel = int((out > 0).double().mean((0, 2, 3)).sub(0.5).abs().argmin())
    given, *stages = first_block(reading(net, a, 0), cnn.grey)
    return [given[0, 0], *(stage[0, channel].detach() for stage in stages)]


def _epsilon(cnn: Subject) -> dict[str, Any]:
    """Accuracy as a goes to 0, beside that on x with epsilon over a squared, and that without epsilon."""
    net = on_batch_statistics(cnn.net)
    scales = [10 ** (-half / 2) for half in range(9)]
    rows: dict[str, Callable[[float], HandoutNetwork]] = {
        "reading_ax": lambda a: reading(net, a, 0),
        "epsilon_over_a2": lambda a: equivalent(net, a, 0),
        "without_epsilon": lambda a: reading(with_epsilon(net, NO_EPSILON), a, 0),
    }
    scores = {name: [cnn.score(make(a))["accuracy"] for a in scales] for name, make in rows.items()}
    return {"a": scales} | scores


def _skip(unet: Subject) -> dict[str, Any]:
    """Pixels that the U-Net classes otherwise on ax and on x + b, whether its last skip reads that or x."""
    net = cast(UNet, on_batch_statistics(unet.net))
    beside = unet.classes(net)
    found: dict[str, Any] = {}
    for name, affines in (
        ("a", [(a, 0.0) for a in (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 10.0)]),
        ("b", [(1.0, b) for b in (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)]),
    ):
        found[name] = [
            {"a": a, "b": b}
            | {"reads_ax_b": unet.score(reading(net, a, b), beside)}
            | {"reads_x": unet.score(skip_reads_x(net, a, b), beside)}
            for a, b in affines
        ]
    return found


def _rounding(cnn: Subject) -> dict[str, Any]:
    """Grey levels that are left of x + b in bf16 and fp32, and accuracy once b is taken away again."""
    rows = []
    for b in (0.0, 1.0, 8.0, 64.0, 512.0):
        row: dict[str, Any] = {"b": b}
        for name, kind in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
            read = ((cnn.grey + b).to(kind).double() - b).float()
            logits = logits_of(cnn.net, read)
            row[name] = {
                "levels": len(read.unique()),
                "accuracy": PixelScore.of(logits, cnn.labels).accuracy,
            }
        rows.append(row)
    return {"rows": rows}


def _claims(cnn: Subject, unet: Subject) -> Iterator[dict[str, Any]]:
    """What is exact and what is not, in fp64 on the trained networks: largest differences, in deviations."""
    grey = cnn.grey[:_NUM_EXACT].double()
    stored, skipping = (copy.deepcopy(one.net).double() for one in (cnn, unet))
    batch = on_batch_statistics(stored)
    no_epsilon = with_epsilon(batch, NO_EPSILON)
    skips = cast(UNet, with_epsilon(on_batch_statistics(skipping), NO_EPSILON))
    for name, net, beside in (
        ("factor", reading(no_epsilon, 2, 0), no_epsilon),
        ("factor_with_epsilon", reading(batch, 0.01, 0), batch),
        ("shift_padded_with_b", padded_with(reading(no_epsilon, 1, 1), 1), no_epsilon),
        ("shift_padded_with_0", reading(no_epsilon, 1, 1), no_epsilon),
        ("negative", reading(no_epsilon, -1, 0), no_epsilon),
        ("negative_repaired", with_norm_mirrored(with_min_pooling(reading(no_epsilon, -1, 0))), no_epsilon),
        ("equivalent", reading(batch, -0.7, 0.4), equivalent(batch, -0.7, 0.4)),
        ("stored_factor", reading(stored, 2, 0), stored),
        ("stored_shift", padded_with(reading(stored, 1, 1), 1), stored),
        ("absorbed", padded_with(reading(absorbing(stored, -0.7, 0.4), -0.7, 0.4), 0.4), stored),
        ("skip", reading(skips, 2, 0), skips),
        ("skip_reads_x", skip_reads_x(skips, 2, 0), skips),
    ):
        wanted = logits_of(beside, grey)
        difference = float((logits_of(net, grey) - wanted).abs().max() / wanted.std())
        yield {"name": name, "difference": difference, "exact": difference < EXACT}


def _shown(cnn: Subject) -> Iterator[tuple[str, Tensor]]:
    """Titles and predicted classes of a few pictures, read as x, half as bright, and as the negative."""
    few = Subject(cnn.net, cnn.grey[:8], cnn.labels[:8], cnn.images[:8])
    stored, batch = cnn.net, on_batch_statistics(cnn.net)
    for told, net, a, b in (
        ("on x, statistics as stored", stored, 1.0, 0.0),
        ("on x / 2, statistics as stored", stored, 0.5, 0.0),
        ("on x / 2, statistics of the batch", batch, 0.5, 0.0),
        ("on x + 1, statistics of the batch", batch, 1.0, 1.0),
        ("on -x, statistics of the batch", batch, -1.0, 0.0),
    ):
        yield f"Prediction {told}", few.classes(reading(net, a, b))
