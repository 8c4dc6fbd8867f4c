"""C4 and C5: what fine-tuning takes of memory and time, all of a network against its last layer.

First over chains of n equal layers, then when height and width double. Each number says whether it was
measured in a step that ran, or traced: counted in one that ran without content.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from torch import Tensor, nn

from pixelwise.backbones import DEFAULT, open_backbone
from pixelwise.figures import ON_LIGHT, Drawing, new_figure, styled
from pixelwise.finetune.policies import LAST_LAYER, Learner
from pixelwise.lab.answer import Answer, Setting
from pixelwise.lab.steps import Measured, Measurements, Step, count
from pixelwise.progress import progress

Policy = Literal["whole", "last"]
POLICIES: tuple[Policy, ...] = ("whole", "last")
"""All learns, or the last layer alone."""
HANDOUTS = "deeplabv3_resnet101"
"""Its weights are not needed here: no cost depends on them."""
AMOUNTS = ("saved_bytes", "peak_bytes", "flops", "seconds")
"""What is measured over n."""

_CHANNELS, _SIDE, _BATCH = 64, 32, 8  # of a chain: each map takes 2 MB, each layer's weights 0.15 MB
_NUM_LAYERS, _FEW_LAYERS = (4, 8, 12, 16, 24, 32), (2, 4, 6, 8)
_HANDOUT_SIDE = 224
_NUM_CLASSES = 2
_MOMENTS = 3  # numbers beside each one that learns: its gradient and Adam's two means
_BYTES = 4  # of a number in single precision


@dataclass(frozen=True)
class Line:
    """The line that fits some points best, by least squares."""

    slope: float
    intercept: float
    r_squared: float | None
    """Share of the points' variance that it explains; none where they do not vary."""

    @staticmethod
    def through(x: Sequence[float], y: Sequence[float]) -> Line:
        """The line for y over x."""
        slope, intercept = (float(one) for one in np.polyfit(x, y, 1))
        variance = float(np.var(y))
        left = float(np.mean((np.asarray(y) - slope * np.asarray(x) - intercept) ** 2))
        return Line(slope, intercept, 1 - left / variance if variance else None)


def chain(num_layers: int) -> nn.Sequential:
    """Layers that are all alike: a convolution of 3x3 from 64 to 64 channels, and its ReLU."""
    layers = [
        part for _ in range(num_layers) for part in (nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=1), nn.ReLU())
    ]
    return nn.Sequential(*layers)


def chain_step(num_layers: int, policy: Policy, side: int = _SIDE) -> Step:
    """A step of learning a chain."""
    last = (str(2 * num_layers - 2),)  # each layer has two parts, and only the first has parameters
    return Step(
        build=partial(chain, num_layers),
        loss=_chain_loss,
        prefixes=last if policy == "last" else (),
        side=side,
        smallest=4,
    )


def _chain_loss(net: nn.Module, side: int) -> Tensor:
    return net(torch.ones(_BATCH, _CHANNELS, side, side)).square().mean()


@cache  # one and the same step, so that it is counted once for C4 and C5
def finetune_step(network: str, policy: Policy, side: int = _HANDOUT_SIDE) -> Step:
    """A step of fine-tuning a network for two classes on one square photo, as `finetune` does."""
    return Step(
        build=partial(_learner, network),
        loss=_pixel_loss,
        prefixes=LAST_LAYER if policy == "last" else (),
        side=side,
        smallest=32,
    )


def _learner(network: str) -> Learner:
    return Learner(open_backbone(network, random_weights=network != DEFAULT), 1, _NUM_CLASSES)


def _pixel_loss(net: nn.Module, side: int) -> Tensor:
    logits = net([torch.full((1, 3, side, side), 0.5)])
    return F.cross_entropy(logits, torch.zeros(1, side, side, dtype=torch.long))


