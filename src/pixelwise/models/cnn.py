"""The handout's CNN."""

from __future__ import annotations

from torch import nn

from pixelwise.config import CNNConfig
from pixelwise.models.conv import MyConv2d
from pixelwise.shapes import Grey, Logits


def block(num_in: int, num_out: int, config: CNNConfig, resize: nn.Module | None = None) -> nn.Sequential:
    """Convolution, then pooling or upsampling if any, then batch norm and ReLU, in the handout's order."""
    layers: list[nn.Module] = [MyConv2d(num_in, num_out, config.kernel, config.convolution)]
    if resize is not None:
        layers.append(resize)
    return nn.Sequential(*layers, nn.BatchNorm2d(num_out), nn.ReLU())


def preprocess(x: Grey, config: CNNConfig) -> Grey:
    """Every pixel as `config` has it read: scale x + shift."""
    return x if (config.scale, config.shift) == (1, 0) else config.scale * x + config.shift


class CNN(nn.Module):
    """Six blocks: twice down, once across, twice up, and a last convolution to the classes.

    Source: CSC413/2516, winter 2020, programming assignment 2, question A1.
    """

    stride = 4
    """Height and width of the input are multiples of this."""
    out_stride = 1
    """Pixels of the input, down and across, that share one place of the logits."""
    saturation = 1.0
    """Factor on the chroma that its probabilities mean."""

    def __init__(self, config: CNNConfig) -> None:
        super().__init__()
        self.config = config
        nf, nc, nic = config.num_filters, config.num_colours, config.num_in_channels
        self.down1 = block(nic, nf, config, nn.MaxPool2d(2))
        self.down2 = block(nf, 2 * nf, config, nn.MaxPool2d(2))
        self.middle = block(2 * nf, 2 * nf, config)
        self.up1 = block(2 * nf, nf, config, nn.Upsample(scale_factor=2))
        self.up2 = block(nf, nc, config, nn.Upsample(scale_factor=2))
        self.classes = MyConv2d(nc, nc, config.kernel, config.convolution)

    def forward(self, x: Grey) -> Logits:
        """Logits of every class at every pixel."""
        x = preprocess(x, self.config)
        return self.classes(self.up2(self.up1(self.middle(self.down2(self.down1(x))))))
