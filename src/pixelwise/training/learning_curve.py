"""How a head's overlap grows with the photos it learns from, and what more of them would add."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from pixelwise.errors import ConfigError
from pixelwise.evaluate.counting import count
from pixelwise.evaluate.intervals import Interval, interval, resampled_sums
from pixelwise.evaluate.segmentation import ImageCounts
from pixelwise.labels.confusion import iou_of, mean_of_known
from pixelwise.labels.labelled import LabelledPhoto, LabelledPhotos
from pixelwise.network.backbones import open_backbone
from pixelwise.network.config import Device, FinetuneConfig
from pixelwise.network.device import choose_device
from pixelwise.progress import progress
from pixelwise.segmenting.exact import solve_head, view_shots, views_in
from pixelwise.segmenting.extraction import CropView
from pixelwise.segmenting.feature_cache import FeatureCache
from pixelwise.segmenting.task import draw

MORE = 10
"""Further photos that a forecast is for."""
_STEPS = (1, 2, 5)  # times powers of ten
_FEWEST = 2  # photos
_DRAWS, _FEW_DRAWS = 5, 3
_FEW = 50  # from so many photos on draws differ little, and take long
_LEAST_ROWS = 3  # that a forecast needs: two for a slope, behind the steep beginning
_NO_ERROR = 1e-6  # whose logarithm is still a number


@dataclass(frozen=True, kw_only=True)
class CurveRow:
    """The scores of heads that learned from so many photos."""

    shots: int
    miou: Interval
    """Mean over draws of shots; 95 of 100 single ones, on photos drawn anew, lie between low and high."""
    draws: int


@dataclass(frozen=True, kw_only=True)
class LearningCurve:
    """Overlap by the number of photos learned from."""

    rows: tuple[CurveRow, ...]
    gain: Interval | None
    """At most what `MORE` photos beyond all there are would add; None where that cannot be said."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {
            "curve": [
                {"shots": row.shots, "miou": row.miou.to_dict(), "draws": row.draws} for row in self.rows
            ],
            "forecast": {"more": MORE, "at_most": self.gain.to_dict()} if self.gain else None,
        }

    @property
    def sentence(self) -> str:
        """The forecast in words."""
        if self.gain is None:
            return f"no forecast of what {MORE} more photos would add: too few photos, or too little growth"
        return (
            f"{MORE} more photos would add at most about {self.gain.value:+.3f} of mean IoU "
            f"({self.gain.low:+.3f} to {self.gain.high:+.3f}): so much if the curve flattened no further"
        )


def draw_for_curve(config: FinetuneConfig, labelled: LabelledPhotos) -> list[tuple[LabelledPhoto, ...]]:
    """Draw 2, 5, 10, 20, ... photos, several times each, and all that `config` learns from.

    Raises:
        ConfigError: there are fewer than 3 photos to learn from, or none to score on.
    """
    photos = draw(labelled.train, config.shots, config.seed)
    labelled.require_held_out()
    draws = []
    for num in train_sizes(len(photos)):
        num_draws = 1 if num == len(photos) else _DRAWS if num < _FEW else _FEW_DRAWS
        draws += [draw(photos, num, config.seed + 1 + place) for place in range(num_draws)]
    return draws


def train_sizes(num_photos: int) -> list[int]:
    """Return 2, 5, 10, 20, 50, ... below the number of photos, and that number.

    Raises:
        ConfigError: there are fewer than 3.
    """
    if num_photos <= _FEWEST:
        raise ConfigError(f"needed at least {_FEWEST + 1} photos to learn from for a curve, got {num_photos}")
    sizes = [step * 10**power for power in range(len(str(num_photos))) for step in _STEPS]
    return [num for num in sizes if _FEWEST <= num < num_photos] + [num_photos]


