"""Linear heads, and their loss over sampled pixels.

The features of a pixel are the values of all maps of its photo at its place, read bilinearly.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from pixelwise.colour.arrays import Float, Float32, Float64, Int64, UInt8
from pixelwise.errors import LabelError, ShapeError
from pixelwise.labels.confusion import Confusion, LabelArray
from pixelwise.network.linear import Maps, logits_of_maps, neighbours, pixels_of

_ROWS = 2**9  # pixels computed at once: they are still in the processor's cache for their gradient


@dataclass(frozen=True, eq=False)
class Weights:
    """A linear head on D features: logits = features @ weight.T + bias."""

    weight: Float32[ndarray, "K D"]
    bias: Float32[ndarray, " K"]

    @property
    def num_learned(self) -> int:
        """Number of weights and biases."""
        return self.weight.size + self.bias.size

    def logits(self, maps: Maps, size: tuple[int, int]) -> Float32[ndarray, "K H W"]:
        """Return the logits of a photo, at `size` (height, width)."""
        return logits_of_maps(maps, self.weight, self.bias, size)

    def labels(self, maps: Maps, size: tuple[int, int]) -> LabelArray:
        """Return the most probable class of each pixel, at `size` (height, width); the lowest on a tie."""
        return labels_by([self], maps, size)[0]

    def relative_to_first(self) -> Weights:
        """Return the K - 1 rows by which the logits of the other classes exceed those of class 0."""
        return Weights(self.weight[1:] - self.weight[0], self.bias[1:] - self.bias[0])


def labels_by(heads: Sequence[Weights], maps: Maps, size: tuple[int, int]) -> list[LabelArray]:
    """Return `Weights.labels` of each of several heads, in one pass over the maps."""
    over = [head.relative_to_first() for head in heads]
    joined = Weights(
        np.concatenate([head.weight for head in over]), np.concatenate([head.bias for head in over])
    )
    labels, stops = [], np.cumsum([len(head.bias) for head in over])[:-1]
    for logits in np.split(joined.logits(maps, size), stops):
        label, best = (logits[0] > 0).astype(np.uint8), logits[0].clip(0)
        for index in range(1, len(logits)):
            label[logits[index] > best] = index + 1
            np.maximum(best, logits[index], out=best)
        labels.append(label)
    return labels


@dataclass(frozen=True, eq=False)
class Pixels:
    """Features and labels of single pixels, over which a mean loss is taken.

    Raises:
        LabelError, ShapeError: there is no pixel, a label is no class, or probabilities are not (P, K).
    """

    features: Float32[ndarray, "P D"]
    labels: Int64[ndarray, " P"] | UInt8[ndarray, " P"] | Float32[ndarray, "P K"]  # classes, or probabilities
    num_classes: int
    class_weights: Float64[ndarray, " K"] | None = None  # of pixels in the mean, by their class

    def __post_init__(self) -> None:
        if self.labels.dtype.kind == "f":
            needed = (len(self.features), self.num_classes)
            if self.labels.shape != needed:
                raise ShapeError(f"needed probabilities of shape {needed}, got {self.labels.shape}")
        elif len(wrong := self.labels[self.labels >= self.num_classes]):
            raise LabelError(f"needed labels 0 to {self.num_classes - 1}, got {wrong[0]}")
        if not len(self.labels):
            raise LabelError("needed at least one labelled pixel, got none")

    def _targets(self, start: int) -> tuple[Float[ndarray, "n 1"], Float32[ndarray, "n K"]]:
        """Return the weights of the pixels from `start`, and their probabilities."""
        labels = self.labels[start : start + _ROWS]
        factors = np.ones(self.num_classes) if self.class_weights is None else self.class_weights
        probs = labels if labels.dtype.kind == "f" else np.eye(self.num_classes, dtype=np.float32)[labels]
        return probs @ factors[:, None], probs

    def value_and_gradient(
        self, weight: Float[ndarray, "K D"], bias: Float[ndarray, " K"]
    ) -> tuple[float, Float[ndarray, "K D"], Float[ndarray, " K"]]:
        """Return the mean loss in nats a pixel, and its gradients; two threads share the pixels."""
        # Only how much classes exceed the first one counts, and the gradients of all add up to 0: of two
        # classes one is computed.
        further, further_bias = weight[1:] - weight[0], bias[1:] - bias[0]
        starts = range(0, len(self.features), _ROWS)
        halves = (starts[: len(starts) // 2], starts[len(starts) // 2 :])
        with ThreadPoolExecutor(len(halves)) as pool:
            sums = pool.map(lambda half: self._sums(half, further, further_bias), halves)
            value, total, by_further, by_bias = (sum(both[1:], both[0]) for both in zip(*sums, strict=True))
        by_weight = np.concatenate((-by_further.sum(0, keepdims=True), by_further))
        return value / total, by_weight / total, by_bias / total

    def _sums(
        self, starts: Sequence[int], further: Float[ndarray, "k D"], further_bias: Float[ndarray, " k"]
    ) -> tuple[float, float, ndarray, ndarray]:
        """Return the sums of losses, weights and both gradients over the rows from each start."""
        value, total = 0.0, 0.0
        by_further, by_bias = np.zeros_like(further), np.zeros(self.num_classes, further.dtype)
        for start in starts:
            rows = self.features[start : start + _ROWS].astype(further.dtype, copy=False)
            factors, probs = self._targets(start)
            logits = np.zeros((len(rows), self.num_classes), further.dtype)
            logits[:, 1:] = rows @ further.T + further_bias
            logits -= logits.max(1, keepdims=True)
            exponentials = np.exp(logits)
            sums = exponentials.sum(1, keepdims=True)
            value -= float((factors * probs * (logits - np.log(sums))).sum(dtype=np.float64))
            error = ((exponentials / sums - probs) * factors).astype(further.dtype)
            by_further += error[:, 1:].T @ rows
            by_bias += error.sum(0)
            total += float(factors.sum())
        return value, total, by_further, by_bias

    def confusion(self, head: Weights) -> Confusion:
        """Return the counts of a head's classes by the labelled ones."""
        given = (self.features @ head.weight.T + head.bias).argmax(1).astype(np.uint8)
        return Confusion.of(given[None], self.labels[None].astype(np.uint8), self.num_classes)


def grid(height: int, width: int, step: int) -> Int64[ndarray, "P 2"]:
    """Return (row, column) of every `step`-th pixel both ways, from half a step inside the border."""
    rows, columns = (np.arange(min(step // 2, length - 1), length, step) for length in (height, width))
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)


def features_at(maps: Maps, places: Int64[ndarray, "P 2"], size: tuple[int, int]) -> Float32[ndarray, "P D"]:
    """Return the features of single pixels (row, column) of a photo of `size` (height, width).

    Each map is read bilinearly where it would be enlarged, so that a linear head gives the same logits.
    """
    features = np.empty((len(places), sum(len(level) for level in maps)), np.float32)
    stop = 0
    for level in maps:
        num, height, width = level.shape
        (above, below), down = neighbours(places[:, 0], height, size[0])
        (left, right), across = neighbours(places[:, 1], width, size[1])
        pixels, start, stop = pixels_of(level), stop, stop + num
        own = features[:, start:stop]
        own[:] = 0
        for row, share_down in ((above, 1 - down), (below, down)):
            for column, share in ((left, 1 - across), (right, across)):
                own += pixels[row * width + column] * (share_down * share)[:, None]
    return features
