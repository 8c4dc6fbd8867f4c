"""Heads compared with labelled photos, pixel by pixel, at the size of the labels."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch

from pixelwise.evaluate.segmentation import ImageCounts
from pixelwise.labels.labelled import LabelledPhoto
from pixelwise.network.backbones.backbone import Backbone
from pixelwise.network.device import ONE_THREAD
from pixelwise.progress import Advance
from pixelwise.segmenting.extraction import Extractor, read_photo
from pixelwise.segmenting.linear_head import Weights, labels_by
from pixelwise.segmenting.tiling import Maps

_THREADS = 2  # torch computes one photo at a time in each


@runtime_checkable
class MapsSource(Protocol):
    """Where the features of a photo come from, such as a cache."""

    def read(self) -> Maps:
        """Return its maps, size by size and, within a size, level by level."""


@dataclass(frozen=True, eq=False)
class FreshFeatures:
    """Features of a photo by a backbone as it is now, computed when they are read and not kept."""

    photo: Path
    extractor: Extractor
    sizes: Sequence[int]

    def read(self) -> Maps:
        """Return its maps, as `MapsSource`.

        Raises:
            PhotoError: the photo cannot be read.
        """
        multiple = self.extractor.backbone.multiple
        images = [read_photo(self.photo, size, multiple) for size in self.sizes]
        return [one for image in images for one in self.extractor(image)]


def fresh_features(
    photos: Sequence[LabelledPhoto], backbone: Backbone, sizes: Sequence[int], device: torch.device
) -> list[FreshFeatures]:
    """Return sources of photos' features by a backbone as it is now, read at short sides in pixels."""
    extractor = Extractor(backbone, device=device)
    return [FreshFeatures(one.photo, extractor, sizes) for one in photos]


def count(
    heads: Sequence[Weights],
    photos: Sequence[LabelledPhoto],
    features: Sequence[MapsSource],
    *,
    detailed: bool = False,
    advance: Advance = lambda _num, _note: None,
) -> list[list[ImageCounts]]:
    """Return, for each head, the counts of each photo; features and labels are read once for all heads.

    With `detailed`, outlines and calibration are counted as well.
    """

    def of_photo(photo: LabelledPhoto, source: MapsSource) -> list[ImageCounts]:
        known, maps = photo.read_labels().numpy(), source.read()
        size = (known.shape[0], known.shape[1])
        return [
            ImageCounts.of(
                labels.numpy(),
                known,
                len(head.bias),
                probs=head.logits(maps, size).softmax(0) if detailed else None,
                with_boundary=detailed,
            )
            for labels, head in zip(labels_by(heads, maps, size), heads, strict=True)
        ]

    by_photo = []
    with ONE_THREAD, ThreadPoolExecutor(_THREADS) as pool:
        for photo, counts in zip(photos, pool.map(of_photo, photos, features), strict=True):
            by_photo.append(counts)
            advance(1, photo.stem)
    return [[counts[number] for counts in by_photo] for number in range(len(heads))]
