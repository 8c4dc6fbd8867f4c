"""Question A3: weights, outputs and connections of a network, as formulas that the network itself yields.

No formula of a network is written here. It is built and run without content (device "meta") at a few
settings, and the sizes of each layer's tensors are read off. From one setting to the next a single quantity
changes, so the sizes become linear expressions in

    NF filters, NC colours, NIC channels of the input, k side of the kernel, H and W of the input.

At further settings, where everything differs at once, they have to come out as predicted, or there is no
formula. Counts are products and sums of these sizes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import sympy
import torch
from sympy import Expr, Integer, Matrix, Symbol
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from pixelwise.errors import ShapeError
from pixelwise.lab.answer import Answer, Setting
from pixelwise.network.config import CNNConfig, NetConfig, UNetConfig
from pixelwise.network.models import build

Kind = Literal["convolution", "resizing", "other"]
_KINDS: tuple[Kind, ...] = ("convolution", "resizing", "other")
Values = dict[Symbol, int]
"""A number for each of the symbols below."""

NF, NC, NIC, K, H, W = sympy.symbols("NF NC NIC k H W")
_FIELDS = {NF: "num_filters", NC: "num_colours", NIC: "num_in_channels", K: "kernel"}
_TENSORS = ("weight", "bias", "output")
_SIDE = 32  # of the handout's pictures, in pixels
# Base and steps decide the formulas, the others test them. Heights and widths are multiples of the stride, 4.
_BASE: Values = {NF: 3, NC: 4, NIC: 1, K: 3, H: 8, W: 12}
_STEPS: Values = {NF: 2, NC: 3, NIC: 2, K: 2, H: 12, W: 4}
_TESTS: tuple[Values, ...] = (
    {NF: 8, NC: 5, NIC: 2, K: 7, H: 4, W: 24},
    {NF: 2, NC: 9, NIC: 4, K: 1, H: 28, W: 8},
    {NF: 11, NC: 2, NIC: 5, K: 9, H: 12, W: 20},
)


@dataclass(frozen=True)
class Layer:
    """Sizes of a layer's tensors for one picture, in numbers or in formulas."""

    kind: Kind
    """Resizing is pooling or upsampling; other is batch norm or ReLU."""
    weight: tuple[Expr, ...]
    """(out, in, k, k) of a convolution, (channels,) of a norm, or ()."""
    bias: tuple[Expr, ...]
    output: tuple[Expr, ...]
    """(channels, height, width)."""

    @property
    def weights(self) -> Expr:
        """Number of weights without biases."""
        return sympy.prod(self.weight) if self.weight else Integer(0)

    @property
    def parameters(self) -> Expr:
        """Number of weights and biases."""
        return self.weights + (sympy.prod(self.bias) if self.bias else 0)

    @property
    def outputs(self) -> Expr:
        """Number of outputs for one picture."""
        return sympy.prod(self.output)

    @property
    def connections(self) -> Expr:
        """Number of products that a convolution adds up, those with padding too."""
        return self.outputs * sympy.prod(self.weight[1:])


COUNTS: dict[str, tuple[str, tuple[Kind, ...], str]] = {
    "weights": ("weights", ("convolution",), "convolutions without biases"),
    "weights_with_biases": ("parameters", ("convolution",), "convolutions with biases"),
    "parameters": ("parameters", _KINDS, "all that is learned, batch norms too"),
    "outputs": ("outputs", ("convolution",), "convolutions"),
    "outputs_with_resizing": ("outputs", _KINDS[:2], "convolutions, pooling, upsampling"),
    "connections": ("connections", ("convolution",), "convolutions, to padding too, without biases"),
}
"""Count -> property of a layer, the kinds of layers that it takes in, and these in words."""


