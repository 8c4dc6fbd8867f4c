"""Networks: from what a network reads to the logits of every class at every pixel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from pixelwise.config import CNNConfig, NetConfig, UNetConfig
from pixelwise.models.cnn import CNN
from pixelwise.models.conv import MyConv2d, UnfoldedConvolution
from pixelwise.models.unet import UNet

BUILDERS: dict[type[NetConfig], Callable[[Any], nn.Module]] = {
    CNNConfig: CNN,
    UNetConfig: UNet,
}
"""A new network is one file, one configuration class and one line here."""


def build(config: NetConfig) -> nn.Module:
    """The network that a configuration describes, freshly initialised from torch's random state."""
    return BUILDERS[type(config)](config)


__all__ = ["BUILDERS", "CNN", "MyConv2d", "UNet", "UnfoldedConvolution", "build"]
