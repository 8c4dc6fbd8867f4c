"""Pictures to learn colours from, in memory as bytes, and batches of what a network reads of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pixelwise.colour.arrays import Bool, Float, Int, UInt8
from pixelwise.colour.palette import Palette
from pixelwise.errors import DataError

_PIXELS_AT_ONCE = 1 << 18


@dataclass(frozen=True, eq=False)
class Pictures:
    """A data set of equally large colour pictures, sRGB as stored, 0 to 255."""

    name: str  # the source it was loaded from, such as `cifar10:horse`
    train: UInt8[Tensor, "N 3 H W"]
    val: UInt8[Tensor, "M 3 H W"]  # pictures to measure on, never learnt from
    digest: str  # SHA-256 of both parts' shapes and bytes: equal digests mean equal pictures in equal order
    notes: tuple[str, ...] = ()  # for the user: files left out, checksums that are not the official ones


def gather(
    name: str, train: UInt8[Tensor, "N 3 H W"], val: UInt8[Tensor, "M 3 H W"], notes: tuple[str, ...] = ()
) -> Pictures:
    """Put two parts together and compute their digest; DataError where one is empty."""
    for part, images in (("train", train), ("val", val)):
        if len(images) == 0:
            raise DataError(f"{name} needs pictures in its part {part}, got none")
    train, val = train.contiguous(), val.contiguous()
    sha256 = hashlib.sha256()
    for images in (train, val):
        sha256.update(repr(tuple(images.shape)).encode())
        sha256.update(images.numpy().data)
    return Pictures(name, train, val, sha256.hexdigest(), notes)


@dataclass(frozen=True)
class Batches:
    """A part of a data set in a label space; four bytes a pixel, of which the pictures' three are shared."""

    images: UInt8[Tensor, "N 3 H W"]
    labels: UInt8[Tensor, "N H W"]  # the class of every pixel
    space: Palette

    @staticmethod
    def of(images: UInt8[Tensor, "N 3 H W"], space: Palette, device: torch.device) -> Batches:
        """Encode pictures in a label space, once for a whole run."""
        return Batches(images.to(device), torch.from_numpy(space.encode(images.numpy())).to(device), space)

    def __len__(self) -> int:
        return len(self.images)

    def grey(self) -> Float[Tensor, "N 1 H W"]:
        """Return the grey pictures that a network reads, channels last."""
        grey = torch.from_numpy(self.space.read_grey(self.images.cpu().numpy()))
        return grey.to(self.images.device).contiguous(memory_format=torch.channels_last)

    def at(self, index: Int[Tensor, " B"]) -> Batches:
        """Return the pictures and labels at some indices."""
        return replace(self, images=self.images[index], labels=self.labels[index])

    def parts(self) -> Iterator[tuple[Float[Tensor, "n 1 H W"], UInt8[Tensor, "n H W"]]]:
        """Yield grey pictures and labels, so few at once that their logits stay in the processor's cache."""
        at_once = max(1, _PIXELS_AT_ONCE // self.labels[0].numel())
        for index in torch.arange(len(self)).split(at_once):
            part = self.at(index)
            yield part.grey(), part.labels

    def mirror(self, which: Bool[Tensor, " N"]) -> Batches:
        """Mirror left to right the pictures where `which` is true."""
        images = torch.where(which[:, None, None, None], self.images.flip(-1), self.images)
        labels = torch.where(which[:, None, None], self.labels.flip(-1), self.labels)
        return replace(self, images=images, labels=labels)

    def crop(self, row: int, column: int, height: int, width: int) -> Batches:
        """Cut the same window out of every picture."""
        rows, columns = slice(row, row + height), slice(column, column + width)
        return replace(self, images=self.images[..., rows, columns], labels=self.labels[..., rows, columns])
