"""Pictures of a network of the handout: how its blocks are joined, and the maps of each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy import ndarray
from torch import Tensor, nn

from pixelwise.colour.shapes import Grey
from pixelwise.report.figures import ON_LIGHT, Drawing, new_figure, styled

INPUT = "input"
"""Name of the picture among the sources of a block."""
_STEP = 1.5  # from one block to the next in the picture of a network; the tallest is 1 high
_LOWEST, _LANE = 0.64, 0.14  # heights of the lowest arrow above the blocks, and from one to the next
_COLUMNS = 16  # maps in a row
_BRIGHTEST = 0.995  # quantile of a block's values that is shown in white


@dataclass(frozen=True, eq=False)
class Block:
    """A named part of a network, and its output for one picture."""

    name: str
    layers: tuple[nn.Module, ...]
    """In the order in which they run."""
    reads: tuple[str, ...]
    """The blocks whose outputs it reads, concatenated; `INPUT` is the picture."""
    maps: Float[Tensor, "C H W"]

    @property
    def num_learned(self) -> int:
        """Number of parameters."""
        return sum(one.numel() for layer in self.layers for one in layer.parameters())


def find_blocks(net: nn.Module, picture: Grey) -> tuple[Block, ...]:
    """Return the blocks of a network in the order in which one picture (1, C, H, W) passes them.

    The sources of a block are found by following autograd's graph back, so every skip connection drawn is
    one that the computation has.
    """
    outputs: list[tuple[str, Tensor, Tensor]] = []
    blocks = dict(net.named_children())

    def keep(block: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        name = next(name for name, one in blocks.items() if one is block)
        outputs.append((name, inputs[0], output))

    hooks = [block.register_forward_hook(keep) for block in blocks.values()]
    x = picture.detach().clone().requires_grad_()
    try:
        with torch.enable_grad():
            net(x)
    finally:
        for hook in hooks:
            hook.remove()
    made_by: dict[Any, str] = {}
    found = []
    for name, read, output in outputs:
        reads = (INPUT,) if read is x else tuple(dict.fromkeys(_sources(read.grad_fn, made_by)))
        made_by[output.grad_fn] = name
        layers = tuple(one for one in blocks[name].modules() if not any(one.children()))
        found.append(Block(name, layers, reads, output[0].detach()))
    return tuple(found)


def _sources(node: Any, made_by: dict[Any, str]) -> Iterator[str]:
    """Yield the blocks, or the picture, whose values reach a node of autograd's graph."""
    if node in made_by:
        yield made_by[node]
    elif hasattr(node, "variable"):  # a leaf
        yield INPUT
    else:
        for before, _ in node.next_functions:
            if before is not None:
                yield from _sources(before, made_by)


def describe_layer(layer: nn.Module) -> str:
    """Return a layer in a few words, such as "MyConv2d 32 → 64, 3×3"."""
    name = type(layer).__name__
    match [tuple(one.shape) for one in layer.parameters()]:
        case [(num_out, num_in, height, width), *_]:
            return f"{name} {num_in} → {num_out}, {height}×{width}"
        case [(channels,), *_]:
            return f"{name} {channels}"
    factor = getattr(layer, "kernel_size", getattr(layer, "scale_factor", None))
    return name if factor is None else f"{name} {factor:g}"


