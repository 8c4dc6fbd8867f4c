"""A network made visible: its blocks and how they are joined, its first filters, what each block gives."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy import ndarray
from torch import Tensor, nn

from pixelwise.figures import ON_LIGHT, Drawing, new_figure, styled
from pixelwise.files import whole_file
from pixelwise.models.on_backbone import OnBackbone
from pixelwise.photos.photo import open_photo
from pixelwise.photos.view import reading_size
from pixelwise.runs import SAMPLES, Model, read_samples
from pixelwise.shapes import Grey

INPUT = "input"
"""What a block reads that reads the picture itself."""
BACKBONE = "backbone"
"""The block that is the frozen backbone, where a network has one."""
_SHEET = "#cfe3f2"
_STEP = 1.5  # from a block to the next in the picture of a network; the tallest is 1 high
_LOWEST, _LANE = 0.64, 0.14  # heights of the lowest arrow above the blocks, and from one to the next
_FEW, _COLUMNS = 32, 16  # maps that are shown so many in a row; more of them are shown half as large
_BRIGHTEST = 0.995  # of a block's values: a few larger ones would leave the rest in the dark


@dataclass(frozen=True, eq=False)
class Block:
    """A part of a network that its class gives a name, and what it made of one picture."""

    name: str
    layers: tuple[nn.Module, ...]
    """In the order in which they are passed; of a frozen backbone none."""
    reads: tuple[str, ...]
    """The blocks that it reads, beside each other; `INPUT` is the picture."""
    maps: Float[Tensor, "C H W"]
    """Its output, of several the last; what says one thing of the whole picture is of 1 x 1."""

    @property
    def num_learned(self) -> int:
        """Numbers that training changes."""
        return sum(one.numel() for layer in self.layers for one in layer.parameters())


def look_at_blocks(net: nn.Module, picture: Grey) -> tuple[Block, ...]:
    """The blocks of a network in the order in which one picture (1, C, H, W) passes them.

    Which block reads which is not stated anywhere: it is followed back through the record that torch keeps
    of a computation, so that skip connections are found, and none is drawn that is not there.
    """
    backbone = {BACKBONE: net.backbone} if isinstance(net, OnBackbone) else {}
    inside = backbone | dict(net.named_children())
    passed: list[tuple[str, Tensor, tuple[Tensor, ...]]] = []
    hooks = [
        block.register_forward_hook(
            lambda _block, given, made, name=name: passed.append(
                (name, given[0], made if isinstance(made, tuple) else (made,))
            )
        )
        for name, block in inside.items()
    ]
    x = picture.detach().clone().requires_grad_()
    try:
        with torch.enable_grad():
            net(x)
    finally:
        for hook in hooks:
            hook.remove()
    made_by: dict[Any, str] = {}
    blocks = []
    for name, given, made in passed:
        reads = (INPUT,) if given is x else tuple(dict.fromkeys(_sources(given.grad_fn, made_by)))
        made_by |= {one.grad_fn: name for one in made}
        leaves = (one for one in inside[name].modules() if not any(one.children()))
        maps = made[-1][0].detach()
        layers = () if name in backbone else tuple(leaves)
        blocks.append(Block(name, layers, reads, maps if maps.ndim == 3 else maps[:, None, None]))
    return tuple(blocks)


def _sources(node: Any, made_by: dict[Any, str]) -> Iterator[str]:
    """Whose outputs a computation goes back to: those of blocks, or the picture."""
    if node in made_by:
        yield made_by[node]
    elif hasattr(node, "variable"):  # where the record ends: what was given from outside
        yield INPUT
    else:
        for before, _ in node.next_functions:
            if before is not None:
                yield from _sources(before, made_by)


def describe_layer(layer: nn.Module) -> str:
    """A layer in a few words, such as "MyConv2d 32 → 64, 3×3"."""
    name = type(layer).__name__
    match [tuple(one.shape) for one in layer.parameters()]:
        case [(num_out, num_in, height, width), *_]:
            return f"{name} {num_in} → {num_out}, {height}×{width}"
        case [(channels,), *_]:
            return f"{name} {channels}"
    factor = getattr(layer, "kernel_size", getattr(layer, "scale_factor", None))
    return name if factor is None else f"{name} {factor:g}"


def draw_network(blocks: Sequence[Block], picture: Grey) -> Drawing:
    """The blocks from left to right as stacks of maps, with their layers below and what they read.

    Heights are those of the maps, widths grow with the logarithm of their number.
    """
    sizes = {INPUT: tuple(picture.shape[1:])} | {one.name: tuple(one.maps.shape) for one in blocks}
    tallest = max(height for _, height, _ in sizes.values())
    places = {name: _STEP * index for index, name in enumerate(sizes)}
    with styled(ON_LIGHT):
        figure = new_figure(1.6 * len(sizes), 4.1)
        axes = figure.subplots()
        for name, (channels, height, width) in sizes.items():
            _draw_stack(axes, places[name], channels, height / tallest)
            axes.text(places[name], -0.62, name, ha="center", va="top", weight="bold", fontsize=10)
            axes.text(
                places[name], -0.77, f"{channels} × {height}×{width}", ha="center", va="top", fontsize=9
            )
        for one in blocks:
            learned = f"{one.num_learned:,} learned" if one.layers else "frozen"
            lines = [*map(describe_layer, one.layers), learned]
            axes.text(places[one.name], -0.95, "\n".join(lines), ha="center", va="top", fontsize=7.5)
        order = list(sizes)
        spans = [(order.index(source), order.index(one.name)) for one in blocks for source in one.reads]
        lanes = _lanes([span for span in spans if span[1] - span[0] > 1])
        for span in spans:
            source, reader = (order[place] for place in span)
            if span not in lanes:
                _draw_path(axes, [(places[source] + 0.34, 0), (places[reader] - 0.34, 0)], ON_LIGHT.text)
                continue
            told = "maps beside" if source == BACKBONE else f"{sizes[source][0]} beside"
            start, end = ((places[name], sizes[name][1] / tallest / 2 + 0.02) for name in (source, reader))
            _draw_arch(axes, start, end, _LOWEST + _LANE * lanes[span], told)
        axes.set_xlim(-0.6, places[blocks[-1].name] + 0.8)
        axes.set_ylim(-1.65, _LOWEST + _LANE * max(lanes.values(), default=0) + 0.1)
        axes.set_axis_off()
    return Drawing(figure, ON_LIGHT)


def _lanes(spans: Sequence[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """How high above the blocks each arrow runs, from 0: the shorter the lower, none along another."""
    lanes: dict[tuple[int, int], int] = {}
    for start, end in sorted(spans, key=lambda span: (span[1] - span[0], span)):
        taken = {lane for (first, last), lane in lanes.items() if start <= last and first <= end}
        lanes[start, end] = next(lane for lane in itertools.count() if lane not in taken)
    return lanes


def _draw_stack(axes: Axes, centre: float, channels: int, height: float) -> None:
    """Maps one behind the other, seen from the side: the more channels, the wider."""
    width = 0.1 + 0.07 * math.log2(channels)
    corner = (centre - width / 2, -height / 2)
    axes.add_patch(Rectangle(corner, width, height, facecolor=_SHEET, edgecolor=ON_LIGHT.val, linewidth=1.2))


def _draw_arch(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], peak: float, told: str
) -> None:
    """From one block to a later one, above what lies between."""
    _draw_path(axes, [start, (start[0], peak), (end[0], peak), end], ON_LIGHT.train)
    middle, behind = (start[0] + end[0]) / 2, {"facecolor": "white", "linewidth": 0, "pad": 2}
    axes.text(
        middle, peak, told, ha="center", va="center", fontsize=8, color=ON_LIGHT.train, bbox=behind, zorder=3
    )


def _draw_path(axes: Axes, points: list[tuple[float, float]], colour: str) -> None:
    """A line with an arrow at its end."""
    axes.plot(*zip(*points, strict=True), color=colour, linewidth=1.3)
    axes.annotate("", points[-1], points[-2], arrowprops={"arrowstyle": "-|>", "color": colour, "shrinkB": 0})


def draw_activations(blocks: Sequence[Block], picture: Grey) -> Drawing:
    """The picture as it is read, and below it the maps of each block: the handout's plot_activation.

    The maps of a block share one scale, from its least value in black to nearly its greatest in white.
    """
    mosaics = [_mosaic(one.maps) for one in blocks]
    heights = [10 * one.shape[0] / one.shape[1] for one in mosaics]
    with styled(ON_LIGHT):
        figure = new_figure(10, sum(heights) + 0.35 * len(heights) + 1.6)
        axes = figure.subplots(len(mosaics) + 1, height_ratios=[1.3, *heights])
        axes[0].imshow(picture[0].mean(0).numpy(), cmap="gray", interpolation="nearest")
        axes[0].set_title("The picture, as it is read", fontsize=10)
        for place, one, mosaic in zip(axes[1:], blocks, mosaics, strict=True):
            high = float(torch.quantile(one.maps.flatten().float(), _BRIGHTEST))
            place.imshow(mosaic, cmap="gray", interpolation="nearest", vmin=float(one.maps.min()), vmax=high)
            place.set_title(_told(one), loc="left", fontsize=10)
        for place in axes:
            place.set_axis_off()
    return Drawing(figure, ON_LIGHT)


def _told(block: Block) -> str:
    """A block's maps in words."""
    channels, height, width = block.maps.shape
    low, high = float(block.maps.min()), float(block.maps.max())
    text = f"{block.name}: {channels} maps of {height}×{width}, {low:.2g} to {high:.2g}"
    num_dark = int((block.maps.flatten(1).amax(1) == 0).sum())
    return f"{text}; {num_dark} of them nothing but 0" if num_dark else text


