"""Pictures as a network meets them: what it reads and the labels, resident in memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from pixelwise.labelspace import LabelSpace


@dataclass(frozen=True)
class Batches:
    """A part of a data set, encoded once for a whole run; five bytes a pixel."""

    grey: Float[Tensor, "N 1 H W"]
    """What the network reads."""
    labels: UInt8[Tensor, "N H W"]
    """The class of every pixel."""

    @staticmethod
    def of(images: UInt8[Tensor, "N 3 H W"], space: LabelSpace, device: torch.device) -> Batches:
        """Encode pictures in a label space."""
        return Batches(space.read_grey(images).to(device), space.encode(images).to(device))

    def __len__(self) -> int:
        return len(self.grey)

    def take(self, index: Int[Tensor, " B"]) -> Batches:
        """The pictures and labels at some indices."""
        return Batches(self.grey[index], self.labels[index])

    def mirror(self, which: Tensor) -> Batches:
        """Mirror left to right the pictures where `which` (N,) is true."""
        return Batches(
            torch.where(which[:, None, None, None], self.grey.flip(-1), self.grey),
            torch.where(which[:, None, None], self.labels.flip(-1), self.labels),
        )

    def crop(self, row: int, column: int, height: int, width: int) -> Batches:
        """The same window of every picture."""
        rows, columns = slice(row, row + height), slice(column, column + width)
        return Batches(self.grey[..., rows, columns], self.labels[..., rows, columns])
