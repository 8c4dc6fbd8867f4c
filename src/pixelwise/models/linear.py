"""One linear layer over what a frozen backbone sees, at every place: small enough to be solved exactly.

The features of a place are the values of all maps there, read bilinearly. A linear layer and an interpolation
whose weights add up to 1 commute: logits are computed on the small maps and then enlarged, to the same
numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from pixelwise.config import LinearNetConfig
from pixelwise.errors import ConfigError, ShapeError
from pixelwise.models.on_backbone import OnBackbone
from pixelwise.shapes import Grey

_MULTIPLE = 32  # of all networks that read photos at this size


@final
class LinearNet(OnBackbone):
    """Logits of every class at a quarter of the size of the grey photo that is read.

    Raises:
        ConfigError: 32 is no multiple of what the backbone needs height and width to be divisible by.
    """

    stride = _MULTIPLE
    """Height and width of the input are multiples of this."""
    out_stride = 4
    """Pixels of the input, down and across, that share one place of the logits."""
    saturation = 1.0
    """Factor on the chroma that its probabilities mean."""

    def __init__(self, config: LinearNetConfig) -> None:
        super().__init__(config.backbone)
        self.config = config
        if _MULTIPLE % self.backbone.multiple:
            raise ConfigError(
                f"needed a backbone that reads multiples of {_MULTIPLE} pixels, {config.backbone} reads "
                f"those of {self.backbone.multiple}; take efficientnet_lite0"
            )
        self.classes = nn.Linear(sum(level.channels for level in self.backbone.levels), config.num_colours)

    def forward(self, x: Grey) -> Float[Tensor, "N K h w"]:
        """Logits (N, K, H / 4, W / 4) of what a grey photo (N, 1, H, W), CIE L from 0 to 1, is to have."""
        size = (x.shape[-2] // self.out_stride, x.shape[-1] // self.out_stride)
        return logits_of_maps(self.look(x), self.classes.weight, self.classes.bias, size)


def logits_of_maps(
    maps: Sequence[Float[Tensor, "N _C _h _w"]],
    weight: Float[Tensor, "K D"],
    bias: Float[Tensor, " K"],
    size: tuple[int, int],
) -> Float[Tensor, "N K H W"]:
    """Logits of photos at `size` (height, width): computed on each map, enlarged bilinearly, added.

    Raises:
        ShapeError: the maps' channels together are not the weights' D.
    """
    total = bias[:, None, None]
    for logits in small_logits(maps, weight):
        total = total + F.interpolate(logits, size, mode="bilinear", align_corners=False)
    return total


def small_logits(
    maps: Sequence[Float[Tensor, "*batch _C _h _w"]], weight: Float[Tensor, "K D"]
) -> list[Float[Tensor, "*batch K _ _"]]:
    """What each map says of each class, as large as the map; those of equal height and width are one.

    Enlarged, they add up to logits without their bias.

    Raises:
        ShapeError: the maps' channels together are not the weights' D.
    """
    channels = [one.shape[-3] for one in maps]
    if sum(channels) != weight.shape[1]:
        raise ShapeError(f"needed maps of {weight.shape[1]} channels together, got {sum(channels)}")
    small: dict[tuple[int, int], Tensor] = {}
    for one, part in zip(maps, weight.split(channels, dim=1), strict=True):
        height, width = one.shape[-2:]
        logits = part @ one.flatten(-2).to(weight.dtype)
        small[height, width] = small.get((height, width), 0) + logits.unflatten(-1, (height, width))
    return list(small.values())
