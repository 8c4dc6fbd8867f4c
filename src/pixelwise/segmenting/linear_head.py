"""Linear heads, and their loss over sampled pixels.

The features of a pixel are the values of all maps of its photo at its place, read bilinearly. A linear head
and an interpolation whose weights add up to 1 commute: logits are computed on the small maps, then enlarged.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int64, UInt8
from torch import Tensor

from pixelwise.errors import LabelError, ShapeError
from pixelwise.labels.confusion import Confusion
from pixelwise.network.device import ONE_THREAD
from pixelwise.network.models.on_backbone import logits_of_maps
from pixelwise.segmenting.extraction import Maps

_ROWS = 2**10  # pixels computed at once: they are still in the processor's cache for their gradient


@dataclass(frozen=True)
class Weights:
    """A linear head on D features: logits = features @ weight.T + bias."""

    weight: Float[Tensor, "K D"]
    bias: Float[Tensor, " K"]

    @property
    def num_learned(self) -> int:
        """Number of weights and biases."""
        return self.weight.numel() + self.bias.numel()

    def logits(self, maps: Maps, size: tuple[int, int]) -> Float[Tensor, "K H W"]:
        """Return the logits of a photo, at `size` (height, width)."""
        return logits_of_maps([level[None] for level in maps], self.weight, self.bias, size)[0]

    def labels(self, maps: Maps, size: tuple[int, int]) -> UInt8[Tensor, "H W"]:
        """Return the most probable class of each pixel, at `size` (height, width); the lowest on a tie."""
        return labels_by([self], maps, size)[0]

    def relative_to_first(self) -> Weights:
        """Return the K - 1 rows by which the logits of the other classes exceed those of class 0."""
        return Weights(self.weight[1:] - self.weight[0], self.bias[1:] - self.bias[0])


def labels_by(heads: Sequence[Weights], maps: Maps, size: tuple[int, int]) -> list[UInt8[Tensor, "H W"]]:
    """Return `Weights.labels` of each of several heads, in one pass over the maps."""
    over = [head.relative_to_first() for head in heads]
    joined = Weights(torch.cat([head.weight for head in over]), torch.cat([head.bias for head in over]))
    labels = []
    for logits in joined.logits(maps, size).split([len(head.bias) for head in over]):
        best, label = logits.max(0)
        labels.append(((label + 1) * (best > 0)).to(torch.uint8))
    return labels


@dataclass(frozen=True, eq=False)
class Pixels:
    """Features and labels of single pixels, over which a mean loss is taken.

    Raises:
        LabelError, ShapeError: there is no pixel, a label is no class, or probabilities are not (P, K).
    """

    features: Float[Tensor, "P D"]
    labels: Int64[Tensor, " P"] | UInt8[Tensor, " P"] | Float[Tensor, "P K"]  # classes, or probabilities
    num_classes: int
    class_weights: Float[Tensor, " K"] | None = None  # of pixels in the mean, by their class

    def __post_init__(self) -> None:
        if self.labels.is_floating_point():
            needed = (len(self.features), self.num_classes)
            if self.labels.shape != needed:
                raise ShapeError(f"needed probabilities of shape {needed}, got {tuple(self.labels.shape)}")
        elif len(wrong := self.labels[self.labels >= self.num_classes]):
            raise LabelError(f"needed labels 0 to {self.num_classes - 1}, got {int(wrong[0])}")
        if not len(self.labels):
            raise LabelError("needed at least one labelled pixel, got none")

    def _targets(self, start: int) -> tuple[Tensor, Tensor]:
        """Return pixel weights (P', 1) and probabilities (P', K) of the rows from `start`."""
        labels = self.labels[start : start + _ROWS]
        factors = torch.ones(self.num_classes) if self.class_weights is None else self.class_weights
        probs = labels if labels.is_floating_point() else F.one_hot(labels.long(), self.num_classes).float()
        return probs @ factors[:, None], probs

    def value_and_gradient(self, weight: Tensor, bias: Tensor) -> tuple[float, Tensor, Tensor]:
        """Return the mean loss in nats a pixel, and its gradients; two threads share the pixels."""
        # Only how much classes exceed the first one counts, and the gradients of all add up to 0: of two
        # classes one is computed.
        further, further_bias = weight[1:] - weight[0], bias[1:] - bias[0]
        starts = range(0, len(self.features), _ROWS)
        halves = (starts[: len(starts) // 2], starts[len(starts) // 2 :])
        with ONE_THREAD, ThreadPoolExecutor(len(halves)) as pool:
            sums = pool.map(lambda half: self._sums(half, further, further_bias), halves)
            value, total, by_further, by_bias = (sum(both[1:], both[0]) for both in zip(*sums, strict=True))
        by_weight = torch.cat((-by_further.sum(0, keepdim=True), by_further))
        return value / total, by_weight / total, by_bias / total

    def _sums(
        self, starts: Sequence[int], further: Tensor, further_bias: Tensor
    ) -> tuple[float, float, Tensor, Tensor]:
        """Return the sums of losses, weights and both gradients over the rows from each start."""
        value, total = 0.0, 0.0
        by_further, by_bias = torch.zeros_like(further), further.new_zeros(self.num_classes)
        for start in starts:
            rows = self.features[start : start + _ROWS].to(further.dtype)
            factors, probs = (part.to(further.dtype) for part in self._targets(start))
            logits = F.linear(rows, further, further_bias)  # classes in rows: a fourth of the time
            logs = F.pad(logits, (1, 0)).log_softmax(1)
            value -= float((factors * probs * logs).sum(dtype=torch.float64))
            error = (logs.exp() - probs) * factors
            by_further += error[:, 1:].T @ rows
            by_bias += error.sum(0)
            total += float(factors.sum())
        return value, total, by_further, by_bias

    def confusion(self, head: Weights) -> Confusion:
        """Return the counts of a head's classes by the labelled ones."""
        given = (self.features.float() @ head.weight.T + head.bias).argmax(1).to(torch.uint8)
        return Confusion.of(given[None].numpy(), self.labels[None].to(torch.uint8).numpy(), self.num_classes)


def grid(height: int, width: int, step: int) -> Int64[Tensor, "P 2"]:
    """Return (row, column) of every `step`-th pixel both ways, from half a step inside the border."""
    rows, columns = (torch.arange(min(step // 2, length - 1), length, step) for length in (height, width))
    return torch.cartesian_prod(rows, columns)


def features_at(maps: Maps, places: Int64[Tensor, "P 2"], size: tuple[int, int]) -> Float32[Tensor, "P D"]:
    """Return the features of single pixels (row, column) of a photo of `size` (height, width).

    Each map is read bilinearly where it would be enlarged, so that a linear head gives the same logits.
    """
    height, width = size
    shares = (places.flip(1) + 0.5) / torch.tensor([width, height])
    features = torch.empty(len(places), sum(len(level) for level in maps))
    for level, columns in zip(maps, features.split([len(level) for level in maps], dim=1), strict=True):
        read = F.grid_sample(
            level[None].float(),
            (2 * shares - 1)[None, None],
            mode="bilinear",
            padding_mode="border",
            align_corners=False,
        )
        columns.copy_(read[0, :, 0].T)
    return features
