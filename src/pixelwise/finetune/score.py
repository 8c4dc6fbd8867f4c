"""Heads scored on labelled photos, at the size of their labels."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from pixelwise.backbones import Backbone
from pixelwise.data.labelled import LabelledPhoto
from pixelwise.features import Extractor, read_photo
from pixelwise.finetune.lesson import Lesson
from pixelwise.head import Maps, Weights, labels_by
from pixelwise.processor import ONE_THREAD
from pixelwise.scores import ImageCounts

_THREADS = 2  # torch computes one photo at a time in each


@runtime_checkable
class HasMaps(Protocol):
    """Where the features of a photo come from, such as a cache."""

    def read(self) -> Maps:
        """Its maps, size by size and, within a size, level by level."""


@dataclass(frozen=True, eq=False)
class Uncached:
    """Features that are computed when they are read and not kept, since the backbone will be another."""

    photo: Path
    extractor: Extractor
    sizes: Sequence[int]

    def read(self) -> Maps:
        """As `HasMaps`.

        Raises:
            PhotoError: the photo cannot be read.
        """
        multiple = self.extractor.backbone.multiple
        images = [read_photo(self.photo, size, multiple) for size in self.sizes]
        return [one for image in images for one in self.extractor(image)]


def uncached(photos: Sequence[LabelledPhoto], backbone: Backbone, lesson: Lesson) -> list[Uncached]:
    """Sources of photos by a backbone as it is now, read as in a lesson."""
    extractor = Extractor(backbone, device=lesson.device)
    return [Uncached(one.photo, extractor, lesson.sizes) for one in photos]


def count(
    heads: Sequence[Weights], photos: Sequence[LabelledPhoto], features: Sequence[HasMaps]
) -> list[list[ImageCounts]]:
    """For each head, the counts of each photo; features and labels are read once for all heads."""

    def of_photo(photo: LabelledPhoto, source: HasMaps) -> list[ImageCounts]:
        labels, maps = photo.read_labels(), source.read()
        size = (labels.shape[0], labels.shape[1])
        known = labels.numpy()
        given = labels_by(heads, maps, size)
        return [
            ImageCounts.of(one.numpy(), known, len(head.bias)) for one, head in zip(given, heads, strict=True)
        ]

    with ONE_THREAD, ThreadPoolExecutor(_THREADS) as pool:
        by_photo = list(pool.map(of_photo, photos, features))
    return [list(of_head) for of_head in zip(*by_photo, strict=True)]
