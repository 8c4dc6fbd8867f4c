"""What reading ax + b comes to: the same network written otherwise. Every function gives a changed copy.

The first block is convolution W with bias c, max pooling, batch norm (gamma, beta, epsilon), ReLU. Let u be W
on x where x is padded with -b/a. Reading y = ax + b and padding y with 0, the convolution gives a u plus a
constant of each filter, since a (-b/a) + b = 0. Pooling that gives |a| p plus the constant, where p is u,
times the sign of a, pooled. Batch norm with the statistics of the batch takes the constant away and leaves

    gamma (p - mean p) / sqrt(var p + epsilon / a^2) + beta

So a network that reads ax + b is the network that reads x with three things changed: the sign of W, what is
padded with, and epsilon. That is `equivalent`, exact for every a but 0; all that question A4 asks follows.
"""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from pixelwise.config import UNetConfig
from pixelwise.models import HandoutNetwork, MyConv2d, UNet
from pixelwise.shapes import Grey, Logits

NO_EPSILON = 1e-30
"""As good as none: torch wants one above 0."""
_FIRST, _POOL = 0, 1  # of the layers of the first block


def reading(net: HandoutNetwork, a: float, b: float) -> HandoutNetwork:
    """The same weights, before which every pixel x becomes ax + b."""
    net = copy.deepcopy(net)
    net.config = replace(net.config, scale=a, shift=b)
    return net


def on_batch_statistics(net: HandoutNetwork) -> HandoutNetwork:
    """Batch norms take the mean and variance of what they are given, as they do in training."""
    net = copy.deepcopy(net)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean = layer.running_var = None
    return net


def padded_with(net: HandoutNetwork, value: float) -> HandoutNetwork:
    """The first convolution pads what it reads with a value instead of 0.

    That is the same as to subtract the value, pad with 0, and add to the bias what the weights make of it.
    """
    net = copy.deepcopy(net)
    conv = _first(net)
    with torch.no_grad():
        conv.bias.add_(conv.weight.sum((1, 2, 3)), alpha=value)
    net.down1[_FIRST] = nn.Sequential(_Minus(value), conv)
    return net


class _Minus(nn.Module):
    """Subtracts a value."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        """Less by the value."""
        return x - self.value


def with_epsilon(net: HandoutNetwork, epsilon: float) -> HandoutNetwork:
    """The first batch norm has another epsilon."""
    net = copy.deepcopy(net)
    _norm(net).eps = epsilon
    return net


def with_weights_times(net: HandoutNetwork, factor: float) -> HandoutNetwork:
    """The first convolution's weights times a factor."""
    net = copy.deepcopy(net)
    with torch.no_grad():
        _first(net).weight.mul_(factor)
    return net


def equivalent(net: HandoutNetwork, a: float, b: float) -> HandoutNetwork:
    """The network that reads x and gives what `net` gives on ax + b, with the statistics of the batch.

    What skips from the picture to the last convolution is left out of it: exact for the CNN, and for the
    U-Net whose skip from the input reads x (`skip_reads_x`).
    """
    changed = with_weights_times(net, math.copysign(1, a))
    return with_epsilon(padded_with(changed, -b / a), _norm(net).eps / a**2)


def absorbing(net: HandoutNetwork, a: float, b: float) -> HandoutNetwork:
    """Weights that undo ax + b: what a network that learns on it can become.

    On ax + b it gives what `net` gives on x, with the statistics of x as stored, for every a but 0, as far
    from the border as padding does not reach: W becomes W / a, the bias gets -b/a times the sum of W.
    """
    net = copy.deepcopy(net)
    _absorb(_first(net), slice(None), a, b)
    if isinstance(net.config, UNetConfig) and net.config.skip_full:
        _absorb(net.classes, slice(-net.config.num_in_channels, None), a, b)
    return net


@torch.no_grad()
def _absorb(conv: MyConv2d, channels: slice, a: float, b: float) -> None:
    """Undo ax + b in those channels of what a convolution reads."""
    conv.weight[:, channels] /= a
    conv.bias.sub_(conv.weight[:, channels].sum((1, 2, 3)), alpha=b)


def _first(net: HandoutNetwork) -> MyConv2d:
    """The convolution that reads the picture."""
    return next(layer for layer in net.modules() if isinstance(layer, MyConv2d))


def _norm(net: HandoutNetwork) -> nn.BatchNorm2d:
    """The batch norm of the first block."""
    return next(layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d))


class MinPool2d(nn.MaxPool2d):
    """The least of each window."""

    def forward(self, x: Tensor) -> Tensor:
        """The windows' least values."""
        return -super().forward(-x)


def with_min_pooling(net: HandoutNetwork) -> HandoutNetwork:
    """The first block takes the least of each window instead of the greatest."""
    net = copy.deepcopy(net)
    net.down1[_POOL] = MinPool2d(2)
    return net


def with_norm_mirrored(net: HandoutNetwork) -> HandoutNetwork:
    """The first batch norm's gamma with the other sign."""
    net = copy.deepcopy(net)
    with torch.no_grad():
        _norm(net).weight.neg_()
    return net


class _Undo(nn.Module):
    """Makes x of ax + b in the last channels, those that skipped from the picture."""

    def __init__(self, channels: int, a: float, b: float) -> None:
        super().__init__()
        self.channels, self.a, self.b = channels, a, b

    def forward(self, x: Tensor) -> Tensor:
        """The same, with x instead of ax + b."""
        below, skipped = x[:, : -self.channels], x[:, -self.channels :]
        return torch.cat([below, (skipped - self.b) / self.a], 1)


def skip_reads_x(net: UNet, a: float, b: float) -> UNet:
    """Reads ax + b but for the skip from the picture to the last convolution, which has x."""
    changed = reading(net, a, b)
    assert isinstance(changed, UNet)
    undoing = _Undo(net.config.num_in_channels, a, b)
    changed.add_module("classes", nn.Sequential(undoing, changed.classes))
    return changed


def first_block(net: HandoutNetwork, grey: Grey) -> list[Tensor]:
    """What goes into the first block, and what comes out of each of its layers."""
    stages = [net.config.scale * grey + net.config.shift]
    for layer in net.down1:
        stages.append(layer(stages[-1]))
    return stages


@torch.inference_mode()
def logits_of(net: HandoutNetwork, grey: Grey, batch_size: int = 100) -> Logits:
    """Logits of pictures, so many at a time: statistics of the batch are theirs."""
    return torch.cat([net(batch) for batch in grey.split(batch_size)])
