"""Scores of a network on labelled pictures."""

from __future__ import annotations

import torch
from torch import nn

from pixelwise.data.batches import Batches
from pixelwise.metrics import PixelScore

_PIXELS_AT_ONCE = 1 << 18  # logits of one piece stay in the processor's cache


@torch.inference_mode()
def score(net: nn.Module, data: Batches) -> PixelScore:
    """Cross-entropy and accuracy of a network in evaluation mode, in fp32; its mode is put back."""
    was_training = net.training
    net.eval()
    at_once = max(1, _PIXELS_AT_ONCE // data.labels[0].numel())
    total = PixelScore()
    for index in torch.arange(len(data)).split(at_once):
        piece = data.take(index)
        logits = net(piece.grey.contiguous(memory_format=torch.channels_last))
        total += PixelScore.of(logits, piece.labels)
    net.train(was_training)
    return total
