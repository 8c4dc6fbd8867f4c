"""A frozen network rewritten to look sooner, with the same answers: batch norms inside convolutions."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pixelwise.backbones.backbone import Backbone
from pixelwise.config import Precision


def folded(backbone: Backbone, precision: Precision) -> Backbone:
    """A copy to look with, whose convolutions hold the batch norms right behind them and are in `precision`.

    In evaluation mode a batch norm multiplies and adds constants per channel, which a convolution's own
    weights and bias can do; what it says changes by rounding only. Source: B. Jacob et al., arXiv:1712.05877,
    3.2. Folded are those in an `nn.Sequential`, where one surely follows the other.
    """
    looking = copy.deepcopy(backbone)
    for part in looking.modules():
        if isinstance(part, nn.Sequential):
            _fold(part)
    if precision == "bf16":
        for part in looking.modules():
            if isinstance(part, nn.Conv2d):
                _halve(part)
    return looking


def _fold(layers: nn.Sequential) -> None:
    for index in range(len(layers) - 1):
        conv, norm = layers[index], layers[index + 1]
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            layers[index] = fuse_conv_bn_eval(conv, norm)
            layers[index + 1] = nn.Identity()


def _halve(conv: nn.Conv2d) -> None:
    """Keep a convolution's numbers in bf16; autocast would convert them for every photo again."""
    for name, numbers in list(conv.named_parameters(recurse=False)):
        setattr(conv, name, nn.Parameter(numbers.to(torch.bfloat16), requires_grad=False))
