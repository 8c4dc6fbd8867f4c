"""Networks: from what a network reads to the logits of every class at every pixel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, overload

from pixelwise.network.config import (
    CNNConfig,
    ColourNetConfig,
    HandoutConfig,
    LinearNetConfig,
    NetConfig,
    UNetConfig,
)
from pixelwise.network.models.handout import CNN, UNet
from pixelwise.network.models.on_backbone import ColourNet, LinearNet

HandoutNetwork = CNN | UNet
Network = HandoutNetwork | ColourNet | LinearNet
"""Any network of ours: grey in, logits out.

Height and width of the input are multiples of its `stride`; those of the logits are the same over its
`out_stride`."""

_BUILDERS: dict[type[NetConfig], Callable[[Any], Network]] = {
    CNNConfig: CNN,
    UNetConfig: UNet,
    ColourNetConfig: ColourNet,
    LinearNetConfig: LinearNet,
}


@overload
def build(config: HandoutConfig) -> HandoutNetwork: ...
@overload
def build(config: NetConfig) -> Network: ...
def build(config: NetConfig) -> Network:
    """Return the network that a configuration describes, freshly initialised from torch's random state."""
    return _BUILDERS[type(config)](config)
