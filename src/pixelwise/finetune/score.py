"""Heads scored on labelled photos, at the size of their labels."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from pixelwise.data.labelled import LabelledPhoto
from pixelwise.features import PhotoMaps
from pixelwise.head import Weights
from pixelwise.scores import ImageCounts

_THREADS = 2  # torch computes one photo at a time in each


def count(
    heads: Sequence[Weights], photos: Sequence[LabelledPhoto], features: Sequence[PhotoMaps]
) -> list[list[ImageCounts]]:
    """For each head, the counts of each photo; features and labels are read once for all heads."""

    def of_photo(photo: LabelledPhoto, source: PhotoMaps) -> list[ImageCounts]:
        labels, maps = photo.read_labels(), source.read()
        size = (labels.shape[0], labels.shape[1])
        known = labels.numpy()
        return [ImageCounts.of(head.labels(maps, size).numpy(), known, len(head.bias)) for head in heads]

    with ThreadPoolExecutor(_THREADS) as pool:
        by_photo = list(pool.map(of_photo, photos, features))
    return [list(of_head) for of_head in zip(*by_photo, strict=True)]
