"""Questions C4 and C5: memory and computation of learning a whole network, and its last layer alone.

Every number is measured in steps of Adam that run; beside them stand the formulas.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import linregress
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.segmentation import deeplabv3_resnet101

from pixelwise.lab.answer import Answer, Setting
from pixelwise.lab.networks import num_parameters
from pixelwise.progress import progress
from pixelwise.report.figures import ON_LIGHT, Drawing, new_drawing
from pixelwise.training.frozen import learn_only

Policy = Literal["whole", "last"]
POLICIES: tuple[Policy, ...] = ("whole", "last")  # all layers learn, or the last one alone
HANDOUT_NETWORK, HANDOUT_LAYER = "deeplabv3_resnet101", "classifier.4"  # and its last layer
_AMOUNTS = ("weights_bytes", "state_bytes", "saved_bytes", "peak_bytes", "flops", "seconds")
_CHANNELS, _SIDE, _BATCH = 64, 32, 8  # of a chain: each map takes 2 MB, each layer's weights 0.15 MB
_NUM_LAYERS, _FEW_LAYERS = (4, 8, 12, 16, 24, 32), (2, 4, 6, 8)
_HANDOUT_SIDE, _QUICK_SIDE = 224, 64
_STATES = 3  # numbers beside each parameter that learns: its gradient and Adam's two moments
_BYTES = 4  # of a number in single precision


@dataclass(frozen=True, kw_only=True)
class StepCost:
    """Cost of one training step."""

    num_parameters: int
    num_learned: int
    weights_bytes: int  # of all parameters, learned or not
    state_bytes: int  # of gradients and Adam's state
    saved_bytes: int  # saved for the backward pass, each storage counted once, parameters left out
    peak_bytes: int  # of maps, gradients and Adam's moments at once; parameters left out
    flops: int  # forward and backward; a multiplication and an addition are two
    seconds: float  # the faster of two further steps


def measure_step(net: nn.Module, loss: Callable[[], Tensor], learned: Sequence[str] = ()) -> StepCost:
    """Measure steps of Adam on the parameters below some names, such as `classifier.4`; on all if none.

    All layers are in evaluation mode, so that batch norm takes a batch of one. The network is changed.
    """
    learn_only(net, *learned or [name for name, _ in net.named_parameters()])
    parameters = [weights for weights in net.parameters() if weights.requires_grad]
    adam = torch.optim.Adam(parameters)

    def step() -> float:
        start_s = time.perf_counter()
        adam.zero_grad(set_to_none=False)  # gradients stay allocated, as the moments do
        loss().backward()
        adam.step()
        return time.perf_counter() - start_s

    saved: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        saved.update({key: storage.nbytes() for key, storage in _storages(tensor).items()})
        return tensor

    with _TensorBytes() as tensors:
        step()
        flops = FlopCounterMode(display=False)
        with flops, saved_tensors_hooks(keep, lambda kept: kept):
            step()
    for key in _storages([*net.parameters(), *net.buffers()]):
        saved.pop(key, None)
    states = [tensor for state in adam.state.values() for tensor in state.values()]
    return StepCost(
        num_parameters=num_parameters(net),
        num_learned=sum(weights.numel() for weights in parameters),
        weights_bytes=sum(weights.nbytes for weights in net.parameters()),
        state_bytes=sum(tensor.nbytes for tensor in (*states, *(weights.grad for weights in parameters))),
        saved_bytes=sum(saved.values()),
        peak_bytes=tensors.peak_bytes,
        flops=flops.get_total_flops(),
        seconds=min(step(), step()),
    )


class _TensorBytes(TorchDispatchMode):
    """Follows the bytes of all tensors that operations allocate within it."""

    def __init__(self) -> None:
        super().__init__()
        self.peak_bytes = 0
        self._bytes: dict[int, int] = {}

    def __torch_dispatch__(
        self, operation: Any, _types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = operation(*args, **(kwargs or {}))
        known = _storages((args, kwargs)).keys() | self._bytes.keys()
        for key, storage in _storages(result).items():
            if key not in known:
                self._bytes[key] = storage.nbytes()
                self.peak_bytes = max(self.peak_bytes, sum(self._bytes.values()))
                weakref.finalize(storage, self._bytes.pop, key)
        return result


def _storages(tree: Any) -> dict[int, torch.UntypedStorage]:
    storages = [tensor.untyped_storage() for tensor in tree_leaves(tree) if isinstance(tensor, Tensor)]
    return {storage._cdata: storage for storage in storages}


def chain_cost(num_layers: int, policy: Policy) -> StepCost:
    """Measure a chain of equal layers: each a convolution of 3x3 from 64 to 64 channels, and its ReLU."""
    net = nn.Sequential()
    for _ in range(num_layers):
        net.extend([nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=1), nn.ReLU()])
    last = [str(2 * num_layers - 2)] if policy == "last" else []  # the name of the last convolution
    return measure_step(net, lambda: net(torch.ones(_BATCH, _CHANNELS, _SIDE, _SIDE)).square().mean(), last)


def handout_cost(policy: Policy, side: int) -> StepCost:
    """Measure the handout's network with random weights, which no cost depends on, on one square photo."""
    net = deeplabv3_resnet101(weights=None, weights_backbone=None, num_classes=2)

    def loss() -> Tensor:
        logits = net(torch.full((1, 3, side, side), 0.5))["out"]
        return F.cross_entropy(logits, torch.zeros(1, side, side, dtype=torch.long))

    return measure_step(net, loss, [HANDOUT_LAYER] if policy == "last" else [])


