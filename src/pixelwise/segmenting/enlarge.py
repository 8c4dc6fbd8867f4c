"""Labels and probabilities of a photo of any size, some rows at a time, to bound the memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import numpy as np
from numpy import ndarray

from pixelwise.colour.arrays import Float32, UInt8
from pixelwise.colour.palette import softmax
from pixelwise.network.linear import Maps, neighbours, small_logits
from pixelwise.segmenting.linear_head import Weights


@final
class EnlargedLogits:
    """The logits of a head for one photo, at the photo's own size: those of `Weights.logits`, up to rounding.

    They are kept as small as the maps; rows are enlarged when they are asked for, in any order.
    """

    def __init__(
        self,
        weights: Weights,
        maps: Maps,
        size: tuple[int, int],
        turn: Callable[[ndarray], ndarray] = lambda small: small,
    ) -> None:
        """Prepare for a photo of `size` (height, width); `turn` brings maps (K, h, w) into its orientation.

        Raises:
            ShapeError: the maps' channels together are not the weights' D.
        """
        relative_to_first = weights.relative_to_first()
        self.bias = relative_to_first.bias.tolist()
        parts = small_logits(maps, relative_to_first.weight)
        self._parts = [_Part(turn(small), size) for small in parts]
        self.width = size[1]

    def labels(self, first: int, num: int) -> UInt8[ndarray, "num W"]:
        """Return the most probable class at each pixel of the rows from `first`; the lowest on a tie."""
        label, best = np.zeros((num, self.width), np.uint8), np.zeros((num, self.width), np.float32)
        for index in range(len(self.bias)):  # one by one: all classes at once would take K times the memory
            logits = self._logits(index, first, num)
            label[logits > best] = index + 1
            np.maximum(best, logits, out=best)
        return label

    def probs(self, first: int, num: int) -> Float32[ndarray, "K num W"]:
        """Return the probability of each class at each pixel of the rows from `first`."""
        rows = [self._logits(index, first, num) for index in range(len(self.bias))]
        return softmax(np.stack([np.zeros((num, self.width), np.float32), *rows]))

    def _logits(self, index: int, first: int, num: int) -> Float32[ndarray, "num W"]:
        """Return by how much the logits of class `index` + 1 exceed those of class 0."""
        down, across = zip(*(part.factors(index, first, num) for part in self._parts), strict=True)
        return np.concatenate(down, 1) @ np.concatenate(across, 1).T + np.float32(self.bias[index])


class _Part:
    """Small logits (K, h, w), and where the pixels of a larger picture lie between theirs."""

    def __init__(self, small: Float32[ndarray, "K h w"], size: tuple[int, int]) -> None:
        self.columns = np.ascontiguousarray(
            small.swapaxes(1, 2)
        )  # (K, w, h): whole columns are copied, not single values
        self.down, self.across = (
            neighbours(np.arange(wanted), num, wanted)
            for num, wanted in zip(small.shape[1:], size, strict=True)
        )

    def factors(
        self, index: int, first: int, num: int
    ) -> tuple[Float32[ndarray, "num _h"], Float32[ndarray, "W _h"]]:
        """Return two factors of the rows from `first` of one class: (num, h') and (W, h'); h' small rows."""
        (above, below), weight = (part[..., first : first + num] for part in self.down)
        low, high = int(above[0]), int(below[-1]) + 1
        down, rows = np.zeros((num, high - low), np.float32), np.arange(num)
        down[rows, above - low] = 1 - weight
        down[rows, below - low] += weight
        (left, right), share = self.across
        columns = self.columns[index, :, low:high]
        return down, columns[left] + share[:, None] * (columns[right] - columns[left])
