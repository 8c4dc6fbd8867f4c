"""The handout's CNN and U-Net."""

from __future__ import annotations

import torch
from torch import nn

from pixelwise.colour.shapes import Grey, Logits
from pixelwise.network.config import CNNConfig, UNetConfig
from pixelwise.network.models.conv import MyConv2d


def block(num_in: int, num_out: int, config: CNNConfig, resize: nn.Module | None = None) -> nn.Sequential:
    """Build convolution, pooling or upsampling if any, batch norm and ReLU, in the handout's order."""
    layers: list[nn.Module] = [MyConv2d(num_in, num_out, config.kernel, config.convolution)]
    if resize is not None:
        layers.append(resize)
    return nn.Sequential(*layers, nn.BatchNorm2d(num_out), nn.ReLU())


class CNN(nn.Module):
    """Six blocks: twice down, once across, twice up, and a last convolution to the classes.

    Source: CSC413/2516, winter 2020, programming assignment 2, question A1.
    """

    stride = 4
    """Height and width of the input are multiples of this."""
    out_stride = 1
    """Pixels of the input, down and across, that share one place of the logits."""
    saturation = 1.0
    """Factor on the chroma that the probabilities mean."""

    def __init__(self, config: CNNConfig, skipped: tuple[int, int, int] = (0, 0, 0)) -> None:
        """`skipped`: channels that the last three convolutions read besides the block below."""
        super().__init__()
        self.config = config
        nf, nc, nic = config.num_filters, config.num_colours, config.num_in_channels
        self.down1 = block(nic, nf, config, nn.MaxPool2d(2))
        self.down2 = block(nf, 2 * nf, config, nn.MaxPool2d(2))
        self.middle = block(2 * nf, 2 * nf, config)
        self.up1 = block(2 * nf + skipped[0], nf, config, nn.Upsample(scale_factor=2))
        self.up2 = block(nf + skipped[1], nc, config, nn.Upsample(scale_factor=2))
        self.classes = MyConv2d(nc + skipped[2], nc, config.kernel, config.convolution)

    def forward(self, x: Grey) -> Logits:
        """Return the logits of every class at every pixel."""
        x = self.rescale(x)
        return self.classes(self.up2(self.up1(self.middle(self.down2(self.down1(x))))))

    def rescale(self, x: Grey) -> Grey:
        """Return every pixel as the configuration has it read."""
        scale, shift = self.config.scale, self.config.shift
        return x if (scale, shift) == (1, 0) else scale * x + shift


class UNet(CNN):
    """The CNN, whose last three convolutions also read what the way down had at their size.

    Source: O. Ronneberger, P. Fischer, T. Brox, arXiv:1505.04597; here in the small form of CSC413/2516,
    winter 2020, programming assignment 2, question B1.
    """

    config: UNetConfig

    def __init__(self, config: UNetConfig) -> None:
        nf, nic = config.num_filters, config.num_in_channels
        skipped = (2 * nf * config.skip_quarter, nf * config.skip_half, nic * config.skip_full)
        super().__init__(config, skipped)

    def forward(self, x: Grey) -> Logits:
        """Return the logits of every class at every pixel."""
        x, config = self.rescale(x), self.config
        half = self.down1(x)
        quarter = self.down2(half)
        y = self.middle(quarter)
        y = self.up1(torch.cat([y, quarter], dim=1) if config.skip_quarter else y)
        y = self.up2(torch.cat([y, half], dim=1) if config.skip_half else y)
        return self.classes(torch.cat([y, x], dim=1) if config.skip_full else y)
