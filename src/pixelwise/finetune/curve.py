"""How a head's overlap grows with the photos it learns from, and what more of them would bring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from pixelwise.backbones import open_backbone
from pixelwise.config import Device, FinetuneConfig
from pixelwise.data import LabelledPhoto, load_labelled
from pixelwise.errors import ConfigError
from pixelwise.features import FeatureCache, PhotoLook
from pixelwise.finetune.exact import looks_of, seen_of, solve_head
from pixelwise.finetune.score import count
from pixelwise.finetune.shots import draw
from pixelwise.processor import choose_device
from pixelwise.progress import progress
from pixelwise.scores import ImageCounts, Interval, interval, resampled_sums
from pixelwise.scores.confusion import iou_of, mean_of_known

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
    """What heads score that learned from so many photos."""

    shots: int
    miou: Interval
    """Mean over draws of shots; 95 of 100 single ones, on photos drawn anew, lie between low and high."""
    draws: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"shots": self.shots, "miou": self.miou.to_dict(), "draws": self.draws}


@dataclass(frozen=True, kw_only=True)
class LearningCurve:
    """Overlap by the number of photos learned from."""

    rows: tuple[CurveRow, ...]
    gain: Interval | None
    """At most what `MORE` photos beyond all there are would add; none where nothing can be told."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "curve": [row.to_dict() for row in self.rows],
            "forecast": {"more": MORE, "at_most": self.gain.to_dict()} if self.gain else None,
        }

    @property
    def sentence(self) -> str:
        """What more photos would bring, in words."""
        if self.gain is None:
            return (
                "what more photos would bring cannot be told: too few photos, or too little between the last"
            )
        return (
            f"{MORE} more photos would bring at most about {self.gain.value:+.3f} of mean IoU "
            f"({self.gain.low:+.3f} to {self.gain.high:+.3f}): so much if the curve flattened no further"
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Ladder:
    """What a learning curve is of."""

    config: FinetuneConfig
    num_classes: int
    drawn: tuple[tuple[LabelledPhoto, ...], ...]
    """Photos to learn from, each time others or more."""
    scored: tuple[LabelledPhoto, ...]


def ladder(config: FinetuneConfig, data_dir: Path | None = None) -> Ladder:
    """2, 5, 10, 20, ... photos and all that `config` learns from, several draws of each.

    They are scored on the photos that `finetune` scores on.

    Raises:
        ConfigError: there are fewer than 3 photos to learn from, or none to score on.
        DataError: the photos or their masks are missing or do not belong together.
    """
    labelled = load_labelled(config.source, data_dir, config.seed)
    photos = draw(labelled.train, config.shots, config.seed)
    _, scored = labelled.require_held_out()
    drawn = (
        draw(photos, num, config.seed + 1 + place)
        for num in rungs(len(photos))
        for place in range(num_draws(num, len(photos)))
    )
    return Ladder(config=config, num_classes=labelled.classes.num_classes, drawn=tuple(drawn), scored=scored)


def learning_curve(
    ladder: Ladder, device: Device = "auto", cache: FeatureCache | None = None
) -> LearningCurve:
    """The exact head of each draw, as `finetune` would learn it from these photos alone, scored at full size.

    So each chooses its own ridge, unless the configuration has one.

    Raises:
        DataError, LabelError, PhotoError: a photo or its labels cannot be read or used.
    """
    config, scored = ladder.config, ladder.scored
    backbone = open_backbone(config.backbone, Path(config.weights) if config.weights else None)
    seen = [seen_of(shots, config.looks) for shots in ladder.drawn]
    at_scored = [PhotoLook(one.photo) for one in scored]
    wanted = list(dict.fromkeys([*(look for some in seen for look in looks_of(some)), *at_scored]))
    with progress("looking at photos", len(wanted)) as advance:
        maps = (cache or FeatureCache()).maps(
            wanted, backbone, config.sizes or None, device=choose_device(device), advance=advance
        )
    found = dict(zip(wanted, maps, strict=True))
    heads = []
    with progress("learning from few and from many", len(seen)) as advance:
        for some in seen:
            features = [found[look] for look in looks_of(some)]
            heads.append(solve_head(config, ladder.num_classes, some, features).solved.weights)
            advance(1, f"{len(some)} photos")
    counts = count(heads, scored, [found[look] for look in at_scored])
    return curve_of([len(some) for some in seen], counts, config.seed)


def rungs(num_photos: int) -> list[int]:
    """2, 5, 10, 20, 50, ... photos, and all.

    Raises:
        ConfigError: there are fewer than 3.
    """
    if num_photos <= _FEWEST:
        raise ConfigError(f"needed at least {_FEWEST + 1} photos to learn from for a curve, got {num_photos}")
    ladder = [step * 10**power for power in range(len(str(num_photos))) for step in _STEPS]
    return [num for num in ladder if _FEWEST <= num < num_photos] + [num_photos]


def num_draws(num: int, num_photos: int) -> int:
    """How often so many of the photos are drawn."""
    if num == num_photos:
        return 1
    return _DRAWS if num < _FEW else _FEW_DRAWS


def curve_of(shots: Sequence[int], counts: Sequence[Sequence[ImageCounts]], seed: int = 0) -> LearningCurve:
    """The curve of heads that each learned from so many photos, by the counts of each photo scored."""
    # the same draws of photos for every head, the first of them all photos
    scores = np.stack(
        [
            mean_of_known(iou_of(resampled_sums(np.stack([i.confusion.overlaps for i in one]), seed)))
            for one in counts
        ]
    )
    ladder = np.array(sorted(set(shots)))
    by_rung = [scores[np.array(shots) == num] for num in ladder]
    rows = tuple(
        CurveRow(shots=int(num), miou=_spread(one, seed), draws=len(one))
        for num, one in zip(ladder, by_rung, strict=True)
    )
    means = np.stack([_means(one, seed) for one in by_rung])
    return LearningCurve(rows=rows, gain=forecast(ladder, 1 - means))


def _spread(scores: Float64[ndarray, "draws resamples"], seed: int) -> Interval:
    """The mean over draws of shots, and where single ones lie on other photos."""
    which = np.random.default_rng(seed).integers(len(scores), size=scores.shape[1])
    single = scores[which, np.arange(scores.shape[1])]
    single[0] = scores[:, 0].mean()
    return interval(single)


def _means(scores: Float64[ndarray, "draws resamples"], seed: int) -> Float64[ndarray, " resamples"]:
    """The mean over draws of shots and, in all columns but the first, over as many drawn from them again."""
    which = np.random.default_rng(seed).integers(len(scores), size=scores.shape)
    which[:, 0] = np.arange(len(scores))
    return np.take_along_axis(scores, which, 0).mean(0)


def forecast(shots: Int64[ndarray, " rungs"], errors: Float64[ndarray, "rungs resamples"]) -> Interval | None:
    """At most what `MORE` photos would take off the error, which falls as a power of the number of photos.

    The power is that between the last two rungs. It is an upper bound, since curves flatten: on flowers17 a
    line through all rungs up to 20 photos promises five times what comes, one through the last two three
    times. The first column of `errors` is what was measured, the others are what other draws would give. None
    where there are fewer than 3 rungs, or where some of those other draws do not fall.

    Source: the power law of learning curves, J. Hestness et al. 2017, Deep learning scaling is predictable,
    empirically, arXiv:1712.00409.
    """
    if len(shots) < _LEAST_ROWS:
        return None
    before, now = np.maximum(errors[-2:], _NO_ERROR)
    power = np.log(now / before) / np.log(shots[-1] / shots[-2])
    gain = interval(now * (1 - ((shots[-1] + MORE) / shots[-1]) ** power))
    return gain if gain.low > 0 else None
