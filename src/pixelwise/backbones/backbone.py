"""What a frozen backbone is: photos in, feature maps of several sizes out, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pixelwise.errors import ShapeError
from pixelwise.frozen import fingerprint, freeze

Triple = tuple[float, float, float]
"""One number each for red, green and blue."""


@dataclass(frozen=True)
class Level:
    """One of the feature maps."""

    name: str
    stride: int
    """Pixels of the photo, down and across, that share one place of the map."""
    channels: int


@dataclass(frozen=True)
class About:
    """What is known of a backbone before it is opened."""

    name: str
    purpose: str
    """What it was made for, in a few words."""
    licence: str
    """Under which its weights may be used."""
    source: str
    """Whose weights they are, and what they were learned from."""
    url: str | None = None
    """Where its weights are downloaded from; None: they are installed with the package."""

    implementation: str = ""
    """Whose code computes it, with its version, where that is another project's."""

    @property
    def file_name(self) -> str:
        """The name of its weights' file on the network."""
        return (self.url or "").rpartition("/")[2]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a backbone reads photos and what comes out."""

    levels: tuple[Level, ...]
    mean: Triple
    """Taken from sRGB in [0, 1] first."""
    std: Triple
    """What is left is divided by it."""
    multiple: int
    """Divides height and width of what it reads."""
    sizes: tuple[int, ...]
    """Short sides in pixels at which photos are best read; each reading has maps of its own."""
    margin: int | None = None
    """Pixels around a tile that make its features exactly those of the whole photo, a multiple of `multiple`;
    None: no margin does, since every place looks at the whole photo."""
    last_layer: str | None = None
    """The name of the layer that was on top, in the network as it was published."""
    last_stage: tuple[str, ...] = ()
    """What the parameters that only the last level depends on are called below; none: not known."""


@final
class Backbone(nn.Module):
    """A frozen network that turns photos into feature maps.

    Attributes:
        name: what it is opened by.
        licence, source: of its weights.
        implementation: as in `About`.
        levels, mean, std, multiple, sizes, margin, last_layer: as in `Reading`.
        last_stage: prefixes of the names of its parameters that only the last level depends on.
        checksum: fingerprint of its weights and of how it normalises, as it was opened.
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, net: nn.Module, about: About, reading: Reading, weights: Path | None = None) -> None:
        """`net` gives one map for each level from normalised photos; `weights`: a file of the user's own."""
        super().__init__()
        self.net = net
        self.name, self.licence, self.source = about.name, about.licence, about.source
        self.implementation = about.implementation
        if weights is not None:
            self.licence, self.source = "that of the file", f"weights from {weights.name}"
        self.levels, self.multiple, self.sizes = reading.levels, reading.multiple, reading.sizes
        self.mean, self.std = reading.mean, reading.std
        self.margin, self.last_layer = reading.margin, reading.last_layer
        self.last_stage = tuple(f"net.{name}" for name in reading.last_stage)
        self.register_buffer("centre", torch.tensor(reading.mean).view(3, 1, 1))
        self.register_buffer("scale", torch.tensor(reading.std).view(3, 1, 1))
        # convolutions in bf16 on a CPU take half the time in this order
        freeze(self).to(memory_format=torch.channels_last)
        self.checksum = fingerprint(self)

    def forward(self, images: Float[Tensor, "N 3 H W"]) -> tuple[Float[Tensor, "N _ _ _"], ...]:
        """Feature maps of photos, sRGB in [0, 1]: for each level (N, channels, H / stride, W / stride).

        Raises:
            ShapeError: height or width is no multiple of `multiple`.
        """
        height, width = images.shape[-2:]
        over_height, over_width = -height % self.multiple, -width % self.multiple
        if over_height or over_width or not height * width:
            raise ShapeError(
                f"{self.name} needs height and width divisible by {self.multiple}, got {height} x {width}; "
                f"read the photo at {height + over_height} x {width + over_width}"
            )
        normal = (images - self.centre) / self.scale
        maps: tuple[Tensor, ...] = self.net(normal.contiguous(memory_format=torch.channels_last))
        return maps
