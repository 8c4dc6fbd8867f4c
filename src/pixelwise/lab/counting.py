"""Question A3: how many weights, outputs and connections, and how many at twice the height and width."""

from __future__ import annotations

import copy
from functools import partial

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from torch import nn

from pixelwise.config import CNNConfig, NetConfig, UNetConfig
from pixelwise.cost import trace
from pixelwise.counts import Tally, tally
from pixelwise.figures import ON_LIGHT, Drawing, new_figure, styled
from pixelwise.lab.answer import Answer, Setting
from pixelwise.models import MyConv2d, build
from pixelwise.shapes import Grey, Logits

_SIDE = 32  # of the handout's pictures, in pixels
# The third colour is of the same set as those of ON_LIGHT.
_BARS = {"weights": ON_LIGHT.train, "outputs": ON_LIGHT.val, "connections": "#009e73"}


def answer_a3(setting: Setting) -> Answer:
    """All counts of the CNN and the U-Net as formulas and numbers, beside what torch counts of the networks.

    The handout's six values are `weights`, `outputs`, `connections` and the same under `doubled`; the U-Net's
    are under `unet`. Under `measured` is what no formula had a part in.
    """
    configs: dict[str, NetConfig] = {"CNN": CNNConfig(), "U-Net": UNetConfig()}
    tallies = {name: tally(config, _SIDE, _SIDE) for name, config in configs.items()}
    cnn, unet = (tallies[name].to_dict() | {"measured": _measure(configs[name])} for name in configs)
    figure = setting.draw("a3-shares", draw_shares(tallies))
    return Answer(values=cnn | {"unet": unet}, figures=(figure,))


def _measure(config: NetConfig) -> dict[str, int]:
    """Parameters, FLOPs of a pass and connections inside the picture, of the network as it is built."""
    net = build(config).eval()
    found = {"parameters": sum(one.numel() for one in net.parameters())}
    for name, side in (("", _SIDE), ("doubled_", 2 * _SIDE)):
        picture = torch.zeros(1, config.num_in_channels, side, side)
        # half of the FLOPs are multiplications, one of each connection
        found[f"{name}flops"] = trace(net, partial(_look, picture)).flops
        found[f"{name}connections_inside"] = count_inside(net, picture)
    return found


def _look(picture: Grey, net: nn.Module) -> Logits:
    return net(torch.empty_like(picture))  # without content, as the network is


def count_inside(net: nn.Module, picture: Grey) -> int:
    """Connections of the convolutions that lead to something, not to the padding around it.

    Windows of ones over maps of ones add up to how many there are.
    """
    net = copy.deepcopy(net).eval()
    found: list[int] = []
    for module in net.modules():
        if isinstance(module, MyConv2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
            module.register_forward_pre_hook(lambda _, inputs: torch.ones_like(inputs[0]))
            module.register_forward_hook(
                lambda _, __, output: found.append(int(output.sum(dtype=torch.float64)))
            )
    with torch.no_grad():
        net(picture)
    return sum(found)


def draw_shares(tallies: dict[str, Tally]) -> Drawing:
    """Each convolution's share of weights, outputs and connections, by network."""
    with styled(ON_LIGHT):
        figure = new_figure(10, 4.2)
        panels = figure.subplots(1, len(tallies), sharex=True, sharey=True, squeeze=False)[0]
        for axes, (name, counted) in zip(panels, tallies.items(), strict=True):
            _draw_shares(axes, counted)
            axes.set_title(name, loc="left")
        panels[0].invert_yaxis()  # of all, as they share it: the first layer on top
        figure.legend(
            *panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=3, frameon=False
        )
    return Drawing(figure, ON_LIGHT)


def _draw_shares(axes: Axes, counted: Tally) -> None:
    layers = [one for one in counted.to_dict()["layers"] if one["kind"] == "convolution"]
    rows = np.arange(len(layers))
    thickness = 0.26
    for place, (name, colour) in enumerate(_BARS.items()):
        shares = [one[name]["frac"] for one in layers]
        axes.barh(rows + (place - 1) * thickness, shares, thickness, color=colour, label=name)
    axes.set_yticks(rows, [one["name"].partition(".")[0] for one in layers])
    axes.set_axisbelow(True)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlabel("share of the network's total")
