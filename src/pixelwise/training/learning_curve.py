"""The overlap of heads by the number of photos they learn from, and a bound on what more photos would add."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray

from pixelwise.colour.arrays import Float64, Int64
from pixelwise.errors import ConfigError
from pixelwise.evaluate.heads import count_photos
from pixelwise.evaluate.intervals import Interval, interval, resampled_sums
from pixelwise.evaluate.segmentation import ImageCounts
from pixelwise.labels.confusion import iou_of, mean_of_known
from pixelwise.labels.labelled import LabelledPhoto, LabelledPhotos
from pixelwise.network.backbone import open_backbone
from pixelwise.network.config import Device, FinetuneConfig
from pixelwise.progress import progress
from pixelwise.segmenting.exact import solve_from_views, views_of
from pixelwise.segmenting.extraction import CropView
from pixelwise.segmenting.feature_cache import FeatureCache
from pixelwise.training.finetune_task import draw

MORE = 10  # further photos that a forecast is for
_SIZES = [step * 10**power for power in range(7) for step in (1, 2, 5)][1:]  # 2, 5, 10, 20, 50, ...
_DRAWS, _FEW_DRAWS = 5, 3
_FEW = 50  # from so many photos on draws differ little, and take long
_LEAST_ROWS = 3  # that a forecast needs: two for a slope, behind the steep beginning
_NO_ERROR = 1e-6  # whose logarithm is still a number


@dataclass(frozen=True, kw_only=True)
class CurveRow:
    """The scores of heads that learned from so many photos."""

    shots: int
    miou: Interval  # mean over draws of shots; 95 of 100 single ones, on photos drawn anew, are within
    draws: int


@dataclass(frozen=True, kw_only=True)
class LearningCurve:
    """Overlap by the number of photos learned from."""

    rows: tuple[CurveRow, ...]
    gain: Interval | None  # at most, of `MORE` photos beyond all there are; None where that cannot be said

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        rows = [{"shots": row.shots, "miou": row.miou.to_dict(), "draws": row.draws} for row in self.rows]
        forecast = {"more": MORE, "at_most": self.gain.to_dict()} if self.gain else None
        return {"curve": rows, "forecast": forecast}


def draw_for_curve(config: FinetuneConfig, labelled: LabelledPhotos) -> list[tuple[LabelledPhoto, ...]]:
    """Draw 2, 5, 10, 20, ... photos, several times each, and all; a ConfigError if there are too few."""
    photos = draw(labelled.train, config.shots, config.seed)
    labelled.require_held_out()
    if len(photos) < _SIZES[0] + 1:
        raise ConfigError(f"needed at least 3 photos to learn from for a curve, got {len(photos)}")
    draws = []
    for num in [size for size in _SIZES if size < len(photos)]:
        num_draws = _DRAWS if num < _FEW else _FEW_DRAWS
        draws += [draw(photos, num, config.seed + 1 + place) for place in range(num_draws)]
    return [*draws, photos]


def learning_curve(
    config: FinetuneConfig,
    labelled: LabelledPhotos,
    draws: Sequence[Sequence[LabelledPhoto]],
    device: Device = "auto",
) -> LearningCurve:
    """Learn the exact head of each draw from these photos alone, and score it on what `finetune` scores on.

    Each head chooses its own ridge, unless the configuration has one. Errors are those of photos and labels.
    """
    backbone = open_backbone(config.backbone, config.weights, device, threads=1)
    drawn_views = [views_of([shot.photo for shot in shots], config.looks) for shots in draws]
    _, held_out = labelled.require_held_out()
    at_scored = [CropView(photo.photo) for photo in held_out]
    at_learned = [crop for views in drawn_views for crop in views]
    wanted = list(dict.fromkeys([*at_learned, *at_scored]))
    maps = FeatureCache().maps(wanted, backbone, config.sizes or None)
    found = dict(zip(wanted, maps, strict=True))
    heads = []
    with progress("learning from few and from many", len(draws)) as advance:
        for shots, views in zip(draws, drawn_views, strict=True):
            features = [found[crop] for crop in views]
            num_classes = labelled.classes.num_classes
            heads.append(solve_from_views(config, num_classes, shots, features).weights)
            advance(1, f"{len(shots)} photos")
    counts = count_photos(held_out, [found[crop] for crop in at_scored], heads)
    return curve_of([len(shots) for shots in draws], counts, config.seed)


def curve_of(shots: Sequence[int], counts: Sequence[Sequence[ImageCounts]], seed: int = 0) -> LearningCurve:
    """Return the curve of heads that each learned from so many photos, by the counts of each photo scored."""
    # resampled photos are the same for every head; the first column has all photos
    overlaps = [np.stack([photo.confusion.overlaps for photo in head]) for head in counts]
    scores = np.stack([mean_of_known(iou_of(resampled_sums(of_head, seed))) for of_head in overlaps])
    sizes = np.array(sorted(set(shots)))
    rows, means = [], []
    for num in sizes:
        own = scores[np.array(shots) == num]  # draws x resamples
        which = np.random.default_rng(seed).integers(len(own), size=own.shape[1])
        single = own[which, np.arange(own.shape[1])]
        single[0] = own[:, 0].mean()
        rows.append(CurveRow(shots=int(num), miou=interval(single), draws=len(own)))
        which = np.random.default_rng(seed).integers(len(own), size=own.shape)
        which[:, 0] = np.arange(len(own))
        means.append(np.take_along_axis(own, which, 0).mean(0))
    return LearningCurve(rows=tuple(rows), gain=forecast(sizes, 1 - np.stack(means)))


def forecast(sizes: Int64[ndarray, " sizes"], errors: Float64[ndarray, "sizes resamples"]) -> Interval | None:
    """Return at most what `MORE` photos would take off the error; None where that cannot be said.

    The error falls as a power of the number of photos, the power between the last two sizes: an upper bound,
    since curves flatten. The first column of `errors` is what was measured, the others what other draws would
    give; all have to fall, over at least 3 sizes. Source: J. Hestness et al. 2017, arXiv:1712.00409.
    """
    if len(sizes) < _LEAST_ROWS:
        return None
    before, now = np.maximum(errors[-2:], _NO_ERROR)
    power = np.log(now / before) / np.log(sizes[-1] / sizes[-2])
    gain = interval(now * (1 - ((sizes[-1] + MORE) / sizes[-1]) ** power))
    return gain if gain.low > 0 else None