def learning_curve(
    config: FinetuneConfig,
    labelled: LabelledPhotos,
    draws: Sequence[Sequence[LabelledPhoto]],
    device: Device = "auto",
) -> LearningCurve:
    """Learn the exact head of each draw from these photos alone, and score it on what `finetune` scores on.

    Each head chooses its own ridge, unless the configuration has one.

    Raises:
        DataError, LabelError, PhotoError: a photo or its labels cannot be read or used.
    """
    backbone = open_backbone(config.backbone, Path(config.weights) if config.weights else None)
    viewed = [view_shots(shots, config.looks) for shots in draws]
    _, scored = labelled.require_held_out()
    at_scored = [CropView(one.photo) for one in scored]
    wanted = list(dict.fromkeys([*(view for some in viewed for view in views_in(some)), *at_scored]))
    maps = FeatureCache().maps(wanted, backbone, config.sizes or None, choose_device(device))
    found = dict(zip(wanted, maps, strict=True))
    heads = []
    with progress("learning from few and from many", len(viewed)) as advance:
        for some in viewed:
            features = [found[view] for view in views_in(some)]
            heads.append(solve_head(config, labelled.classes.num_classes, some, features).solved.weights)
            advance(1, f"{len(some)} photos")
    with progress("scoring photos", len(scored)) as advance:
        counts = count(heads, scored, [found[view] for view in at_scored], advance=advance)
    return curve_of([len(some) for some in viewed], counts, config.seed)


def curve_of(shots: Sequence[int], counts: Sequence[Sequence[ImageCounts]], seed: int = 0) -> LearningCurve:
    """Return the curve of heads that each learned from so many photos, by the counts of each photo scored."""
    # the same draws of photos for every head, the first of them all photos
    scores = np.stack(
        [
            mean_of_known(iou_of(resampled_sums(np.stack([i.confusion.overlaps for i in one]), seed)))
            for one in counts
        ]
    )
    sizes = np.array(sorted(set(shots)))
    rows, means = [], []
    for num in sizes:
        own = scores[np.array(shots) == num]
        rows.append(CurveRow(shots=int(num), miou=_spread(own, seed), draws=len(own)))
        means.append(_means(own, seed))
    return LearningCurve(rows=tuple(rows), gain=forecast(sizes, 1 - np.stack(means)))


def _spread(scores: Float64[ndarray, "draws resamples"], seed: int) -> Interval:
    """Return the mean over draws of shots, and the range of single ones on other photos."""
    which = np.random.default_rng(seed).integers(len(scores), size=scores.shape[1])
    single = scores[which, np.arange(scores.shape[1])]
    single[0] = scores[:, 0].mean()
    return interval(single)


def _means(scores: Float64[ndarray, "draws resamples"], seed: int) -> Float64[ndarray, " resamples"]:
    """Return the mean over draws of shots and, in all columns but the first, over draws drawn from them."""
    which = np.random.default_rng(seed).integers(len(scores), size=scores.shape)
    which[:, 0] = np.arange(len(scores))
    return np.take_along_axis(scores, which, 0).mean(0)


def forecast(sizes: Int64[ndarray, " sizes"], errors: Float64[ndarray, "sizes resamples"]) -> Interval | None:
    """Return at most what `MORE` photos would take off the error; None where that cannot be said.

    The error falls as a power of the number of photos, the power between the last two sizes. It is an upper
    bound, since curves flatten: on flowers17 a line through all sizes up to 20 photos promises five times
    what comes, one through the last two three times. The first column of `errors` is what was measured, the
    others what other draws would give; all have to fall, over at least 3 sizes.

    Source: the power law of learning curves, J. Hestness et al. 2017, Deep learning scaling is predictable,
    empirically, arXiv:1712.00409.
    """
    if len(sizes) < _LEAST_ROWS:
        return None
    before, now = np.maximum(errors[-2:], _NO_ERROR)
    power = np.log(now / before) / np.log(sizes[-1] / sizes[-2])
    gain = interval(now * (1 - ((sizes[-1] + MORE) / sizes[-1]) ** power))
    return gain if gain.low > 0 else None