def answer_c4(setting: Setting) -> Answer:
    """Memory and computation of learning n layers or the last of them, as n grows."""
    nums = _FEW_LAYERS if setting.quick else _NUM_LAYERS
    measured: dict[Policy, list[Measured]] = {policy: [] for policy in POLICIES}
    steps = _measurements(setting, "C4")
    with progress("learning n layers", len(nums) * len(POLICIES) + 1) as advance:
        for num in nums:
            for policy in POLICIES:
                measured[policy].append(steps.measure(f"{num} layers, {policy}", chain_step(num, policy)))
                advance(1, f"n = {num}, {policy}")
        kept = steps.measure("features kept", chain_step(1, "last"))
        advance(1, "features kept")
    lines = {
        policy: {name: Line.through(nums, [getattr(one, name) for one in ones]) for name in AMOUNTS}
        for policy, ones in measured.items()
    }
    pairs = {name: [getattr(measured[policy][-1], name) for policy in POLICIES] for name in AMOUNTS}
    values = {
        "layer": _layer_facts(),
        "rows": [
            {"layers": num, "policy": policy} | told(one)
            for policy in POLICIES
            for num, one in zip(nums, measured[policy], strict=True)
        ],
        "features_kept": told(kept),
        "lines": {
            policy: {name: asdict(one) for name, one in fits.items()} for policy, fits in lines.items()
        },
        "formula_slopes": formula_slopes(),
        "most_layers": nums[-1],
        "whole_over_last": {name: whole / last for name, (whole, last) in pairs.items()},
        "networks": [
            traced(network, policy, _HANDOUT_SIDE) for network in (DEFAULT, HANDOUTS) for policy in POLICIES
        ],
    }
    drawing = draw_growth(nums, measured, lines)
    return Answer(values, (setting.draw("c4-layers", drawing),))


def _measurements(setting: Setting, question: str) -> Measurements:
    """What was measured for a question so far, beside its answer."""
    return Measurements(setting.out / "answers" / f"{question}-measured.json", setting.made_by())


def _layer_facts() -> dict[str, int]:
    """One layer of a chain: its numbers, what it gives, what it takes to compute."""
    num = _CHANNELS * (9 * _CHANNELS + 1)
    return {
        "channels": _CHANNELS,
        "side": _SIDE,
        "batch_size": _BATCH,
        "num_parameters": num,
        "weights_bytes": _BYTES * num,
        "map_bytes": _BYTES * _BATCH * _CHANNELS * _SIDE**2,
        "flops": 2 * 9 * _CHANNELS**2 * _BATCH * _SIDE**2,
    }


def formula_slopes() -> dict[Policy, dict[str, int]]:
    """What the formula says that a further layer adds.

    Learned, it adds its map, and of each of its weights a gradient and two means; it is computed forward, and
    backward once for its weights and once for its input. Frozen, it is computed forward.
    """
    layer = _layer_facts()
    learned = layer["map_bytes"] + _MOMENTS * layer["weights_bytes"]
    return {
        "whole": {"saved_bytes": layer["map_bytes"], "peak_bytes": learned, "flops": 3 * layer["flops"]},
        "last": {"saved_bytes": 0, "peak_bytes": 0, "flops": layer["flops"]},
    }


def told(measured: Measured) -> dict[str, Any]:
    """A measurement as plain values, for JSON."""
    return asdict(measured) | {"peak_bytes": measured.peak_bytes, "how": "measured"}


def traced(network: str, policy: Policy, side: int) -> dict[str, Any]:
    """A step of fine-tuning, counted and not run, as plain values."""
    counted = count(finetune_step(network, policy, side))
    moments = {"moments_bytes": _BYTES * _MOMENTS * counted.num_learned}
    return {"network": network, "policy": policy, "side": side, "how": "traced"} | asdict(counted) | moments


def answer_c5(setting: Setting) -> Answer:
    """Memory, computation and parameters when height and width double."""
    to_run = (DEFAULT,) if setting.quick else (DEFAULT, HANDOUTS)
    sides = (_HANDOUT_SIDE, 2 * _HANDOUT_SIDE)
    rows: list[dict[str, Any]] = []
    steps = _measurements(setting, "C5")
    with progress("doubling height and width", len(sides) * len(POLICIES) * (2 + len(to_run))) as advance:
        for network in (DEFAULT, HANDOUTS):
            for policy in POLICIES:
                for side in sides:
                    name = f"{network}, {policy}, {side} pixels"
                    rows.append(traced(network, policy, side))
                    advance(1, name)
                    if network in to_run:
                        names = {"network": network, "policy": policy, "side": side}
                        # what takes many seconds is not repeated
                        repeats = 0 if network == HANDOUTS else 2
                        one = steps.measure(name, finetune_step(network, policy, side), repeats)
                        rows.append(names | told(one))
                        advance(1, f"{name}, run")
    ratios = [
        _ratios(once, twice)
        for once in rows
        for twice in rows
        if once["side"] == sides[0] and twice["side"] == sides[1] and _same(once, twice)
    ]
    values = {
        "sides": list(sides),
        "weights": {DEFAULT: "as published", HANDOUTS: "random"},
        "rows": rows,
        "ratios": ratios,
    }
    return Answer(values, (setting.draw("c5-doubled", draw_doubled(ratios)),))


def _same(once: dict[str, Any], twice: dict[str, Any]) -> bool:
    return all(once[name] == twice[name] for name in ("network", "policy", "how"))


