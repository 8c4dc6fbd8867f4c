"""The handout's convolution MyConv2d, once written out and once on torch's kernel."""

from __future__ import annotations

import math
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class UnfoldedConvolution(torch.autograd.Function):
    """A convolution as one matrix product, with its backward written out.

    Unfolding lays the k x k window of every output pixel out as a column, so that a convolution with O
    filters over I channels is ``(O, I k k) @ (I k k, H W)``. Its three gradients are matrix products too:

    * of the weight: the output's gradient times the columns, transposed, summed over the batch;
    * of the bias: the output's gradient summed over batch and pixels;
    * of the input: the weight, transposed, times the output's gradient gives a gradient for every column;
      folding adds up the columns' entries that came from the same pixel.

    The columns are k k times as large as the input, so backward unfolds again instead of keeping them.

    Source: K. Chellapilla, S. Puri, P. Simard, "High Performance Convolutional Neural Networks for
    Document Processing", 2006.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, padding: int) -> Tensor:
        """Return the output (N, O, H, W) of input (N, I, H, W), weight (O, I, k, k) and bias (O,)."""
        ctx.save_for_backward(x, weight)
        ctx.padding = padding
        columns = F.unfold(x, weight.shape[-2:], padding=padding)
        height, width = (
            size + 2 * padding - k + 1 for size, k in zip(x.shape[-2:], weight.shape[-2:], strict=True)
        )
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
    """A convolution with k x k windows, half a window of zero padding, no stride or dilation.

    Weight (out, in, k, k) and bias (out,) start uniform within 1 / sqrt(in k k), as in the handout's code.

    Args:
        num_in: channels of the input.
        num_out: filters, the channels of the output.
        kernel: side of the window in pixels; odd, so that the output has the input's size.
        how: "torch" is torch's kernel, "unfold" is `UnfoldedConvolution`: equal in value and gradient.
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
