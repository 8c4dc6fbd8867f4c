"""The handout's U-Net: the CNN's blocks, with a skip connection from each to its mirror image."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pixelwise.config import UNetConfig
from pixelwise.models.cnn import block, preprocess
from pixelwise.models.conv import MyConv2d
from pixelwise.shapes import Grey, Logits


class UNet(nn.Module):
    """Blocks on the way up read the block below and, beside it, what the way down had at that size.

    Source: O. Ronneberger, P. Fischer, T. Brox, arXiv:1505.04597; here in the small form of CSC413/2516,
    winter 2020, programming assignment 2, question B1.
    """

    stride = 4
    """Height and width of the input are multiples of this."""
    out_stride = 1
    """Pixels of the input, down and across, that share one place of the logits."""
    saturation = 1.0
    """Factor on the chroma that its probabilities mean."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        nf, nc, nic = config.num_filters, config.num_colours, config.num_in_channels
        self.down1 = block(nic, nf, config, nn.MaxPool2d(2))
        self.down2 = block(nf, 2 * nf, config, nn.MaxPool2d(2))
        self.middle = block(2 * nf, 2 * nf, config)
        self.up1 = block(2 * nf + 2 * nf * config.skip_quarter, nf, config, nn.Upsample(scale_factor=2))
        self.up2 = block(nf + nf * config.skip_half, nc, config, nn.Upsample(scale_factor=2))
        self.classes = MyConv2d(nc + nic * config.skip_full, nc, config.kernel, config.convolution)

    def forward(self, x: Grey) -> Logits:
        """Logits of every class at every pixel."""
        x = preprocess(x, self.config)
        half = self.down1(x)
        quarter = self.down2(half)
        up = self.up1(_beside(self.middle(quarter), quarter, self.config.skip_quarter))
        up = self.up2(_beside(up, half, self.config.skip_half))
        return self.classes(_beside(up, x, self.config.skip_full))


def _beside(
    below: Float[Tensor, "N below H W"], skipped: Float[Tensor, "N skipped H W"], skip: bool
) -> Float[Tensor, "N both H W"]:
    """What came from below, with the channels that skipped beside it; alone where there is no skip."""
    return torch.cat([below, skipped], dim=1) if skip else below
