"""Scores of a network on labelled pictures, with intervals, beside baselines without a network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from pixelwise.colour.arrays import UInt8
from pixelwise.colour.palette import IGNORE
from pixelwise.errors import ConfigError
from pixelwise.evaluate.intervals import Interval, interval, resampled_sums
from pixelwise.network.model import Model
from pixelwise.progress import progress
from pixelwise.training.data.pictures import Batches, Pictures
from pixelwise.training.losses import cross_entropy
from pixelwise.training.models.handout import NUM_GREYS, grey_level
from pixelwise.training.shapes import Grey, Labels, Logits

_NUM_RESAMPLES = 1000
_CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelScore:
    """Cross-entropy and accuracy over labelled pixels, as counts that add up."""

    num_pixels: int = 0
    num_right: int = 0
    loss_sum: float = 0.0  # cross-entropy summed over pixels, in nats

    @staticmethod
    def of(logits: Logits, labels: Labels | UInt8[Tensor, "N H W"]) -> PixelScore:
        """Score one batch."""
        known = labels != IGNORE
        return PixelScore(
            num_pixels=int(known.sum()),
            num_right=int(((logits.argmax(1) == labels) & known).sum()),
            loss_sum=cross_entropy(logits, labels, reduction="sum").item(),
        )

    def __add__(self, other: PixelScore) -> PixelScore:
        return PixelScore(
            num_pixels=self.num_pixels + other.num_pixels,
            num_right=self.num_right + other.num_right,
            loss_sum=self.loss_sum + other.loss_sum,
        )

    @property
    def loss(self) -> float:
        """Mean cross-entropy per pixel, in nats; NaN before any pixel."""
        return self.loss_sum / self.num_pixels if self.num_pixels else float("nan")

    @property
    def accuracy(self) -> float:
        """Share of right pixels in per cent; NaN before any pixel."""
        return 100 * self.num_right / self.num_pixels if self.num_pixels else float("nan")


@torch.inference_mode()
def score(net: nn.Module, parts: Iterable[tuple[Grey, Labels | UInt8[Tensor, "N H W"]]]) -> PixelScore:
    """Return the score in fp32 of a network, which stays in evaluation mode, on grey pictures and labels."""
    net.eval()
    return sum((PixelScore.of(net(grey), labels) for grey, labels in parts), PixelScore())


@torch.inference_mode()
def evaluate(model: Model, pictures: Pictures, seed: int = 0) -> dict[str, dict[str, Interval]]:
    """Return validation accuracy (per cent) and loss (nats a pixel) of a model and of two baselines.

    `majority` gives every pixel the shares that the classes have in the training part, `grey level` the
    shares among the training pixels that are as bright: the network's gain over it comes from context.
    ConfigError if the model does not classify each pixel.
    """
    if model.out_stride != 1:
        raise ConfigError(f"needed cnn or unet to score {pictures.name}, got {model.name}; try folder:PATH")
    train, val = (Batches.of(part, model.palette, _CPU) for part in (pictures.train, pictures.val))
    joint = grey_level(train.grey()) * model.palette.num_classes + train.labels.long()
    counts = torch.bincount(joint.flatten(), minlength=NUM_GREYS * model.palette.num_classes)
    by_grey = counts.view(NUM_GREYS, -1).float()
    baselines = {"majority": by_grey.sum(0, keepdim=True).expand_as(by_grey), "grey level": by_grey}
    scores: dict[str, list[PixelScore]] = {"model": [], **{name: [] for name in baselines}}
    with progress(f"evaluating on {pictures.name}", len(val)) as advance:
        for grey, labels in val.parts():
            predictions = {"model": torch.from_numpy(model.logits(grey.numpy()))}
            for name, shares in baselines.items():
                table = (shares + 1).log()  # each count is taken to be one more, so that none is 0
                predictions[name] = table.log_softmax(-1)[grey_level(grey)].permute(0, 3, 1, 2)
            for name, predicted in predictions.items():
                for i in range(len(labels)):
                    scores[name].append(PixelScore.of(predicted[i : i + 1], labels[i : i + 1]))
            advance(len(labels), "")
    found = {}
    for name, by_picture in scores.items():
        rows = np.array([(s.num_right, s.loss_sum, s.num_pixels) for s in by_picture], dtype=np.float64)
        right, loss, num = resampled_sums(rows, seed, _NUM_RESAMPLES).T
        found[name] = {"accuracy": interval(100 * right / num), "loss": interval(loss / num)}
    return found