def draw_network(blocks: Sequence[Block], picture: Grey) -> Drawing:
    """Draw the blocks from left to right, with their layers below and arrows from what they read.

    Heights are those of the maps, widths grow with the logarithm of their number.
    """
    sizes = {INPUT: tuple(picture.shape[1:])} | {one.name: tuple(one.maps.shape) for one in blocks}
    tallest = max(height for _, height, _ in sizes.values())
    places = {name: _STEP * index for index, name in enumerate(sizes)}
    lines = {one.name: [*map(describe_layer, one.layers), f"{one.num_learned:,} learned"] for one in blocks}
    skips = 0
    with styled(ON_LIGHT):
        figure = new_figure(1.6 * len(sizes), 4.1)
        axes = figure.subplots()
        for name, (channels, height, width) in sizes.items():
            x, box_width, box_height = places[name], 0.1 + 0.07 * math.log2(channels), height / tallest
            corner = (x - box_width / 2, -box_height / 2)
            axes.add_patch(
                Rectangle(corner, box_width, box_height, facecolor="#cfe3f2", edgecolor=ON_LIGHT.val)
            )
            text: dict[str, Any] = {"ha": "center", "va": "top"}
            axes.text(x, -0.62, name, weight="bold", fontsize=10, **text)
            axes.text(x, -0.77, f"{channels} × {height}×{width}", fontsize=9, **text)
            axes.text(x, -0.95, "\n".join(lines.get(name, [])), fontsize=7.5, **text)
        spans = [(source, one.name) for one in blocks for source in one.reads]
        for source, name in sorted(spans, key=lambda span: places[span[1]] - places[span[0]]):
            start, end = places[source], places[name]
            if end - start <= _STEP:
                _draw_arrow(axes, [(start + 0.34, 0), (end - 0.34, 0)], ON_LIGHT.text)
                continue
            low, high = (sizes[one][1] / tallest / 2 + 0.02 for one in (source, name))
            peak = _LOWEST + _LANE * skips
            _draw_arrow(axes, [(start, low), (start, peak), (end, peak), (end, high)], ON_LIGHT.train)
            label = {"ha": "center", "va": "bottom", "fontsize": 8, "color": ON_LIGHT.train}
            axes.text((start + end) / 2, peak, f"{sizes[source][0]} beside", **label)
            skips += 1
        axes.set_xlim(-0.6, _STEP * len(blocks) + 0.8)
        axes.set_ylim(-1.65, _LOWEST + _LANE * skips + 0.1)
        axes.set_axis_off()
    return Drawing(figure, ON_LIGHT)


def _draw_arrow(axes: Axes, points: list[tuple[float, float]], colour: str) -> None:
    axes.plot(*zip(*points, strict=True), color=colour, linewidth=1.3)
    axes.annotate("", points[-1], points[-2], arrowprops={"arrowstyle": "-|>", "color": colour, "shrinkB": 0})


def draw_activations(blocks: Sequence[Block], picture: Grey) -> Drawing:
    """Draw the picture and, below it, the maps of each block, on one grey scale for each block."""
    mosaics = [_mosaic(one.maps) for one in blocks]
    heights = [10 * one.shape[0] / one.shape[1] for one in mosaics]
    with styled(ON_LIGHT):
        figure = new_figure(10, sum(heights) + 0.35 * len(heights) + 1.6)
        axes = figure.subplots(len(mosaics) + 1, height_ratios=[1.3, *heights])
        axes[0].imshow(picture[0].mean(0).numpy(), cmap="gray", interpolation="nearest")
        axes[0].set_title("The picture, as the network reads it", fontsize=10)
        for place, one, mosaic in zip(axes[1:], blocks, mosaics, strict=True):
            low, high = float(one.maps.min()), float(torch.quantile(one.maps.flatten().float(), _BRIGHTEST))
            place.imshow(mosaic, cmap="gray", interpolation="nearest", vmin=low, vmax=high)
            channels, height, width = one.maps.shape
            title = f"{one.name}: {channels} maps of {height}×{width}, {low:.2g} to {one.maps.max():.2g}"
            place.set_title(title, loc="left", fontsize=10)
        for place in axes:
            place.set_axis_off()
    return Drawing(figure, ON_LIGHT)


def _mosaic(maps: Float[Tensor, "N H W"]) -> Float[ndarray, "h w"]:
    """Lay maps beside and below each other, with NaN between them."""
    num, _, width = maps.shape
    gap, columns = max(1, width // 16), min(num, _COLUMNS)
    padded = F.pad(maps, (0, gap, 0, gap, 0, -num % columns), value=math.nan)
    rows = padded.unflatten(0, (-1, columns)).transpose(1, 2)  # (rows, H + gap, columns, W + gap)
    return rows.flatten(2).flatten(0, 1)[:-gap, :-gap].numpy()
