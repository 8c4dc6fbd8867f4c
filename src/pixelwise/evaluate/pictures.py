"""Scores of a network on labelled pictures, with intervals, beside baselines without a network."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from pixelwise.evaluate.intervals import Interval, interval, resampled_sums
from pixelwise.evaluate.metrics import PixelScore
from pixelwise.network.config import Device
from pixelwise.network.device import choose_device
from pixelwise.network.runs import Model
from pixelwise.photos.pictures import Batches, Pictures
from pixelwise.progress import progress

_PIXELS_AT_ONCE = 1 << 18  # logits of one batch stay in the processor's cache
_NUM_RESAMPLES = 1000
_NUM_GREYS = 256


@torch.inference_mode()
def score(net: nn.Module, data: Batches) -> PixelScore:
    """Return the score of a network in evaluation mode, in fp32; its mode is put back."""
    was_training = net.training
    net.eval()
    total = sum((PixelScore.of(net(batch.grey()), batch.labels) for batch in _batches(data)), PixelScore())
    net.train(was_training)
    return total


@torch.inference_mode()
def evaluate(
    model: Model, pictures: Pictures, seed: int = 0, device: Device = "auto"
) -> dict[str, dict[str, Interval]]:
    """Return validation accuracy (per cent) and loss (nats a pixel) of a model and of two baselines.

    `majority` gives every pixel the shares that the classes have in the training part, `grey level` the
    shares among the training pixels that are as bright: the network's gain over it comes from context.
    """
    on = choose_device(device)
    net = model.net.to(on)
    train, val = (Batches.of(part, model.palette, on) for part in (pictures.train, pictures.val))
    by_grey = shares_by_grey(train, model.palette.num_classes)
    baselines = {"majority": by_grey.sum(0, keepdim=True).expand_as(by_grey), "grey level": by_grey}
    logits = {name: log_shares(counts) for name, counts in baselines.items()}
    scores: dict[str, list[PixelScore]] = {"model": [], **{name: [] for name in logits}}
    with progress(f"evaluating on {pictures.name}", len(val)) as advance:
        for batch in _batches(val):
            predictions = {"model": net(batch.grey())}
            for name, table in logits.items():
                predictions[name] = table[grey_level(batch.grey()[:, 0])].permute(0, 3, 1, 2)
            for name, predicted in predictions.items():
                for i in range(len(batch)):
                    scores[name].append(PixelScore.of(predicted[i : i + 1], batch.labels[i : i + 1]))
            advance(len(batch), "")
    return {name: _intervals(by_picture, seed) for name, by_picture in scores.items()}


def _batches(data: Batches) -> Iterator[Batches]:
    at_once = max(1, _PIXELS_AT_ONCE // data.labels[0].numel())
    for index in torch.arange(len(data)).split(at_once):
        yield data.take(index)


def grey_level(grey: Tensor) -> Tensor:
    """Return brightness in 256 steps."""
    return (grey * (_NUM_GREYS - 1)).round().long().clamp(0, _NUM_GREYS - 1)


def log_shares(counts: Tensor) -> Tensor:
    """Return logarithms of the shares of counts (..., K), each taken to be one more, so that none is 0."""
    return (counts + 1).log().log_softmax(-1)


def shares_by_grey(train: Batches, num_classes: int) -> Tensor:
    """Count the training pixels of each grey level and class, (256, K)."""
    joint = grey_level(train.grey()[:, 0]) * num_classes + train.labels.long()
    counts = torch.bincount(joint.flatten(), minlength=_NUM_GREYS * num_classes)
    return counts.view(_NUM_GREYS, num_classes).float()


def _intervals(by_picture: list[PixelScore], seed: int) -> dict[str, Interval]:
    counts = np.array([(s.num_right, s.loss_sum, s.num_pixels) for s in by_picture], dtype=np.float64)
    sums = resampled_sums(counts, seed, _NUM_RESAMPLES)
    return {
        "accuracy": interval(100 * sums[:, 0] / sums[:, 2]),
        "loss": interval(sums[:, 1] / sums[:, 2]),
    }