@dataclass(frozen=True, kw_only=True)
class NetworkCounts:
    """All counts of a network, as formulas and at one setting."""

    layers: tuple[Layer, ...]
    """With formulas for sizes."""
    values: Values

    @property
    def doubled(self) -> NetworkCounts:
        """These counts at twice the height and width."""
        return replace(self, values=self.values | {one: 2 * self.values[one] for one in (H, W)})

    def formula(self, count: str) -> Expr:
        """Return one of `COUNTS` in all symbols."""
        name, kinds, _ = COUNTS[count]
        return sympy.expand(sum(getattr(layer, name) for layer in self.layers if layer.kind in kinds))

    def formula_in_net(self, count: str) -> Expr:
        """Return one of `COUNTS` in NF and NC alone, as the handout asks for it."""
        return self.formula(count).subs({one: n for one, n in self.values.items() if one not in (NF, NC)})

    def value(self, count: str) -> int:
        """Return one of `COUNTS` as a number."""
        return int(self.formula(count).subs(self.values))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON; formulas as Python writes them."""
        return self._counts() | {
            "doubled": self.doubled._counts(),
            "general": {name: str(self.formula(name)) for name in COUNTS},
            "takes_in": {name: words for name, (_, _, words) in COUNTS.items()},
            "setting": {str(symbol): number for symbol, number in self.values.items()},
        }

    def _counts(self) -> dict[str, Any]:
        return {
            name: {"formula": str(self.formula_in_net(name)), "value": self.value(name)} for name in COUNTS
        }


def answer_a3(setting: Setting) -> Answer:
    """Count the CNN and, under `unet`, the U-Net; torch's own counts are under `measured`."""
    del setting
    cnn, unet = (
        count_network(config).to_dict() | {"measured": _measure(config)}
        for config in (CNNConfig(), UNetConfig())
    )
    return Answer(cnn | {"unet": unet})


def _measure(config: NetConfig) -> dict[str, int]:
    """Return the parameters, and the FLOPs of a pass, of a network as it is built."""
    net = build(config).eval()
    found = {"parameters": sum(one.numel() for one in net.parameters())}
    for name, side in (("flops", _SIDE), ("doubled_flops", 2 * _SIDE)):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net(torch.zeros(1, config.num_in_channels, side, side))
        found[name] = counter.get_total_flops()
    return found


def count_network(config: NetConfig, height: int = _SIDE, width: int = _SIDE) -> NetworkCounts:
    """Return all counts of a network of the handout at a height and width that its stride divides.

    Raises:
        ShapeError: there are no formulas for such a network.
    """
    values = {symbol: getattr(config, name) for symbol, name in _FIELDS.items()} | {H: height, W: width}
    return NetworkCounts(layers=derive(config), values=values)


def derive(config: NetConfig) -> tuple[Layer, ...]:
    """Return the layers of a network with formulas for their sizes, from runs of it at several settings.

    Raises:
        ShapeError: a size is not linear, or layers come and go.
    """
    base = _run(config, _BASE)
    steps = {one: _run(config, _BASE | {one: _BASE[one] + _STEPS[one]}) for one in _BASE}
    layers = []
    for place, layer in enumerate(base):
        formulas: dict[str, Any] = {}
        for tensor in _TENSORS:
            sizes = Matrix(getattr(layer, tensor))
            for symbol, run in steps.items():
                difference = Matrix(getattr(run[place], tensor)) - Matrix(getattr(layer, tensor))
                sizes += difference * (symbol - _BASE[symbol]) / _STEPS[symbol]
            formulas[tensor] = tuple(sizes.expand())
        layers.append(replace(layer, **formulas))
    for values in _TESTS:
        found = []
        for one in layers:
            numbers: dict[str, Any] = {
                tensor: tuple(size.subs(values) for size in getattr(one, tensor)) for tensor in _TENSORS
            }
            found.append(replace(one, **numbers))
        if found != list(_run(config, values)):
            raise ShapeError(f"needed layers whose sizes are linear, those of {config} are not")
    return tuple(layers)


def _run(config: NetConfig, values: Values) -> tuple[Layer, ...]:
    """Return the layers of a network at one setting, in numbers."""
    options: dict[str, Any] = {name: values[symbol] for symbol, name in _FIELDS.items()}
    with torch.device("meta"):
        net = build(replace(config, **options)).eval()
        return read_layers(net, torch.empty(1, values[NIC], values[H], values[W]))


def read_layers(net: nn.Module, picture: Tensor) -> tuple[Layer, ...]:
    """Return the layers of a network in the order in which a picture (1, C, H, W) passes them, in numbers."""
    layers: list[Layer] = []

    def read(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        sizes = {one: tuple(map(Integer, held.shape)) for one, held in module.named_parameters()}
        weight = sizes.get("weight", ())
        is_resized = inputs[0].shape[2:] != output.shape[2:]
        kind: Kind = "convolution" if len(weight) == 4 else "resizing" if is_resized else "other"
        layers.append(Layer(kind, weight, sizes.get("bias", ()), tuple(map(Integer, output.shape[1:]))))

    hooks = [one.register_forward_hook(read) for one in net.modules() if not any(one.children())]
    with torch.no_grad():
        net(picture)
    for hook in hooks:
        hook.remove()
    return tuple(layers)
