"""Linear heads: what they say of a photo, and their loss over sampled pixels.

The features of a pixel are the values of all maps of its photo at its place, read bilinearly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy import ndarray

from pixelwise.colour.arrays import Float, Float32, Float64, Int64, UInt8
from pixelwise.colour.palette import softmax
from pixelwise.errors import LabelError, ShapeError
from pixelwise.labels.confusion import Confusion
from pixelwise.network.linear import Enlarger, Maps, neighbours, pixels_of, small_logits

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


@final
class EnlargedLogits:
    """The logits of a head for one photo, at the photo's own size, some rows at a time, to bound the memory.

    They are kept as small as the maps; rows are enlarged when they are asked for, in any order.
    """

    def __init__(
        self, small: Sequence[Float32[ndarray, "k _h _w"]], bias: Float32[ndarray, " k"], enlarger: Enlarger
    ) -> None:
        """Prepare for a photo of the enlarger's size from `small_logits` of all classes but the first."""
        self._small, self._bias, self._enlarger = small, bias, enlarger

    @staticmethod
    def of(
        heads: Sequence[Weights],
        maps: Maps,
        size: tuple[int, int],
        turn: Callable[[ndarray], ndarray] = lambda small: small,
    ) -> list[EnlargedLogits]:
        """Return the logits of each head, in one pass over the maps, which `turn` brings into place.

        ShapeError where the maps' channels together are not the weights' D.
        """
        over = [(head.weight[1:] - head.weight[0], head.bias[1:] - head.bias[0]) for head in heads]
        small = [turn(level) for level in small_logits(maps, np.concatenate([weight for weight, _ in over]))]
        enlarger = Enlarger([level.shape[1:] for level in small], size)
        stops = np.cumsum([len(bias) for _, bias in over])[:-1]
        of_heads = zip(*(np.split(level, stops) for level in small), strict=True)
        return [EnlargedLogits(own, bias, enlarger) for own, (_, bias) in zip(of_heads, over, strict=True)]

    def labels(self, first: int, num: int) -> UInt8[ndarray, "num W"]:
        """Return the most probable class at each pixel of the rows from `first`; the lowest on a tie."""
        best = self._logits(0, first, num)
        label = (best > 0).astype(np.uint8)
        for index in range(1, len(self._bias)):  # one by one: all at once would take K times the memory
            best.clip(0, out=best)
            logits = self._logits(index, first, num)
            label[logits > best] = index + 1
            np.maximum(best, logits, out=best)
        return label

    def probs(self, first: int, num: int) -> Float32[ndarray, "K num W"]:
        """Return the probability of each class at each pixel of the rows from `first`."""
        rows = [self._logits(index, first, num) for index in range(len(self._bias))]
        return softmax(np.stack([np.zeros((num, self._enlarger.size[1]), np.float32), *rows]))

    def _logits(self, index: int, first: int, num: int) -> Float32[ndarray, "num W"]:
        """Return by how much the logits of class `index` + 1 exceed those of class 0."""
        logits = self._enlarger.rows([level[index] for level in self._small], first, num)
        logits += self._bias[index]
        return logits


@dataclass(frozen=True, eq=False)
class Pixels:
    """Features and labels of single pixels, over which a mean loss is taken.

    LabelError or ShapeError where there is no pixel, a label is no class, or probabilities are not (P, K).
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
        value, total, of_class = 0.0, 0.0, np.eye(self.num_classes, dtype=np.float32)
        class_factors = np.ones(self.num_classes) if self.class_weights is None else self.class_weights
        by_further, by_bias = np.zeros_like(further), np.zeros(self.num_classes, further.dtype)
        for start in starts:
            rows = self.features[start : start + _ROWS].astype(further.dtype, copy=False)
            labels = self.labels[start : start + _ROWS]
            probs = labels if labels.dtype.kind == "f" else of_class[labels]
            factors = probs @ class_factors[:, None]
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


def features_at(
    maps: Maps,
    places: Int64[ndarray, "P 2"],
    size: tuple[int, int],
    out: Float32[ndarray, "P D"] | None = None,
) -> Float32[ndarray, "P D"]:
    """Return the features of single pixels (row, column) of a photo of `size` (height, width), in `out`.

    Each map is read bilinearly where it would be enlarged, so that a linear head gives the same logits.
    """
    features = np.empty((len(places), sum(len(level) for level in maps)), np.float32) if out is None else out
    corners: dict[tuple[int, ...], list[tuple[ndarray, ndarray]]] = {}
    stop = 0
    for level in maps:
        shape, start, stop = level.shape[1:], stop, stop + len(level)
        if shape not in corners:
            corners[shape] = _corners(places, shape, size)
        pixels, total = pixels_of(level), np.zeros((len(places), len(level)), np.float32)
        for index, share in corners[shape]:
            total += pixels.take(index, axis=0) * share
        features[:, start:stop] = total
    return features


def _corners(
    places: Int64[ndarray, "P 2"], shape: tuple[int, ...], size: tuple[int, int]
) -> list[tuple[Int64[ndarray, " P"], Float32[ndarray, "P 1"]]]:
    """Return the four places of a map around each pixel, and their shares in it."""
    (above, below), down = neighbours(places[:, 0], shape[0], size[0])
    (left, right), across = neighbours(places[:, 1], shape[1], size[1])
    return [
        (row * shape[1] + column, (share_down * share)[:, None])
        for row, share_down in ((above, 1 - down), (below, down))
        for column, share in ((left, 1 - across), (right, across))
    ]
