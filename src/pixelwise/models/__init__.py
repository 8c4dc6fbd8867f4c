"""Networks: from what a network reads to the logits of every class at every pixel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pixelwise.config import CNNConfig, NetConfig, UNetConfig
from pixelwise.models.cnn import CNN
from pixelwise.models.conv import MyConv2d, UnfoldedConvolution
from pixelwise.models.unet import UNet

Network = CNN | UNet
"""Any network of ours: grey in, logits out; height and width are multiples of its `stride`."""

BUILDERS: dict[type[NetConfig], Callable[[Any], Network]] = {
    CNNConfig: CNN,
    UNetConfig: UNet,
}
"""A new network is one file, one configuration class and one line here."""


def build(config: NetConfig) -> Network:
    """The network that a configuration describes, freshly initialised from torch's random state."""
    return BUILDERS[type(config)](config)


__all__ = ["BUILDERS", "CNN", "MyConv2d", "Network", "UNet", "UnfoldedConvolution", "build"]
