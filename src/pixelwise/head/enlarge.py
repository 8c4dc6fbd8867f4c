"""What a head says of a photo of any size, some rows at a time: memory does not grow with the photo."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from pixelwise.head.objective import Maps, Weights
from pixelwise.models.linear import small_logits


@final
class Enlarged:
    """A head's word on one photo at the photo's own size.

    Small logits of each size of maps are kept; rows are enlarged bilinearly and added when they are asked
    for, in any order, by any thread. The numbers are those of `Weights.logits` and `Weights.labels`, up to
    rounding.
    """

    def __init__(
        self,
        weights: Weights,
        maps: Maps,
        size: tuple[int, int],
        turn: Callable[[Tensor], Tensor] = lambda small: small,
    ) -> None:
        """`size` is the photo's (height, width); `turn` brings maps (K, h, w) the way round that `size` is.

        Raises:
            ShapeError: the maps' channels together are not the weights' D.
        """
        over_first = weights.over_first()
        self.bias = over_first.bias.tolist()
        self._parts = [_Part(turn(small), size) for small in small_logits(maps, over_first.weight)]
        self.width = size[1]

    def labels(self, first: int, num: int) -> UInt8[Tensor, "num W"]:
        """The likeliest class of each pixel of the rows from `first`; the first such class on a tie."""
        label = torch.zeros(num, self.width, dtype=torch.uint8)
        best = torch.zeros(num, self.width)
        for index, bias in enumerate(
            self.bias
        ):  # one by one: all classes at once would take K times the memory
            logits = self._rows(index, bias, first, num)
            label.masked_fill_(logits > best, index + 1)
            torch.maximum(best, logits, out=best)
        return label

    def probs(self, first: int, num: int) -> Float[Tensor, "K num W"]:
        """How likely each class is at each pixel of the rows from `first`; they add up to 1."""
        rows = [self._rows(index, bias, first, num) for index, bias in enumerate(self.bias)]
        return torch.stack([torch.zeros(num, self.width), *rows]).softmax(0)

    def _rows(self, index: int, bias: float, first: int, num: int) -> Float[Tensor, "num W"]:
        """By how much the class after the `index`-th exceeds the first one."""
        down, wide = zip(*(part.rows(index, first, num) for part in self._parts), strict=True)
        return torch.cat(down, 1) @ torch.cat(wide, 1).T + bias


class _Part:
    """Small logits of one size (K, h, w), and where the pixels of a larger picture lie between theirs."""

    def __init__(self, small: Tensor, size: tuple[int, int]) -> None:
        self.columns = small.mT.contiguous()  # (K, w, h): whole columns are copied, not single values
        self.down, self.across = (
            _neighbours(num, wanted) for num, wanted in zip(small.shape[1:], size, strict=True)
        )

    def rows(self, index: int, first: int, num: int) -> tuple[Tensor, Tensor]:
        """Two factors of the rows from `first` of one class: (num, h') down and (W, h') across.

        h' counts the small rows that matter here.
        """
        (above, below), weight = self.down[0][:, first : first + num], self.down[1][first : first + num]
        low, high = int(above[0]), int(below[-1]) + 1
        factor = torch.zeros(num, high - low)
        every = torch.arange(num)
        factor[every, above - low] = 1 - weight
        factor[every, below - low] += weight
        (left, right), share = self.across
        columns = self.columns[index, :, low:high]
        return factor, torch.lerp(columns[left], columns[right], share[:, None])


def _neighbours(num_small: int, num_large: int) -> tuple[Tensor, Tensor]:
    """The two neighbours (2, num_large) of each enlarged pixel, and the weight of the second; edges repeat.

    Source: torch's `interpolate`, bilinear, with corners not aligned.
    """
    at = (torch.arange(num_large, dtype=torch.float64) + 0.5) * num_small / num_large - 0.5
    at.clamp_(min=0)
    first = at.floor().long().clamp_(max=num_small - 1)
    return torch.stack([first, (first + 1).clamp_(max=num_small - 1)]), (at - first).float()