def _ratios(once: dict[str, Any], twice: dict[str, Any]) -> dict[str, Any]:
    """Twice the side over once, of all that is known of both."""
    names = ["saved_bytes", "tensors_bytes", "peak_bytes", "flops", "seconds", "num_parameters"]
    if once["how"] == "measured" and _grows_from_what_is_fixed(once):
        names.append("growing_bytes")
    return {name: once[name] for name in ("network", "policy", "how")} | {
        name: twice[name] / once[name] for name in names if name in once
    }


def _grows_from_what_is_fixed(row: dict[str, Any]) -> bool:
    """Whether the growing part of a peak is more than what the library took on the smallest pictures.

    Where it is less, the two peaks are at different layers, and their difference says nothing.
    """
    return bool(row["growing_bytes"] > row["fixed_bytes"] - _BYTES * _MOMENTS * row["num_learned"])


_COLOURS: dict[Policy, str] = {"whole": ON_LIGHT.train, "last": ON_LIGHT.val}
_WORDS: dict[Policy, str] = {"whole": "all layers learn", "last": "the last layer learns"}
_MARKS: dict[Policy, str] = {"whole": "o", "last": "s"}
_PANELS = (
    ("saved_bytes", 1e6, "Kept for the way back, MB"),
    ("peak_bytes", 1e6, "Peak beside the weights, MB"),
    ("flops", 1e9, "Computation, GFLOP a step"),
    ("seconds", 1, "Seconds a step, one thread"),
)


def draw_growth(
    nums: Sequence[int], measured: dict[Policy, list[Measured]], lines: dict[Policy, dict[str, Line]]
) -> Drawing:
    """What was measured over n, with the lines that fit."""
    with styled(ON_LIGHT):
        figure = new_figure(9, 6.4)
        panels = figure.subplots(2, 2).flat
        for axes, (name, unit, title) in zip(panels, _PANELS, strict=True):
            for policy in POLICIES:
                line, colour = lines[policy][name], _COLOURS[policy]
                points = [getattr(one, name) / unit for one in measured[policy]]
                axes.plot(nums, points, _MARKS[policy], color=colour, markersize=5.5, label=_WORDS[policy])
                ends = np.array([0, nums[-1]])
                fit = (line.slope * ends + line.intercept) / unit
                axes.plot(ends, fit, color=colour, linewidth=1.4)
            axes.set_title(title, loc="left")
            axes.set_xlabel("layers, n")
            axes.set_ylim(bottom=0)
            axes.set_xlim(left=0)
        figure.axes[0].legend(frameon=False, loc="upper left")
    return Drawing(figure, ON_LIGHT)


def draw_doubled(ratios: Sequence[dict[str, Any]]) -> Drawing:
    """How many times as much everything takes at twice the height and width."""
    shown = (
        ("num_parameters", "parameters"),
        ("saved_bytes", "kept for the way back"),
        ("tensors_bytes", "tensors at once"),
        ("growing_bytes", "peak, what grows of it"),
        ("peak_bytes", "peak, all of it"),
        ("flops", "computation"),
    )
    networks = list(dict.fromkeys(one["network"] for one in ratios))
    with styled(ON_LIGHT):
        figure = new_figure(9, 1.0 + 2.1 * len(networks))
        panels = figure.subplots(len(networks), 1, sharex=True, squeeze=False)[:, 0]
        for axes, network in zip(panels, networks, strict=True):
            axes.set_title(network, loc="left")
            axes.set_yticks(range(len(shown)), [words for _, words in shown])
            axes.set_ylim(len(shown) - 0.5, -0.5)
            axes.axvline(4, color=ON_LIGHT.text, linewidth=0.8)
            for one in (one for one in ratios if one["network"] == network):
                _draw_ratios(axes, one, [name for name, _ in shown])
        panels[-1].set_xlim(0, 5)
        panels[-1].set_xlabel("times as much at twice the height and width")
        figure.axes[0].legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return Drawing(figure, ON_LIGHT)


def _draw_ratios(axes: Axes, one: dict[str, Any], names: Sequence[str]) -> None:
    """One policy's; what was traced is hollow."""
    policy: Policy = one["policy"]
    offset = -0.14 if policy == "whole" else 0.14
    known = [(one[name], row + offset) for row, name in enumerate(names) if name in one]
    is_measured = one["how"] == "measured"
    axes.plot(
        *zip(*known, strict=True),
        _MARKS[policy],
        color=_COLOURS[policy],
        markersize=6 if is_measured else 10,
        markerfacecolor=_COLOURS[policy] if is_measured else "none",
        label=f"{_WORDS[policy]}, {one['how']}",
    )
