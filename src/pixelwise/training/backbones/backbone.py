"""A frozen backbone on torch: photos in, feature maps of several sizes out; and its copy that runs faster."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pixelwise.colour.arrays import Float
from pixelwise.errors import ShapeError
from pixelwise.network.backbone import Level
from pixelwise.network.config import Precision
from pixelwise.training.frozen import fingerprint, freeze

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # Source: torchvision


@final
class TorchBackbone(nn.Module):
    """A frozen network that turns photos into feature maps."""

    centre: Tensor
    scale: Tensor

    def __init__(
        self,
        net: nn.Module,
        weights: Path | None = None,
        *,
        name: str,
        licence: str,
        source: str,
        implementation: str = "",
        levels: tuple[Level, ...],
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        multiple: int,
        sizes: tuple[int, ...],
        margin: int | None = None,
        last_stage: tuple[str, ...] = (),
    ) -> None:
        """`net` gives one map for each level from photos less `mean`, over `std`, of sRGB in [0, 1]."""
        super().__init__()
        self.net, self.name, self.levels = net, name, levels
        self.licence = "that of the file" if weights else licence  # under which its weights may be used
        # whose weights they are, and what they were learned from
        self.source = f"weights from {weights.name}" if weights else source
        self.implementation = implementation  # the project whose code computes it, and version, if not ours
        self.multiple = multiple  # divides height and width of what it reads
        self.sizes = sizes  # short sides in pixels at which photos are best read; each gives maps of its own
        self.margin = margin
        """Pixels around a tile, a multiple of `multiple`, with which its features are those of the whole
        photo; None: every place depends on the whole photo."""
        self.last_stage = tuple(f"net.{prefix}" for prefix in last_stage)
        """Prefixes of the parameters that only the last level depends on; none: not known."""
        self.register_buffer("centre", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("scale", torch.tensor(std).view(3, 1, 1))
        # convolutions in bf16 on a CPU take half the time in this order
        freeze(self).to(memory_format=torch.channels_last)
        self.checksum = fingerprint(self)  # of weights, `mean` and `std`, as it was opened

    def forward(self, images: Float[Tensor, "N 3 H W"]) -> tuple[Float[Tensor, "N _ _ _"], ...]:
        """Return the maps of photos, sRGB in [0, 1]: for each level (N, channels, H / stride, W / stride)."""
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


def folded(backbone: TorchBackbone, precision: Precision) -> TorchBackbone:
    """Return a faster copy, with batch norms folded into the convolutions before them, in `precision`.

    Its maps differ by rounding only. Folded are those in an `nn.Sequential`, where one surely follows the
    other. Source: B. Jacob et al., arXiv:1712.05877, 3.2.
    """
    faster = copy.deepcopy(backbone)
    for part in faster.modules():
        if isinstance(part, nn.Sequential):
            for index in range(len(part) - 1):
                conv, norm = part[index], part[index + 1]
                if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    part[index], part[index + 1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
    if precision == "bf16":  # once; autocast would convert the weights for every photo again
        for part in faster.modules():
            if isinstance(part, nn.Conv2d):
                part.to(torch.bfloat16)
    return faster
