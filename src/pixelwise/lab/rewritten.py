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
from pixelwise.network.models.handout import MyConv2d, UNet

NO_EPSILON = 1e-30
"""Stands for 0, which torch refuses."""
_CONVOLUTION, _POOL = 0, 1  # layers of the first block


def reading(net: HandoutNetwork, a: float, b: float) -> HandoutNetwork:
    """Turn every pixel x into ax + b before the first layer."""
    net = copy.deepcopy(net)
    net.config = replace(net.config, scale=a, shift=b)
    return net


def on_batch_statistics(net: HandoutNetwork) -> HandoutNetwork:
    """Let batch norms use the mean and variance of the batch, as in training."""
    net = copy.deepcopy(net)
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


def padded_with(net: HandoutNetwork, value: float) -> HandoutNetwork:
    """Let the first convolution pad with a value instead of 0.

    It subtracts the value, pads with 0, and adds the response of its weights to the value to the bias.
    """
    net = copy.deepcopy(net)
    conv = _first_convolution(net)
    with torch.no_grad():
        conv.bias.add_(conv.weight.sum((1, 2, 3)), alpha=value)
    net.down1[_CONVOLUTION] = nn.Sequential(_Affine(conv.weight.shape[1], 1, -value), conv)
    return net


def with_epsilon(net: HandoutNetwork, epsilon: float) -> HandoutNetwork:
    """Change the epsilon of the first batch norm."""
    net = copy.deepcopy(net)
    _first_norm(net).eps = epsilon
    return net


def with_weights_times(net: HandoutNetwork, factor: float) -> HandoutNetwork:
    """Multiply the weights of the first convolution."""
    net = copy.deepcopy(net)
    with torch.no_grad():
        _first_convolution(net).weight.mul_(factor)
    return net


def equivalent(net: HandoutNetwork, a: float, b: float) -> HandoutNetwork:
    """Return the network that gives on x what `net` gives on ax + b, with the statistics of the batch.

    The U-Net's skip from the picture is left out: exact for the CNN, and for `skip_reads_x`.
    """
    changed = with_weights_times(net, math.copysign(1, a))
    return with_epsilon(padded_with(changed, -b / a), _first_norm(net).eps / a**2)


def _first_convolution(net: HandoutNetwork) -> MyConv2d:
    return next(layer for layer in net.modules() if isinstance(layer, MyConv2d))


def _first_norm(net: HandoutNetwork) -> nn.BatchNorm2d:
    return next(layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d))


class _MinPool2d(nn.MaxPool2d):
    def forward(self, x: Tensor) -> Tensor:
        return -super().forward(-x)


def with_min_pooling(net: HandoutNetwork) -> HandoutNetwork:
    """Let the first block pool the least value of each window."""
    net = copy.deepcopy(net)
    net.down1[_POOL] = _MinPool2d(2)
    return net


def with_norm_mirrored(net: HandoutNetwork) -> HandoutNetwork:
    """Negate gamma of the first batch norm."""
    net = copy.deepcopy(net)
    with torch.no_grad():
        _first_norm(net).weight.neg_()
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
