"""Questions A1 and B1: the CNN from a convolution of our own, and the U-Net."""

from __future__ import annotations

import inspect
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn

from pixelwise.lab.answer import Answer, Setting
from pixelwise.lab.layers import describe_layer, draw_network, find_blocks
from pixelwise.network.config import CNNConfig, NetConfig, UNetConfig, net_from_dict
from pixelwise.network.models import build
from pixelwise.network.models.handout import MyConv2d, UNet

SKIPS = {"full": ("input", "classes"), "half": ("down1", "up2"), "quarter": ("down2", "up1")}
"""Skip connections of the U-Net, by the size of their maps: source and reader."""
_SHAPES = ((1, 3, 3), (4, 2, 5), (3, 5, 1), (32, 64, 3))  # channels in and out, and kernel
_CONFIGURATIONS: tuple[dict[str, int], ...] = (
    {},
    {"kernel": 5},
    {"num_filters": 16},
    {"num_colours": 12},
    {"num_in_channels": 3},
)


def answer_a1(setting: Setting) -> Answer:
    """Describe the CNN of the handout's diagram, and compare MyConv2d with torch's convolution."""
    torch.manual_seed(setting.seed)
    net, picture = build(CNNConfig()).eval(), torch.rand(1, 1, 32, 32)
    blocks = find_blocks(net, picture)
    values = {
        "parameters": num_parameters(net),
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


def num_parameters(net: nn.Module) -> int:
    """Return the number of learnable parameters."""
    return sum(one.numel() for one in net.parameters())


def _configured(**changes: int) -> dict[str, Any]:
    """Return a configuration, the parameters of its network, and its output shape for three pictures."""
    config = CNNConfig(**cast(Any, changes))
    net = build(config).eval()
    logits = net(torch.rand(3, config.num_in_channels, 16, 16))
    names = ("kernel", "num_filters", "num_colours", "num_in_channels")
    options = {name: getattr(config, name) for name in names}
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
    differences = {
        name: float((one - other).abs().max()) for name, one, other in zip(names, *results, strict=True)
    }
    return {"num_in": num_in, "num_out": num_out, "kernel": kernel} | differences


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
                "name": one.name,
                "reads": list(one.reads),
                "num_in": next(one.layers[0].parameters()).shape[1],
                "num_out": one.maps.shape[0],
                "side": one.maps.shape[-1],
                "learned": one.num_learned,
            }
            for one in blocks
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
    return Answer(values, (setting.draw("b1-network", draw_network(blocks, picture)),))


def unet_without(*skips: str) -> NetConfig:
    """Return the configuration of the U-Net without some of its `SKIPS`."""
    return net_from_dict({"name": "unet"} | {f"skip_{skip}": False for skip in skips})
