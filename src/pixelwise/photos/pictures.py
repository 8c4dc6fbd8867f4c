"""Pictures to learn colours from: two parts in memory as bytes, and a digest that names their content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from torch import Tensor

from pixelwise.errors import DataError


@dataclass(frozen=True, eq=False)
class Pictures:
    """A data set of equally large colour pictures, sRGB as stored, 0 to 255."""

    name: str
    """The source it was loaded from, such as `cifar10:horse`."""
    train: UInt8[Tensor, "N 3 H W"]
    val: UInt8[Tensor, "M 3 H W"]
    """Pictures to measure on, never learnt from."""
    digest: str
    """SHA-256 of both parts' shapes and bytes: equal digests mean equal pictures in equal order."""
    notes: tuple[str, ...] = ()
    """Remarks for the user: files left out, checksums that are not the official ones."""


def gather(name: str, train: Tensor, val: Tensor, notes: tuple[str, ...] = ()) -> Pictures:
    """Check both parts and compute their digest.

    Raises:
        DataError: a part is no (N, 3, H, W) of bytes, is empty, or differs in height or width from the other.
    """
    for part, images in (("train", train), ("val", val)):
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3 or len(images) == 0:
            found = f"{images.dtype} {tuple(images.shape)}"
            raise DataError(f"{name} needs its part {part} as torch.uint8 (N, 3, H, W), N > 0; got {found}")
    if train.shape[1:] != val.shape[1:]:
        sizes = f"{tuple(train.shape[2:])} and {tuple(val.shape[2:])}"
        raise DataError(f"{name} needs pictures of one height and width in both parts, got {sizes}")
    train, val = train.contiguous(), val.contiguous()
    sha256 = hashlib.sha256()
    for images in (train, val):
        sha256.update(repr(tuple(images.shape)).encode())
        sha256.update(images.numpy().data)
    return Pictures(name, train, val, sha256.hexdigest(), notes)