def answer_c4(setting: Setting) -> Answer:
    """Measure memory and computation of learning n layers or the last of them, as n grows."""
    nums = _FEW_LAYERS if setting.quick else _NUM_LAYERS
    chain_cost(1, "whole")  # torch sets itself up
    rows: list[dict[str, Any]] = []
    with progress("learning n layers", len(POLICIES) * sum(nums)) as advance:
        for policy in POLICIES:
            for num in nums:
                rows.append({"layers": num, "policy": policy} | asdict(chain_cost(num, policy)))
                advance(num, f"n = {num}")
    lines: dict[str, Any] = {policy: {} for policy in POLICIES}
    for policy in POLICIES:
        for name in _AMOUNTS:
            amounts = [row[name] for row in rows if row["policy"] == policy]
            fit = linregress(nums, amounts)
            lines[policy][name] = {
                "slope": float(fit.slope),
                "intercept": float(fit.intercept),
                "r_squared": float(fit.rvalue) ** 2 if len(set(amounts)) > 1 else None,
            }
    values = {"layer": layer_facts(), "rows": rows, "lines": lines, "formula_slopes": formula_slopes()}
    return Answer(values, [setting.draw("c4-layers", _draw_growth(rows, lines))])


def layer_facts() -> dict[str, int]:
    """Return the sizes of one layer of a chain, and the FLOPs of its forward pass."""
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
    """Return what a further layer adds by the formula.

    A layer that learns adds its map, and of each of its weights a gradient and two moments; it computes its
    output, the gradient of its weights and that of its input. A frozen one computes its output.
    """
    layer = layer_facts()
    peak_bytes = layer["map_bytes"] + _STATES * layer["weights_bytes"]
    return {
        "whole": {"saved_bytes": layer["map_bytes"], "peak_bytes": peak_bytes, "flops": 3 * layer["flops"]},
        "last": {"saved_bytes": 0, "peak_bytes": 0, "flops": layer["flops"]},
    }


def _draw_growth(rows: Sequence[dict[str, Any]], lines: dict[str, Any]) -> Drawing:
    panels = (
        ("saved_bytes", 1e6, "Saved for the backward pass, MB"),
        ("peak_bytes", 1e6, "Peak beside the weights, MB"),
        ("flops", 1e9, "Computation, GFLOP a step"),
        ("seconds", 1, "Seconds a step"),
    )
    styles = (
        ("whole", "o", ON_LIGHT.train, "all layers learn"),
        ("last", "s", ON_LIGHT.val, "the last layer learns"),
    )
    ends = np.array([0, rows[-1]["layers"]])
    with new_drawing(9, 6.4) as drawing:
        for axes, (name, unit, title) in zip(drawing.figure.subplots(2, 2).flat, panels, strict=True):
            for policy, marker, colour, label in styles:
                own, line = [row for row in rows if row["policy"] == policy], lines[policy][name]
                x, y = [row["layers"] for row in own], [row[name] / unit for row in own]
                axes.plot(x, y, marker, color=colour, markersize=5.5, label=label)
                axes.plot(ends, (line["slope"] * ends + line["intercept"]) / unit, color=colour)
            axes.set_title(title, loc="left")
            axes.set_xlabel("layers, n")
            axes.set_ylim(bottom=0)
            axes.set_xlim(left=0)
        drawing.figure.axes[0].legend(frameon=False, loc="upper left")
    return drawing


def answer_c5(setting: Setting) -> Answer:
    """Measure memory, computation and parameters of the handout's network as height and width double."""
    once = _QUICK_SIDE if setting.quick else _HANDOUT_SIDE
    sides, rows, ratios = [once, 2 * once], list[dict[str, Any]](), list[dict[str, Any]]()
    with progress("doubling height and width", len(POLICIES) * len(sides)) as advance:
        for policy in POLICIES:
            for side in sides:
                cost = asdict(handout_cost(policy, side))
                rows.append({"network": HANDOUT_NETWORK, "policy": policy, "side": side} | cost)
                advance(1, f"{side} pixels")
            less, more = rows[-2:]
            names = (*_AMOUNTS, "num_parameters")
            ratios.append({"policy": policy} | {name: more[name] / less[name] for name in names})
    return Answer({"sides": sides, "rows": rows, "ratios": ratios})
