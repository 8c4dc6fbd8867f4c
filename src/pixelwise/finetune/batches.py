"""Labelled photos in batches, read anew each time they are asked for, by threads ahead of the network.

Photos keep their shape: a batch has photos that are read at one height and width, so that nothing is cut off,
filled in or stretched to fit its neighbours.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from pixelwise.data.labelled import LabelledPhoto
from pixelwise.features import read_photo
from pixelwise.finetune.lesson import Lesson
from pixelwise.labelspace import IGNORE
from pixelwise.losses import cross_entropy
from pixelwise.masks.read import resize_mask
from pixelwise.photos.ahead import worked_ahead
from pixelwise.photos.photo import open_photo
from pixelwise.photos.view import View, reading_size

_THREADS = 2  # that read
Shown = tuple[LabelledPhoto, View]
"""A photo, and what is seen of it."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Photos as a network reads them, at every size, and their labels at the last size."""

    readings: tuple[UInt8[Tensor, "N 3 _ _"], ...]
    labels: UInt8[Tensor, "N H W"]

    def floats(self, device: torch.device) -> list[Float[Tensor, "N 3 _ _"]]:
        """The readings as sRGB in [0, 1]."""
        return [one.to(device).float() / 255 for one in self.readings]

    def loss(self, logits: Float[Tensor, "N K H W"], weights: Tensor | None = None) -> Float[Tensor, ""]:
        """Cross-entropy over the labelled pixels, in nats a pixel; 0 where there is none.

        `weights` are of the classes.
        """
        if bool((self.labels == IGNORE).all()):
            return logits.sum() * 0
        return cross_entropy(logits, self.labels.to(logits.device), weights=weights)


def batches(lesson: Lesson, shown: Sequence[Shown], rng: random.Random) -> Generator[Batch, None, None]:
    """All of them once, in an order of the random numbers' making, up to the configuration's batch size each.

    Raises:
        DataError, PhotoError: a photo or its labels cannot be read.
    """
    by_shape: dict[tuple[tuple[int, int], ...], list[Shown]] = {}
    for one in rng.sample(shown, len(shown)):
        by_shape.setdefault(_shape(lesson, *one), []).append(one)
    size = lesson.config.batch_size
    dealt = [same[i : i + size] for same in by_shape.values() for i in range(0, len(same), size)]
    rng.shuffle(dealt)
    yield from worked_ahead(lambda some: _read(lesson, some), iter(dealt), _THREADS)


def _shape(lesson: Lesson, photo: LabelledPhoto, view: View) -> tuple[tuple[int, int], ...]:
    """Height and width of a view at every size."""
    height, width = open_photo(photo.photo).upright_size
    multiple = lesson.backbone.multiple
    return tuple(
        reading_size(height * view.height, width * view.width, size, multiple) for size in lesson.sizes
    )


def _read(lesson: Lesson, shown: Sequence[Shown]) -> Batch:
    readings = tuple(
        torch.stack([read_photo(one.photo, size, lesson.backbone.multiple, view) for one, view in shown])
        for size in lesson.sizes
    )
    height, width = readings[-1].shape[-2:]
    labels = [resize_mask(view.cut(one.read_labels()).numpy(), height, width) for one, view in shown]
    return Batch(readings, torch.stack([torch.from_numpy(one) for one in labels]))
