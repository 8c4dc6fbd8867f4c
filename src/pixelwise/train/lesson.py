"""What a network learns from, batch by batch, and what it is measured on."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pixelwise.config import RunConfig
from pixelwise.data import Pictures
from pixelwise.data.batches import Batches
from pixelwise.evaluate import score
from pixelwise.labelspace import Palette
from pixelwise.losses import class_weights, cross_entropy
from pixelwise.metrics import PixelScore
from pixelwise.shapes import Grey, Logits


@runtime_checkable
class Shown(Protocol):
    """A batch of pictures."""

    def __len__(self) -> int:
        """How many."""

    def grey(self) -> Grey:
        """What the network reads."""


@runtime_checkable
class Lesson(Protocol):
    """Pictures to learn from and pictures to measure on, with what is to be said of each."""

    num_train: int
    num_val: int
    commonest_frac: float
    """Share of the pixels measured on that have the commonest class: right without any network."""

    def batch(self, index: Int[Tensor, " B"], step: int, *, crop: bool, part: slice = slice(None)) -> Shown:
        """Pictures to learn from, by their places, varied as seed and step decide; or quarters of them.

        Of a part of the batch they are varied as they would be in the whole batch.
        """

    def loss(self, logits: Logits, shown: Shown) -> Float[Tensor, ""]:
        """Of what a network said of a batch, in nats a pixel."""

    def weight(self, shown: Shown) -> float:
        """How much of a batch's loss a part of it makes up, in pixels."""

    def score(self, net: nn.Module, part: slice = slice(None)) -> PixelScore:
        """Of a network on the pictures to measure on, or on a part of them."""


class ClassLesson:
    """Every pixel has one class, and the network says which at the picture's own size."""

    def __init__(self, config: RunConfig, pictures: Pictures, palette: Palette, device: torch.device) -> None:
        self.config = config.train
        self.train = Batches.of(pictures.train, palette, device)
        self.val = Batches.of(pictures.val, palette, device)
        self.weights = class_weights([self.train.labels], palette.num_classes, config.train.rebalance)
        self.num_train, self.num_val = len(self.train), len(self.val)
        counts = torch.bincount(self.val.labels.flatten())
        self.commonest_frac = counts.max().item() / counts.sum().item()

    def batch(self, index: Int[Tensor, " B"], step: int, *, crop: bool, part: slice = slice(None)) -> Batches:
        """As `Lesson.batch`."""
        batch, randomness = self.train.take(index[part]), drawn_by(self.config.seed, step, 1)
        if self.config.flip:
            which = torch.rand(len(index), generator=randomness)[part] < 0.5
            batch = batch.mirror(which.to(batch.images.device))
        if crop:
            height, width = (size // 2 for size in batch.images.shape[-2:])
            row, column = (int(torch.randint(size + 1, (), generator=randomness)) for size in (height, width))
            batch = batch.crop(row, column, height, width)
        return batch

    def loss(self, logits: Logits, shown: Shown) -> Float[Tensor, ""]:
        """Cross-entropy, classes weighed as `rebalance` says."""
        assert isinstance(shown, Batches)
        return cross_entropy(logits, shown.labels, weights=self.weights)

    def weight(self, shown: Shown) -> float:
        """As `Lesson.weight`; no pixel is without label."""
        assert isinstance(shown, Batches)
        if self.weights is None:
            return float(shown.labels.numel())
        return float(self.weights.to(shown.labels.device)[shown.labels.long()].sum(dtype=torch.float64))

    def score(self, net: nn.Module, part: slice = slice(None)) -> PixelScore:
        """As `Lesson.score`."""
        return score(net, self.val.take(torch.arange(self.num_val)[part]))


_OF_LAYERS = 2**40  # far from the other streams, which are 0 and 1


def drawn_by(seed: int, count: int, stream: int) -> torch.Generator:
    """A generator that follows from seed and place in the run, so that a resumed run draws the same."""
    return torch.Generator().manual_seed(_seed_at(seed, count, stream))


def layers_seed(seed: int, step: int) -> int:
    """Lets what the network itself draws in a step, its dropout, follow from seed and step as well."""
    return _seed_at(seed, step, _OF_LAYERS)


def _seed_at(seed: int, count: int, stream: int) -> int:
    return (seed * 1_000_003 + count) * 2 + stream
