"""Networks of the handout rewritten for pictures ax + b. Every function returns a changed copy.

The first block is convolution W with bias c, max pooling, batch norm (gamma, beta, epsilon), ReLU. Let u be W
on x where x is padded with -b/a. If the network reads y = ax + b, padded with 0, the convolution gives a u
plus a constant of each filter, since a (-b/a) + b = 0. Pooling that gives |a| p plus the constant, where p is
u, times the sign of a, pooled. Batch norm with the statistics of the batch removes the constant and leaves

    gamma (p - mean p) / sqrt(var p + epsilon / a^2) + beta

So a network that reads ax + b is the network that reads x with three things changed: the sign of W, the
padding, and epsilon. That is `equivalent`, exact for every a but 0; all that question A4 asks follows.
"""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from pixelwise.colour.shapes import Grey, Logits
from pixelwise.network.models import HandoutNetwork
from pixelwise.network.models.conv import MyConv2d
from pixelwise.network.models.handout import UNet

NO_EPSILON = 1e-30
"""Stands for 0, which torch refuses."""


def _copied(net: HandoutNetwork) -> tuple[HandoutNetwork, MyConv2d, nn.BatchNorm2d]:
    """Return a copy of a network, with its first convolution and batch norm."""
    net = copy.deepcopy(net)
    conv = next(layer for layer in net.modules() if isinstance(layer, MyConv2d))
    return net, conv, next(layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d))


def reading(net: HandoutNetwork, a: float, b: float) -> HandoutNetwork:
    """Turn every pixel x into ax + b before the first layer."""
    net, _, _ = _copied(net)
    net.config = replace(net.config, scale=a, shift=b)
    return net


def on_batch_statistics(net: HandoutNetwork) -> HandoutNetwork:
    """Let batch norms use the mean and variance of the batch, as in training."""
    net, _, _ = _copied(net)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean = layer.running_var = None
    return net


class _Affine(nn.Module):
    """Turns the last channels x into scale x + shift."""

    def __init__(self, channels: int, scale: float, shift: float) -> None:
        super().__init__()
        self.channels, self.scale, self.shift = channels, scale, shift

    def forward(self, x: Tensor) -> Tensor:
        """Return all channels."""
        kept, changed = x[:, : -self.channels], x[:, -self.channels :]
        return torch.cat([kept, self.scale * changed + self.shift], 1)


@torch.no_grad()
def padded_with(net: HandoutNetwork, value: float) -> HandoutNetwork:
    """Let the first convolution pad with a value instead of 0.

    It subtracts the value, pads with 0, and adds the response of its weights to the value to the bias.
    """
    net, conv, _ = _copied(net)
    conv.bias.add_(conv.weight.sum((1, 2, 3)), alpha=value)
    net.down1[0] = nn.Sequential(_Affine(conv.weight.shape[1], 1, -value), conv)
    return net


def with_epsilon(net: HandoutNetwork, epsilon: float) -> HandoutNetwork:
    """Change the epsilon of the first batch norm."""
    net, _, norm = _copied(net)
    norm.eps = epsilon
    return net


@torch.no_grad()
def with_weights_times(net: HandoutNetwork, factor: float) -> HandoutNetwork:
    """Multiply the weights of the first convolution."""
    net, conv, _ = _copied(net)
    conv.weight.mul_(factor)
    return net


def equivalent(net: HandoutNetwork, a: float, b: float) -> HandoutNetwork:
    """Return the network that gives on x what `net` gives on ax + b, with the statistics of the batch.

    The U-Net's skip from the picture is left out: exact for the CNN, and for `skip_reads_x`.
    """
    _, _, norm = _copied(net)
    return with_epsilon(padded_with(with_weights_times(net, math.copysign(1, a)), -b / a), norm.eps / a**2)


class _MinPool2d(nn.MaxPool2d):
    def forward(self, x: Tensor) -> Tensor:
        return -super().forward(-x)


@torch.no_grad()
def mirrored(net: HandoutNetwork, pooling: bool = True, norm: bool = True) -> HandoutNetwork:
    """Let the first block pool the least value of each window, and negate gamma of its batch norm."""
    net, _, first = _copied(net)
    if pooling:
        net.down1[1] = _MinPool2d(2)
    if norm:
        first.weight.neg_()
    return net


def skip_reads_x(net: UNet, a: float, b: float) -> UNet:
    """Read ax + b, but x through the skip from the picture to the last convolution."""
    changed = reading(net, a, b)
    assert isinstance(changed, UNet)
    undo = _Affine(net.config.num_in_channels, 1 / a, -b / a)
    changed.add_module("classes", nn.Sequential(undo, changed.classes))
    return changed


@torch.inference_mode()
def logits_of(net: HandoutNetwork, grey: Grey, batch_size: int = 100) -> Logits:
    """Return logits of pictures in batches, whose statistics a network may use."""
    return torch.cat([net(batch) for batch in grey.split(batch_size)])
