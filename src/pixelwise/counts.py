"""How many weights, outputs and connections a network has, as formulas that the network itself yields.

No formula of a network is written here. It is built and run without content at a few settings, and the sizes
of each layer's tensors are read off. From one setting to the next a single quantity changes, which tells how
each size depends on it; so the sizes become linear expressions in

    NF filters, NC colours, NIC channels of the input, k side of the kernel, H and W of the input.

At further settings, where everything differs at once, they have to come out as predicted, or there is no
formula. Counts are products and sums of these sizes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, Literal

import sympy
import torch
from sympy import Expr, Integer, Rational, Symbol
from torch import Tensor, nn

from pixelwise.config import HANDOUT_CONFIGS, NET_NAMES, NetConfig
from pixelwise.errors import ConfigError, ShapeError
from pixelwise.models import build

Kind = Literal["convolution", "resizing", "norm", "activation"]
Setting = dict[Symbol, int]
"""A number for each of the symbols below."""
Builder = Callable[[Any], nn.Module]
"""Makes a network of its configuration, as `pixelwise.models.build` does; the network knows its `stride`."""

NF, NC, NIC, K, H, W = sympy.symbols("NF NC NIC k H W")
_FIELDS = {NF: "num_filters", NC: "num_colours", NIC: "num_in_channels", K: "kernel"}

# Heights and widths are in strides here. Base and steps decide the formulas, the last three test them.
_BASE: Setting = {NF: 3, NC: 4, NIC: 1, K: 3, H: 2, W: 3}
_STEPS: Setting = {NF: 2, NC: 3, NIC: 2, K: 2, H: 3, W: 1}
_LEFT_OUT: tuple[Setting, ...] = (
    {NF: 8, NC: 5, NIC: 2, K: 7, H: 1, W: 6},
    {NF: 2, NC: 9, NIC: 4, K: 1, H: 7, W: 2},
    {NF: 11, NC: 2, NIC: 5, K: 9, H: 3, W: 5},
)


@dataclass(frozen=True)
class Layer:
    """One layer: what it holds, and what it gives for one picture; in numbers or in formulas."""

    name: str
    """Where it is in the network, such as down1.0."""
    module: str
    """Its class, such as MyConv2d."""
    kind: Kind
    """Told by what it does: resizing is pooling or upsampling."""
    weight: tuple[Expr, ...]
    """Of a convolution (out, in, k, k), of a norm (channels,), of others ()."""
    bias: tuple[Expr, ...]
    """(out,), or ()."""
    output: tuple[Expr, ...]
    """(channels, height, width)."""

    @property
    def weights(self) -> Expr:
        """Numbers that multiply."""
        return _product(self.weight)

    @property
    def parameters(self) -> Expr:
        """Numbers that are learned."""
        return self.weights + _product(self.bias)

    @property
    def outputs(self) -> Expr:
        """Numbers that it gives for one picture."""
        return _product(self.output)

    @property
    def connections(self) -> Expr:
        """Of a convolution: from each output to all that its window covers, padding too; of others 0."""
        return self.outputs * _product(self.weight[1:])

    @property
    def connections_with_biases(self) -> Expr:
        """The same, and one from each output to its bias, if there is one."""
        return self.connections + (self.outputs if self.bias else 0)

    def with_sizes(self, change: Callable[[str, int, Expr], Expr]) -> Layer:
        """The same layer with each size changed; `change` is told the tensor, the axis and the size."""
        changed: dict[str, Any] = {
            name: tuple(change(name, axis, size) for axis, size in enumerate(getattr(self, name)))
            for name in ("weight", "bias", "output")
        }
        return replace(self, **changed)

    def at(self, setting: Setting) -> Layer:
        """The same layer with numbers for symbols."""
        return self.with_sizes(lambda _name, _axis, size: size.subs(setting))


def _product(shape: tuple[Expr, ...]) -> Expr:
    """Numbers in a tensor; none where there is no tensor."""
    return sympy.prod(shape) if shape else Integer(0)


@dataclass(frozen=True)
class Count:
    """A way of counting."""

    takes_in: str
    """In words: which layers count, and what of them."""
    kinds: tuple[Kind, ...]
    of: Callable[[Layer], Expr]

    def share(self, layer: Layer) -> Expr:
        """What one layer adds."""
        return self.of(layer) if layer.kind in self.kinds else Integer(0)


_CONVOLUTIONS: tuple[Kind, ...] = ("convolution",)
_RESIZING: tuple[Kind, ...] = ("convolution", "resizing")
_ALL: tuple[Kind, ...] = ("convolution", "resizing", "norm", "activation")
COUNTS: dict[str, Count] = {
    "weights": Count("convolutions without biases", _CONVOLUTIONS, attrgetter("weights")),
    "weights_with_biases": Count("convolutions with biases", _CONVOLUTIONS, attrgetter("parameters")),
    "parameters": Count("all that is learned, batch norms too", _ALL, attrgetter("parameters")),
    "outputs": Count("convolutions", _CONVOLUTIONS, attrgetter("outputs")),
    "outputs_with_resizing": Count("convolutions, pooling, upsampling", _RESIZING, attrgetter("outputs")),
    "outputs_of_all": Count("all layers, batch norms and ReLU too", _ALL, attrgetter("outputs")),
    "connections": Count(
        "convolutions, to padding too, without biases", _CONVOLUTIONS, attrgetter("connections")
    ),
    "connections_with_biases": Count(
        "convolutions, to padding and to biases too", _CONVOLUTIONS, attrgetter("connections_with_biases")
    ),
}
"""Textbooks and students disagree on what counts, so that each way has its name."""

_ASKED = ("weights", "outputs", "connections", "parameters")


def look_through(net: nn.Module, picture: Tensor) -> tuple[Layer, ...]:
    """The layers of a network in the order in which a picture (1, C, H, W) passes them, in numbers.

    Concatenation lays maps beside each other and makes none: it is no layer.
    """
    layers: list[Layer] = []

    def note(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        return lambda module, inputs, output: layers.append(_read(name, module, inputs[0], output))

    hooks = [
        module.register_forward_hook(note(name))
        for name, module in net.named_modules()
        if not any(module.children())
    ]
    with torch.no_grad():
        net(picture)
    for hook in hooks:
        hook.remove()
    return tuple(layers)


def _read(name: str, module: nn.Module, given: Tensor, output: Tensor) -> Layer:
    """A layer as it is while it works."""
    held = {one: _sizes(parameter) for one, parameter in module.named_parameters()}
    weight, bias = (held.get(one, ()) for one in ("weight", "bias"))
    kind: Kind = "activation"
    if weight:
        kind = "convolution" if len(weight) == 4 else "norm"
    elif given.shape[2:] != output.shape[2:]:
        kind = "resizing"
    return Layer(name, type(module).__name__, kind, weight, bias, _sizes(output)[1:])


def _sizes(one: Tensor) -> tuple[Expr, ...]:
    return tuple(Integer(size) for size in one.shape)


def derive(config: NetConfig, build: Builder = build) -> tuple[Layer, ...]:
    """The layers of a network with formulas for their sizes, from runs of it at several settings.

    Of the configuration all is kept that has no symbol here.

    Raises:
        ConfigError: the network stands on a backbone.
        ShapeError: a size is not linear, layers come and go, or something learned is in no layer.
    """
    name = NET_NAMES[type(config)]
    if any(not hasattr(config, field) for field in _FIELDS.values()):
        raise ConfigError(
            f"needed one of the networks {', '.join(HANDOUT_CONFIGS)}, got {name}; it stands on a backbone, "
            "so that its sizes do not follow from filters and a kernel alone"
        )
    stride = _without_content(build, config).stride
    base, steps, *left_out = (
        one | {H: one[H] * stride, W: one[W] * stride} for one in (_BASE, _STEPS, *_LEFT_OUT)
    )
    first = _run(build, config, base)
    stepped = {symbol: _run(build, config, base | {symbol: base[symbol] + steps[symbol]}) for symbol in base}
    if any(_outline(run) != _outline(first) for run in stepped.values()):
        raise ShapeError(
            f"needed the same layers at every setting, those of the {name} change with it; "
            "count them in numbers, by look_through"
        )
    layers = tuple(
        _fit(layer, {symbol: run[place] for symbol, run in stepped.items()}, base, steps)
        for place, layer in enumerate(first)
    )
    if any(tuple(one.at(setting) for one in layers) != _run(build, config, setting) for setting in left_out):
        raise ShapeError(
            f"needed layers whose sizes are linear in {', '.join(map(str, base))}, those of the {name} "
            "are not; count them in numbers, by look_through"
        )
    return layers


def _without_content(build: Builder, config: NetConfig) -> Any:
    """A network that has sizes only: nothing is filled, no random number drawn."""
    with torch.device("meta"):
        return build(config).eval()


def _run(build: Builder, config: NetConfig, setting: Setting) -> tuple[Layer, ...]:
    """The layers of a network at a setting, in numbers."""
    knobs: dict[str, Any] = {name: setting[symbol] for symbol, name in _FIELDS.items()}
    net = _without_content(build, replace(config, **knobs))
    layers = look_through(net, torch.empty(1, setting[NIC], setting[H], setting[W], device="meta"))
    learned = sum(parameter.numel() for parameter in net.parameters())
    found = sum(one.parameters for one in layers)
    if found != learned:
        raise ShapeError(
            f"needed each learned number in one layer that is passed once, the {NET_NAMES[type(config)]} "
            f"learns {learned}, its layers {found}; give each its own layer"
        )
    return layers


def _outline(layers: tuple[Layer, ...]) -> list[tuple[str, Kind, int]]:
    """What formulas cannot tell: which layers there are, and whether they have biases."""
    return [(one.name, one.kind, len(one.bias)) for one in layers]


def _fit(layer: Layer, stepped: dict[Symbol, Layer], base: Setting, steps: Setting) -> Layer:
    """A layer with formulas, from its sizes at the base and one step from there along each symbol."""

    def line(name: str, axis: int, size: Expr) -> Expr:
        slopes = {
            symbol: Rational(getattr(there, name)[axis] - size, steps[symbol])
            for symbol, there in stepped.items()
        }
        return sympy.expand(size + sum(slope * (symbol - base[symbol]) for symbol, slope in slopes.items()))

    return layer.with_sizes(line)


@dataclass(frozen=True, kw_only=True)
class Tally:
    """All counts of a network, as formulas and at one setting."""

    net: str
    """Its name: cnn, unet."""
    layers: tuple[Layer, ...]
    """With formulas for their sizes."""
    setting: Setting

    @property
    def doubled(self) -> Tally:
        """At twice the height and width."""
        return replace(self, setting=self.setting | {one: 2 * self.setting[one] for one in (H, W)})

    def formula(self, count: str) -> Expr:
        """One of `COUNTS`, in all symbols."""
        return sympy.expand(sum(COUNTS[count].share(layer) for layer in self.layers))

    def in_net(self, count: str) -> Expr:
        """The same in NF and NC alone, as the handout asks for it: the others are those of the setting."""
        return self.formula(count).subs({one: n for one, n in self.setting.items() if one not in (NF, NC)})

    def value(self, count: str) -> int:
        """The same as a number."""
        return int(self.formula(count).subs(self.setting))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; formulas as Python writes them, `frac` is a layer's share of the whole."""
        counts = self._counts()
        return counts | {
            "doubled": self.doubled._counts(),
            "general": {name: str(self.formula(name)) for name in COUNTS},
            "takes_in": {name: count.takes_in for name, count in COUNTS.items()},
            "setting": {str(symbol): number for symbol, number in self.setting.items()},
            "layers": [self._layer(one, counts) for one in self.layers],
        }

    def _counts(self) -> dict[str, Any]:
        return {name: {"formula": str(self.in_net(name)), "value": self.value(name)} for name in COUNTS}

    def _layer(self, layer: Layer, counts: dict[str, Any]) -> dict[str, Any]:
        told: dict[str, Any] = {"name": layer.name, "module": layer.module, "kind": layer.kind}
        told["output"] = [int(size.subs(self.setting)) for size in layer.output]
        for name, count in COUNTS.items():
            share = count.share(layer)
            number = int(share.subs(self.setting))
            told[name] = {"formula": str(share), "value": number, "frac": number / counts[name]["value"]}
        return told

    def describe(self) -> str:
        """Tables for people: the counts, what they are at any setting, and each layer's share."""
        at = ", ".join(f"{symbol} {number}" for symbol, number in self.setting.items())
        lines = [f"{self.net} at {at}", f"{'':39}{'H, W doubled':>14}  counted"]
        for name, count in COUNTS.items():
            values = f"{self.value(name):>14,}{self.doubled.value(name):>14,}"
            lines.append(f"{name.replace('_', ' '):25}{values}  {count.takes_in}")
            lines.append(f"    {readable(self.in_net(name))}")
        lines.append("at any setting")
        lines += [f"    {name:12}{readable(self.formula(name))}" for name in _ASKED]
        return "\n".join([*lines, *self._shares()])

    def _shares(self) -> list[str]:
        """Lines of a table: each convolution's numbers, and how much they are of the whole."""
        lines = [f"{'of the whole':23}" + "".join(f"{name:>23}" for name in _ASKED)]
        counts = self._counts()
        for layer in self.layers:
            if layer.parameters:
                told = self._layer(layer, counts)
                cells = [_cell(**told[name]) for name in _ASKED]
                lines.append((f"{layer.name:10}{layer.module:13}" + "".join(cells)).rstrip())
        return lines


def _cell(formula: str, value: int, frac: float) -> str:
    """A number and its share, or nothing; the formula would be too wide."""
    del formula
    return f"{value:>14,}{frac:>8.1%} " if value else f"{'':23}"


def readable(formula: Expr) -> str:
    """A formula as it is written by hand, but in ASCII."""
    return str(formula).replace("**", "^").replace("*", " ")


def tally(config: NetConfig, height: int = 32, width: int = 32) -> Tally:
    """All counts of a network at a height and width in pixels.

    Raises:
        ConfigError: height or width is not a multiple of the network's stride, or the network stands on
            a backbone.
        ShapeError: there are no formulas for such a network.
    """
    layers, name = derive(config), NET_NAMES[type(config)]
    stride = _without_content(build, config).stride
    if min(height, width) < stride or height % stride or width % stride:
        raise ConfigError(
            f"the {name} needs a height and width that {stride} divides, got {height} and {width}; "
            f"take {stride * max(1, round(height / stride))} and {stride * max(1, round(width / stride))}"
        )
    setting = {symbol: getattr(config, name) for symbol, name in _FIELDS.items()} | {H: height, W: width}
    return Tally(net=name, layers=layers, setting=setting)
