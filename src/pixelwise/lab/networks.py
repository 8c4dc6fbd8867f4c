"""Questions A1 and B1: the CNN from a convolution of our own, and the U-Net; pictures of both."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from torch import Tensor, nn

from pixelwise.colour.arrays import Float
from pixelwise.lab.answer import Answer, Setting
from pixelwise.network.config import CNNConfig, NetConfig, UNetConfig, net_from_dict
from pixelwise.report.figures import ON_LIGHT, Drawing, new_drawing
from pixelwise.training.models import Network, build
from pixelwise.training.models.handout import MyConv2d, UNet
from pixelwise.training.shapes import Grey

INPUT = "input"  # name of the picture among the sources of a block
_STEP = 1.5  # from one block to the next in the picture of a network; the tallest is 1 high
_LOWEST, _LANE = 0.64, 0.14  # heights of the lowest arrow above the blocks, and from one to the next
SKIPS = {"full": ("input", "classes"), "half": ("down1", "up2"), "quarter": ("down2", "up1")}
"""Skip connections of the U-Net, by the size of their maps: source and reader."""
_SHAPES = ((1, 3, 3), (4, 2, 5), (3, 5, 1), (32, 64, 3))  # channels in and out, and kernel
# Options of the CNN, and what each is changed to by itself.
_OPTIONS = {"kernel": 5, "num_filters": 16, "num_colours": 12, "num_in_channels": 3}


def answer_a1(setting: Setting) -> Answer:
    """Describe the CNN of the handout's diagram, and compare MyConv2d with torch's convolution."""
    torch.manual_seed(setting.seed)
    net, picture = build(CNNConfig()).eval(), torch.rand(1, 1, 32, 32)
    blocks = find_blocks(net, picture)
    values = {
        "parameters": num_parameters(net),
        "blocks": [
            {
                "name": block.name,
                "layers": [describe_layer(layer) for layer in block.layers],
                "output": list(block.maps.shape),
                "parameters": num_parameters(*block.layers),
            }
            for block in blocks
        ],
        "configurable": [_configured({}), *(_configured({name: _OPTIONS[name]}) for name in _OPTIONS)],
        "my_conv2d": [_compare_with_torch(*shape) for shape in _SHAPES],
    }
    return Answer(values, [setting.draw("a1-network", draw_network(blocks, picture))])


def num_parameters(*modules: nn.Module) -> int:
    """Return the number of learnable parameters."""
    return sum(weights.numel() for module in modules for weights in module.parameters())


def _configured(changes: dict[str, Any]) -> dict[str, Any]:
    config = CNNConfig(**changes)
    net = build(config).eval()
    logits = net(torch.rand(3, config.num_in_channels, 16, 16))
    options = {name: getattr(config, name) for name in _OPTIONS}
    return options | {"parameters": num_parameters(net), "output": list(logits.shape)}


def _compare_with_torch(num_in: int, num_out: int, kernel: int) -> dict[str, Any]:
    """Return the largest differences of MyConv2d, written out, and its gradients to torch's, in fp64."""
    torch.manual_seed(0)
    ours = MyConv2d(num_in, num_out, kernel, "unfold").double()
    pictures = torch.rand(2, num_in, 9, 12, dtype=torch.float64)
    results = []
    for convolve in (ours, lambda x: F.conv2d(x, ours.weight, ours.bias, padding=kernel // 2)):
        x = pictures.clone().requires_grad_()
        output = convolve(x)
        loss = (output * torch.arange(output.numel(), dtype=torch.float64).view_as(output).sin()).sum()
        results.append([output.detach(), *torch.autograd.grad(loss, [x, ours.weight, ours.bias])])
    names = ("output", "gradient_of_input", "gradient_of_weight", "gradient_of_bias")
    differences = [float((ours - theirs).abs().max()) for ours, theirs in zip(*results, strict=True)]
    shape = {"num_in": num_in, "num_out": num_out, "kernel": kernel}
    return shape | dict(zip(names, differences, strict=True))


def answer_b1(setting: Setting) -> Answer:
    """Describe the U-Net, and show that without its skip connections it is the CNN."""
    unet, cnn = build(UNetConfig()).eval(), build(CNNConfig()).eval()
    picture = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(setting.seed))
    blocks = find_blocks(unet, picture)
    bare = build(unet_without(*SKIPS)).eval()
    bare.load_state_dict(cnn.state_dict())
    with torch.inference_mode():
        difference = (bare(picture) - cnn(picture)).abs().max()
    values = {
        "kernel": UNetConfig().kernel,
        "parameters": num_parameters(unet),
        "cnn_parameters": num_parameters(cnn),
        "blocks": [
            {
                "name": block.name,
                "reads": list(block.reads),
                "num_in": next(block.layers[0].parameters()).shape[1],
                "num_out": block.maps.shape[0],
                "side": block.maps.shape[-1],
                "learned": num_parameters(*block.layers),
            }
            for block in blocks
        ],
        "skips": [
            {
                "name": name,
                "from": source,
                "to": reader,
                "weights": num_parameters(unet) - num_parameters(build(unet_without(name))),
            }
            for name, (source, reader) in SKIPS.items()
        ],
        "forward": inspect.getsource(UNet.forward),
        "without_skips": {"parameters": num_parameters(bare), "max_difference_to_cnn": float(difference)},
    }
    return Answer(values, [setting.draw("b1-network", draw_network(blocks, picture))])


def unet_without(*skips: str) -> NetConfig:
    """Return the configuration of the U-Net without some of its `SKIPS`."""
    return net_from_dict({"name": "unet"} | {f"skip_{skip}": False for skip in skips})


@dataclass(frozen=True, eq=False)
class Block:
    """A named part of a network, and its output for one picture."""

    name: str
    layers: tuple[nn.Module, ...]  # in the order in which they run
    reads: tuple[str, ...]  # the blocks whose outputs it reads, concatenated; `INPUT` is the picture
    maps: Float[Tensor, "C H W"]


def find_blocks(net: Network, picture: Grey) -> tuple[Block, ...]:
    """Return the blocks of a network in the order in which one picture (1, C, H, W) passes them."""
    net, maps = copy.deepcopy(net), dict[nn.Module, Tensor]()
    for block in net.children():
        block.register_forward_hook(lambda block, _inputs, output: maps.update({block: output[0]}))
    with torch.no_grad():
        net(picture)
    found, before = [], INPUT
    for name, block in net.named_children():
        skipping = [skip for skip in SKIPS if getattr(net.config, f"skip_{skip}", False)]
        sources = [SKIPS[skip][0] for skip in skipping if SKIPS[skip][1] == name]
        layers = tuple(layer for layer in block.modules() if not any(layer.children()))
        found.append(Block(name, layers, (before, *sources), maps[block]))
        before = name
    return tuple(found)


def describe_layer(layer: nn.Module) -> str:
    """Return a layer in a few words, such as "MyConv2d 32 → 64, 3×3"."""
    name = type(layer).__name__
    match [tuple(weights.shape) for weights in layer.parameters()]:
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
    sizes = {INPUT: picture.shape[1:]} | {block.name: block.maps.shape for block in blocks}
    lines = {INPUT: list[str]()}
    for block in blocks:
        layers = [describe_layer(layer).replace(", ", "\n") for layer in block.layers]
        lines[block.name] = [*layers, f"{num_parameters(*block.layers):,} learned"]
    tallest = max(height for _, height, _ in sizes.values())
    places = {name: _STEP * index for index, name in enumerate(sizes)}
    peak = _LOWEST
    with new_drawing(1.3 * len(sizes), 3.9) as drawing:
        axes = drawing.figure.subplots()
        for name, (channels, height, width) in sizes.items():
            x, box_width, box_height = places[name], 0.1 + 0.07 * math.log2(channels), height / tallest
            corner = (x - box_width / 2, -box_height / 2)
            axes.add_patch(Rectangle(corner, box_width, box_height, fc="#cfe3f2", ec=ON_LIGHT.val))
            text: dict[str, Any] = {"ha": "center", "va": "top"}
            axes.text(x, -0.62, name, weight="bold", fontsize=10, **text)
            axes.text(x, -0.77, f"{channels} × {height}×{width}", fontsize=9, **text)
            axes.text(x, -0.95, "\n".join(lines[name]), fontsize=8.5, **text)
        spans = [(source, block.name) for block in blocks for source in block.reads]
        for source, name in sorted(spans, key=lambda span: places[span[1]] - places[span[0]]):
            start, end = places[source], places[name]
            if end - start <= _STEP:
                _draw_arrow(axes, [(start + 0.34, 0), (end - 0.34, 0)], ON_LIGHT.text)
                continue
            low, high = (sizes[block][1] / tallest / 2 + 0.02 for block in (source, name))
            _draw_arrow(axes, [(start, low), (start, peak), (end, peak), (end, high)], ON_LIGHT.train)
            label: dict[str, Any] = {"ha": "center", "va": "bottom", "fontsize": 8, "color": ON_LIGHT.train}
            axes.text((start + end) / 2, peak, f"{sizes[source][0]} beside", **label)
            peak += _LANE
        axes.set_xlim(-0.6, _STEP * len(blocks) + 0.8)
        axes.set_ylim(-1.75, peak + 0.1)
        axes.set_axis_off()
    return drawing


def _draw_arrow(axes: Axes, points: list[tuple[float, float]], colour: str) -> None:
    axes.plot(*zip(*points, strict=True), color=colour, linewidth=1.3)
    axes.annotate("", points[-1], points[-2], arrowprops={"arrowstyle": "-|>", "color": colour, "shrinkB": 0})
