"""A colouriser for photographs: a frozen backbone and a small decoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from pixelwise.colour.shapes import Grey
from pixelwise.errors import ConfigError
from pixelwise.network.backbones.backbone import Backbone
from pixelwise.network.config import ColourNetConfig
from pixelwise.network.models.on_backbone import OnBackbone

_WIDER = {4: 1.0, 8: 1.0, 16: 1.5, 32: 2.0}
"""Channels of the decoder at each stride, over its width: coarse maps are small and matter most."""


@final
class ColourNet(OnBackbone):
    """Logits of every class at a quarter of the size of the grey photo that is read.

    The backbone's deepest maps of each stride are joined from the coarsest to the finest, as in a U-Net; a
    summary of the whole photo is added to the coarsest.

    Raises:
        ConfigError: there is no such backbone, or its maps are not of the strides 4, 8, 16 and 32.
        CheckpointError: the backbone's weights are not to be had.

    Source: R. Zhang, P. Isola, A. Efros, arXiv:1603.08511: colour by classes at a quarter of the size;
    O. Ronneberger, P. Fischer, T. Brox, arXiv:1505.04597: the decoder.
    """

    stride = 32
    """Height and width of the input are multiples of this."""
    out_stride = 4
    """Pixels of the input, down and across, that share one place of the logits."""

    def __init__(self, config: ColourNetConfig) -> None:
        super().__init__(config.backbone)
        self.config = config
        self.saturation = config.saturation
        backbone = self.backbone
        self._levels = deepest(backbone)
        channels = {stride: backbone.levels[index].channels for stride, index in self._levels.items()}
        widths = {stride: round(config.width * wider) for stride, wider in _WIDER.items()}
        self.coarsest = nn.Sequential(
            nn.Conv2d(channels[32], widths[32], 1, bias=False), nn.BatchNorm2d(widths[32])
        )
        self.summary = LinearApart(channels[32], widths[32])
        self.join16 = joining(widths[32] + channels[16], widths[16])
        self.join8 = joining(widths[16] + channels[8], widths[8])
        self.join4 = joining(widths[8] + channels[4], widths[4])
        self.dropout = nn.Dropout2d(config.dropout)
        self.classes = nn.Conv2d(widths[4], config.num_colours, 1)

    def forward(self, x: Grey) -> Float[Tensor, "N K h w"]:
        """Return logits (N, K, H / 4, W / 4) of grey photos (N, 1, H, W), CIE L from 0 to 1."""
        return self.of_maps(self.look(x))

    def of_maps(self, maps: Sequence[Float[Tensor, "N _C _h _w"]]) -> Float[Tensor, "N K h w"]:
        """Return the logits from the backbone's features of the photos, one map for each of its levels."""
        coarsest = maps[self._levels[32]]
        y = F.relu(self.coarsest(coarsest) + self.summary(coarsest.mean((2, 3)))[:, :, None, None])
        for join, stride in ((self.join16, 16), (self.join8, 8), (self.join4, 4)):
            finer = maps[self._levels[stride]]
            y = join(torch.cat((F.interpolate(y, finer.shape[-2:]), finer), dim=1))
        logits: Tensor = self.classes(self.dropout(y))
        return logits


class LinearApart(nn.Linear):
    """A linear layer that, outside training, adds up each photo's numbers in the same order.

    A matrix product of many photos adds in another order than that of one: a photo's colours would depend on
    the others in its batch.
    """

    def forward(self, input: Float[Tensor, "N C"]) -> Float[Tensor, "N width"]:
        """Return the layer's output."""
        if self.training:
            return super().forward(input)
        return (input[:, None] * self.weight).sum(-1) + self.bias


def joining(num_in: int, num_out: int) -> nn.Sequential:
    """Build the convolution of one stride, with batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(num_in, num_out, 3, padding=1, bias=False), nn.BatchNorm2d(num_out), nn.ReLU()
    )


def deepest(backbone: Backbone) -> dict[int, int]:
    """Return the index of the last level of each stride.

    Raises:
        ConfigError: the strides are not 4, 8, 16 and 32.
    """
    found = {level.stride: index for index, level in enumerate(backbone.levels)}
    if sorted(found) != sorted(_WIDER) or backbone.multiple != ColourNet.stride:
        raise ConfigError(
            f"colournet needs a backbone with maps at strides 4, 8, 16 and 32, {backbone.name} has them at "
            f"{', '.join(str(stride) for stride in sorted(found))}; take efficientnet_lite0"
        )
    return found