def _mosaic(maps: Float[Tensor, "C H W"], columns: int | None = None) -> Float[ndarray, "h w"]:
    """Maps beside and below each other; nothing, NaN, between them."""
    num, height, width = maps.shape
    columns = columns or _COLUMNS * (1 if num <= _FEW else 2)
    gap = max(1, width // 16)
    rows = -(-num // columns)
    canvas = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), np.nan)
    for index, one in enumerate(maps.numpy()):
        row, column = (
            place * (size + gap) for place, size in zip(divmod(index, columns), (height, width), strict=True)
        )
        canvas[row : row + height, column : column + width] = one
    return canvas


def first_filters(net: nn.Module) -> Float[Tensor, "O I k k"]:
    """The weights of the first convolution, the backbone's where there is one."""
    first = net.backbone if isinstance(net, OnBackbone) else net
    return next(one.detach() for one in first.parameters() if one.ndim == 4)


def draw_filters(net: nn.Module) -> Drawing:
    """The filters of the first layer, for each channel that they read.

    Each is shown in shares of its own largest weight: the batch norm behind it takes its scale away.
    """
    weights = first_filters(net).float().cpu()
    weights = weights / weights.abs().amax((1, 2, 3), keepdim=True).clamp_min(torch.finfo().tiny)
    columns = min(_COLUMNS, len(weights))
    mosaics = [_mosaic(weights[:, channel], columns) for channel in range(weights.shape[1])]
    height = sum(9 * one.shape[0] / one.shape[1] for one in mosaics)
    with styled(ON_LIGHT):
        figure = new_figure(10, height + 0.7)
        axes = figure.subplots(len(mosaics), squeeze=False)[:, 0]
        for place, one in zip(axes, mosaics, strict=True):
            drawn = place.imshow(one, cmap="PuOr_r", interpolation="nearest", vmin=-1, vmax=1)
            place.set_axis_off()
        title = f"The {len(weights)} filters of the first layer, in shares of the largest weight of each"
        axes[0].set_title(title, loc="left")  # beside the colours it would be longer than they are high
        figure.colorbar(drawn, ax=list(axes), shrink=0.9, ticks=(-1, 0, 1))
    return Drawing(figure, ON_LIGHT)


