"""Labelled photos in batches, read by threads ahead of the network.

A batch has photos that are read at one height and width, so that nothing is cut off, padded or stretched.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from pixelwise.colour.palette import IGNORE
from pixelwise.errors import DivergedError
from pixelwise.labels.labelled import LabelledPhoto
from pixelwise.labels.read import resize_mask
from pixelwise.network.losses import cross_entropy
from pixelwise.photos.crop_view import View, reading_size
from pixelwise.photos.photo import open_photo
from pixelwise.photos.read_ahead import worked_ahead
from pixelwise.segmenting.extraction import read_photo
from pixelwise.segmenting.task import FinetuneTask

_THREADS = 2  # that read
LabelledView = tuple[LabelledPhoto, View]


@dataclass(frozen=True, eq=False)
class Batch:
    """Photos as a network reads them, at every size, and their labels at the last size."""

    images: tuple[UInt8[Tensor, "N 3 _ _"], ...]
    labels: UInt8[Tensor, "N H W"]

    def floats(self, device: torch.device) -> list[Float[Tensor, "N 3 _ _"]]:
        """Return the photos as sRGB in [0, 1]."""
        return [one.to(device).float() / 255 for one in self.images]

    def loss(self, logits: Float[Tensor, "N K H W"], weights: Tensor | None = None) -> Float[Tensor, ""]:
        """Return the cross-entropy over labelled pixels, nats a pixel; 0 where there are none.

        `weights` are of the classes.
        """
        if bool((self.labels == IGNORE).all()):
            return logits.sum() * 0
        return cross_entropy(logits, self.labels.to(logits.device), weights=weights)


def batches(
    task: FinetuneTask, views: Sequence[LabelledView], rng: random.Random
) -> Generator[Batch, None, None]:
    """Yield all views once in random order, at most the configuration's batch size at a time.

    Raises:
        DataError, PhotoError: a photo or its labels cannot be read.
    """
    by_shape: dict[tuple[tuple[int, int], ...], list[LabelledView]] = {}
    for photo, view in rng.sample(views, len(views)):
        height, width = open_photo(photo.photo).upright_size
        shape = tuple(
            reading_size(height * view.height, width * view.width, size, task.backbone.multiple)
            for size in task.sizes
        )
        by_shape.setdefault(shape, []).append((photo, view))
    num = task.config.batch_size
    dealt = [same[i : i + num] for same in by_shape.values() for i in range(0, len(same), num)]
    rng.shuffle(dealt)
    yield from worked_ahead(partial(_read, task), iter(dealt), _THREADS)


def _read(task: FinetuneTask, views: Sequence[LabelledView]) -> Batch:
    images = tuple(
        torch.stack([read_photo(one.photo, size, task.backbone.multiple, view) for one, view in views])
        for size in task.sizes
    )
    height, width = images[-1].shape[-2:]
    labels = [resize_mask(view.cut(one.read_labels()).numpy(), height, width) for one, view in views]
    return Batch(images, torch.stack([torch.from_numpy(one) for one in labels]))


def finite(loss: Tensor, epoch: int) -> float:
    """Return the loss of a step as a number.

    Raises:
        DivergedError: it is infinite or NaN.
    """
    if not bool(loss.isfinite()):
        raise DivergedError(
            f"needed a finite loss, got {loss.item()} in epoch {epoch}; choose a smaller --learning-rate"
        )
    return loss.item()
