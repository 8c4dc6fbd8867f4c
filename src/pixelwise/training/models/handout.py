"""The handout's convolution MyConv2d, and its CNN and U-Net."""

from __future__ import annotations

import math
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelwise.colour.arrays import Float
from pixelwise.network.config import CNNConfig, UNetConfig
from pixelwise.training.shapes import Grey, Labels, Logits

NUM_GREYS = 256  # levels of a grey pixel that tables tell apart


def grey_level(grey: Grey) -> Labels:
    """Return the level of each pixel, a whole number below `NUM_GREYS`."""
    return (grey[:, 0] * (NUM_GREYS - 1)).round().long().clamp(0, NUM_GREYS - 1)


class UnfoldedConvolution(torch.autograd.Function):
    """A convolution as one matrix product, with its backward written out.

    Unfolding lays the k x k window of every output pixel out as a column, so that a convolution with O
    filters over I channels is ``(O, I k k) @ (I k k, H W)``. Folding adds up the columns' entries that came
    from the same pixel. Backward unfolds again, since columns are k k times as large as the input.
    Source: K. Chellapilla et al., "High Performance Convolutional Neural Networks for Document Processing".
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, padding: int) -> Tensor:
        """Return the output (N, O, H, W) of input (N, I, H, W), weight (O, I, k, k) and bias (O,)."""
        ctx.save_for_backward(x, weight)
        ctx.padding = padding
        columns = F.unfold(x, weight.shape[-2:], padding=padding)
        height, width = (side + 2 * padding - weight.shape[-1] + 1 for side in x.shape[-2:])
        out = weight.flatten(1) @ columns + bias[:, None]
        return out.unflatten(-1, (height, width))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:
        """Return the gradients of input, weight and bias from the output's gradient (N, O, H, W)."""
        x, weight = ctx.saved_tensors
        grad = grads[0].flatten(2)  # N, O, H W
        columns = F.unfold(x, weight.shape[-2:], padding=ctx.padding)
        grad_weight = torch.einsum("nop,ncp->oc", grad, columns).view_as(weight)
        grad_bias = grad.sum(dim=(0, 2))
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_columns = weight.flatten(1).T @ grad
            grad_x = F.fold(grad_columns, x.shape[-2:], weight.shape[-2:], padding=ctx.padding)
        return grad_x, grad_weight, grad_bias, None


class MyConv2d(nn.Module):
    """A convolution with k x k windows, k odd, half a window of zero padding, no stride or dilation.

    Weight (out, in, k, k) and bias (out,) start uniform within 1 / sqrt(in k k), as in the handout's code.
    `how` is torch's kernel, or `UnfoldedConvolution`: equal in value and gradient.
    """

    def __init__(
        self, num_in: int, num_out: int, kernel: int, how: Literal["torch", "unfold"] = "torch"
    ) -> None:
        super().__init__()
        bound = 1 / math.sqrt(num_in * kernel * kernel)
        self.weight = nn.Parameter(torch.empty(num_out, num_in, kernel, kernel).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(num_out).uniform_(-bound, bound))
        self.padding = kernel // 2
        self.how = how

    def forward(self, x: Float[Tensor, "N I H W"]) -> Float[Tensor, "N O H W"]:
        """Return the filter responses at every pixel."""
        if self.how == "torch":
            return F.conv2d(x, self.weight, self.bias, padding=self.padding)
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        return cast(Tensor, UnfoldedConvolution.apply(x, weight, bias, self.padding))


def _block(num_in: int, num_out: int, config: CNNConfig, resize: nn.Module | None = None) -> nn.Sequential:
    """Build convolution, pooling or upsampling if any, batch norm and ReLU, in the handout's order."""
    conv, resized = MyConv2d(num_in, num_out, config.kernel, config.convolution), [resize] if resize else []
    return nn.Sequential(conv, *resized, nn.BatchNorm2d(num_out), nn.ReLU())


class CNN(nn.Module):
    """Six blocks: twice down, once across, twice up, and a last convolution to the classes.

    Source: CSC413/2516, winter 2020, programming assignment 2, question A1.
    """

    stride = 4  # divides height and width of the input
    out_stride = 1  # pixels of the input, down and across, that share one place of the logits
    saturation = 1.0  # factor on the chroma that the probabilities mean

    def __init__(self, config: CNNConfig, skipped: tuple[int, int, int] = (0, 0, 0)) -> None:
        """`skipped`: channels that the last three convolutions read besides the block below."""
        super().__init__()
        self.config = config
        nf, nc, nic = config.num_filters, config.num_colours, config.num_in_channels
        self.down1 = _block(nic, nf, config, nn.MaxPool2d(2))
        self.down2 = _block(nf, 2 * nf, config, nn.MaxPool2d(2))
        self.middle = _block(2 * nf, 2 * nf, config)
        self.up1 = _block(2 * nf + skipped[0], nf, config, nn.Upsample(scale_factor=2))
        self.up2 = _block(nf + skipped[1], nc, config, nn.Upsample(scale_factor=2))
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

    With `grey_table` logits of a pixel's own grey level are added. They begin at 0 and soon know what a table
    knows without a network; for that the weight of the skip from the input would have to grow by thousands.
    Source: O. Ronneberger, P. Fischer, T. Brox, arXiv:1505.04597; here in the small form of CSC413/2516,
    winter 2020, programming assignment 2, question B1.
    """

    config: UNetConfig

    def __init__(self, config: UNetConfig) -> None:
        nf, nic = config.num_filters, config.num_in_channels
        skipped = (2 * nf * config.skip_quarter, nf * config.skip_half, nic * config.skip_full)
        super().__init__(config, skipped)
        if config.grey_table:
            self.table = nn.Embedding(NUM_GREYS, config.num_colours)
            nn.init.zeros_(self.table.weight)

    def forward(self, x: Grey) -> Logits:
        """Return the logits of every class at every pixel."""
        x, config = self.rescale(x), self.config
        half = self.down1(x)
        quarter = self.down2(half)
        y = self.middle(quarter)
        y = self.up1(torch.cat([y, quarter], dim=1) if config.skip_quarter else y)
        y = self.up2(torch.cat([y, half], dim=1) if config.skip_half else y)
        logits = self.classes(torch.cat([y, x], dim=1) if config.skip_full else y)
        return logits + self.table(grey_level(x)).permute(0, 3, 1, 2) if config.grey_table else logits
