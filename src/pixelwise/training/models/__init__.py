"""Networks: from what a network reads to the logits of every class at every pixel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pixelwise.network.config import CNNConfig, ColourNetConfig, NetConfig, UNetConfig
from pixelwise.training.models.handout import CNN, UNet
from pixelwise.training.models.on_backbone import ColourNet

Network = CNN | ColourNet
"""Grey in, logits out: of multiples of `stride` in height and width, at these over `out_stride`."""

_BUILDERS: dict[type[NetConfig], Callable[[Any], Network]] = {
    CNNConfig: CNN,
    UNetConfig: UNet,
    ColourNetConfig: ColourNet,
}


def build(config: NetConfig) -> Network:
    """Return the network that a configuration describes, freshly initialised from torch's random state."""
    return _BUILDERS[type(config)](config)