def read_picture(photo: Path, model: Model) -> UInt8[Tensor, "3 H W"]:
    """A photo upright, at the size at which a model reads it.

    Raises:
        PhotoError: it cannot be read.
    """
    opened = open_photo(photo)
    size = reading_size(opened.height, opened.width, model.size, model.net.stride)
    return opened.upright(opened.thumbnail(*size))


def visualise(model: Model, picture: UInt8[Tensor, "3 H W"] | None = None) -> dict[str, Drawing]:
    """Figures of a model by name: `network`, `filters`, and `activations` for a picture in sRGB codes.

    Without a picture the first one that a run keeps of its own is taken; where there is none, activations
    are left out.
    """
    if picture is None and (Path(model.name) / SAMPLES).is_file():
        picture = read_samples(Path(model.name))[0]
    if picture is None:
        grey = torch.zeros(1, model.config.num_in_channels, model.size, model.size)
    else:
        grey = model.palette.read_grey(picture[None])
    blocks = look_at_blocks(model.net, grey)
    drawn = {"network": draw_network(blocks, grey), "filters": draw_filters(model.net)}
    return drawn if picture is None else drawn | {"activations": draw_activations(blocks, grey)}


def write_figures(out: Path, drawn: dict[str, Drawing]) -> dict[str, Path]:
    """Write figures as OUT/NAME.png; gives their paths by name.

    Raises:
        OutputError: one cannot be written.
    """
    paths = {name: out / f"{name}.png" for name in drawn}
    for name, path in paths.items():
        with whole_file(path, "choose another folder") as temporary:
            temporary.write_bytes(drawn[name].png())
    return paths
