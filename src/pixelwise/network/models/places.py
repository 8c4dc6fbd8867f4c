"""The colours of a picture at the places that a network for photographs answers for."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from pixelwise.colour.spaces import srgb_to_lab
from pixelwise.network.models.colournet import ColourNet


def coarsened(images: UInt8[Tensor, "N 3 H W"]) -> UInt8[Tensor, "N 3 h w"]:
    """Return the mean sRGB colour of each place of the logits."""
    return F.avg_pool2d(images.float(), ColourNet.out_stride).round().byte()


def chroma_of(images: Float[Tensor, "N 3 H W"], coarser: int = 1) -> Float[Tensor, "N 2 h w"]:
    """Return Lab's a and b of the mean sRGB colour of each place of the logits, or of so many together."""
    return srgb_to_lab(F.avg_pool2d(images, ColourNet.out_stride * coarser))[:, 1:]
