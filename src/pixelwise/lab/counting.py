"""Question A3: weights, outputs and connections of a network, as formulas that the network itself yields.

It is built and run without content (device "meta") at a few settings, and hooks read off the sizes of each
layer's tensors. From one setting to the next a single quantity changes, so the sizes become linear
expressions. At further settings, where everything differs at once, they have to come out as predicted, or
there is no formula. Counts are products and sums of these sizes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import sympy
import torch
from sympy import Expr, Matrix, Symbol
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from pixelwise.errors import ShapeError
from pixelwise.lab.answer import Answer, Setting
from pixelwise.lab.networks import num_parameters
from pixelwise.network.config import CNNConfig, NetConfig, UNetConfig
from pixelwise.training.models import build

Values = dict[Symbol, int]  # a number for each of these symbols
# filters, colours, channels of the input, side of the kernel, height and width of the input
NF, NC, NIC, K, H, W = sympy.symbols("NF NC NIC k H W")
_FIELDS = {NF: "num_filters", NC: "num_colours", NIC: "num_in_channels", K: "kernel"}
_SIDE = 32  # of the handout's pictures, in pixels
# Base and steps decide the formulas, the others test them. Heights and widths are multiples of the stride, 4.
_BASE: Values = {NF: 3, NC: 4, NIC: 1, K: 3, H: 8, W: 12}
_STEPS: Values = {NF: 2, NC: 3, NIC: 2, K: 2, H: 12, W: 4}
_TESTS: tuple[Values, ...] = (
    {NF: 8, NC: 5, NIC: 2, K: 7, H: 4, W: 24},
    {NF: 2, NC: 9, NIC: 4, K: 1, H: 28, W: 8},
    {NF: 11, NC: 2, NIC: 5, K: 9, H: 12, W: 20},
)
COUNTS = ("weights", "weights_with_biases", "parameters", "outputs", "outputs_with_resizing", "connections")
"""Of convolutions; but `parameters` has all that is learned, and `resizing` is pooling and upsampling."""


@dataclass(frozen=True)
class NetworkCounts:
    """All `COUNTS` of each layer, as formulas in all symbols, and one setting of the network."""

    layers: dict[str, dict[str, Expr]]  # layer -> what it adds to each count
    values: Values

    @property
    def formulas(self) -> dict[str, Expr]:
        """The counts of the whole network."""
        return {name: sympy.Add(*(own[name] for own in self.layers.values())) for name in COUNTS}

    @property
    def doubled(self) -> NetworkCounts:
        """These counts at twice the height and width."""
        return replace(self, values=self.values | {side: 2 * self.values[side] for side in (H, W)})

    def formula_in_net(self, count: str) -> Expr:
        """Return a count in NF and NC alone, as the handout asks for it."""
        return self._in_net(self.formulas[count])

    def _in_net(self, formula: Expr) -> Expr:
        return formula.subs({s: n for s, n in self.values.items() if s not in (NF, NC)})

    def value(self, count: str) -> int:
        """Return a count as a number."""
        return int(self.formulas[count].subs(self.values))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON; formulas as Python writes them."""
        return self._counts() | {
            "doubled": self.doubled._counts(),
            "general": {name: str(formula) for name, formula in self.formulas.items()},
            "layers": {
                layer: {name: str(self._in_net(own[name])) for name in COUNTS}
                for layer, own in self.layers.items()
                if own["outputs_with_resizing"]
            },
            "setting": {str(symbol): number for symbol, number in self.values.items()},
        }

    def _counts(self) -> dict[str, Any]:
        return {
            name: {"formula": str(self._in_net(formula)), "value": self.value(name)}
            for name, formula in self.formulas.items()
        }


def answer_a3(setting: Setting) -> Answer:
    """Count the CNN and, under `unet`, the U-Net; torch's own counts are under `measured`."""
    cnn, unet = (
        count_network(config).to_dict() | {"measured": _measure(config)}
        for config in (CNNConfig(**setting.counted), UNetConfig(**setting.counted))
    )
    return Answer(cnn | {"unet": unet, "chosen": setting.counted})


def _measure(config: NetConfig) -> dict[str, int]:
    net = build(config).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(1, config.num_in_channels, _SIDE, _SIDE))
    return {"parameters": num_parameters(net), "flops": counter.get_total_flops()}


def count_network(config: NetConfig, height: int = _SIDE, width: int = _SIDE) -> NetworkCounts:
    """Return all counts of a network at a height and width; ShapeError if its sizes are not linear."""
    kinds, base = _read_layers(config, _BASE)
    sizes = base
    for symbol, step in _STEPS.items():
        _, changed = _read_layers(config, _BASE | {symbol: _BASE[symbol] + step})
        sizes += (changed - base) * (symbol - _BASE[symbol]) / step
    if any((kinds, sizes.subs(values)) != _read_layers(config, values) for values in _TESTS):
        raise ShapeError(f"needed layers whose sizes are linear, those of {config} are not")
    layers = {name: _count(kind, list(sizes.row(index))) for index, (name, kind) in enumerate(kinds)}
    values = {symbol: getattr(config, name) for symbol, name in _FIELDS.items()} | {H: height, W: width}
    return NetworkCounts(layers, values)


def _count(kind: str, row: list[Expr]) -> dict[str, Expr]:
    """Return what a layer of these sizes adds to the counts."""
    weights, biases, outputs = sympy.prod(row[:4]), row[4], sympy.prod(row[5:])
    convolves, counts = int(kind == "convolution"), int(kind != "other")
    added = (
        convolves * weights,
        convolves * (weights + biases),
        weights + biases,
        convolves * outputs,
        counts * outputs,
        convolves * outputs * sympy.prod(row[1:4]),
    )
    return {name: sympy.expand(formula) for name, formula in zip(COUNTS, added, strict=True)}


def _read_layers(config: NetConfig, values: Values) -> tuple[list[tuple[str, str]], Matrix]:
    """Return the layers' names and kinds, and their sizes, in the order that a picture passes them.

    A layer's row has the weight's (out, in, k, k), the bias's (out), and the output's (channels, height,
    width). A norm's weight is (channels, 1, 1, 1); a layer without weights has zeros.
    """
    kinds: list[tuple[str, str]] = []
    sizes: list[list[int]] = []

    def read(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        shapes = {name: list(tensor.shape) for name, tensor in layer.named_parameters()}
        weight = shapes.get("weight", [0])
        is_resized = inputs[0].shape[2:] != output.shape[2:]
        kind = "convolution" if len(weight) == 4 else "resizing" if is_resized else "other"
        kinds.append((f"{names[layer]} {type(layer).__name__}", kind))
        sizes.append([*weight, *[1] * (4 - len(weight)), *shapes.get("bias", [0]), *output.shape[1:]])

    options: dict[str, Any] = {name: values[symbol] for symbol, name in _FIELDS.items()}
    with torch.device("meta"), torch.no_grad():
        net = build(replace(config, **options)).eval()
        names = {layer: name for name, layer in net.named_modules() if not any(layer.children())}
        for layer in names:
            layer.register_forward_hook(read)
        net(torch.empty(1, values[NIC], values[H], values[W]))
    return kinds, Matrix(sizes)
