"""Pictures and labels in memory as bytes, made into batches of what a network reads."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from pixelwise.colour.palette import Palette


@dataclass(frozen=True)
class Batches:
    """A part of a data set in a label space; four bytes a pixel, of which the pictures' three are shared."""

    images: UInt8[Tensor, "N 3 H W"]
    labels: UInt8[Tensor, "N H W"]
    """The class of every pixel."""
    space: Palette

    @staticmethod
    def of(images: UInt8[Tensor, "N 3 H W"], space: Palette, device: torch.device) -> Batches:
        """Encode pictures in a label space, once for a whole run."""
        return Batches(images.to(device), space.encode(images).to(device), space)

    def __len__(self) -> int:
        return len(self.images)

    def grey(self) -> Float[Tensor, "N 1 H W"]:
        """Return the grey pictures that a network reads, channels last."""
        return self.space.read_grey(self.images).contiguous(memory_format=torch.channels_last)

    def take(self, index: Int[Tensor, " B"]) -> Batches:
        """Return the pictures and labels at some indices."""
        return replace(self, images=self.images[index], labels=self.labels[index])

    def mirror(self, which: Bool[Tensor, " N"]) -> Batches:
        """Mirror left to right the pictures where `which` is true."""
        images = torch.where(which[:, None, None, None], self.images.flip(-1), self.images)
        labels = torch.where(which[:, None, None], self.labels.flip(-1), self.labels)
        return replace(self, images=images, labels=labels)

    def crop(self, row: int, column: int, height: int, width: int) -> Batches:
        """Cut the same window out of every picture."""
        rows, columns = slice(row, row + height), slice(column, column + width)
        return replace(self, images=self.images[..., rows, columns], labels=self.labels[..., rows, columns])
