"""What thawing the backbone's last stage would gain over the last layer alone, and cost, measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pixelwise.data.labelled import LabelledPhoto
from pixelwise.errors import ConfigError
from pixelwise.features import PhotoLook
from pixelwise.finetune.exact import learn_last_layer, look_at
from pixelwise.finetune.lesson import Lesson, Taught
from pixelwise.finetune.score import count, uncached
from pixelwise.finetune.shots import draw
from pixelwise.finetune.tune import tune
from pixelwise.scores import Interval, miou_gain

_EPOCHS = 6  # of the trial
_MOST_WATCHED, _MOST_MEASURED = 20, 60  # photos
_FOLD = 3  # of photos to learn from, one of so many is left out where no others are
_FEWEST = 4  # photos, to learn from some, stop by one and measure on another


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What a short trial of the policy stage gained, on photos it neither learned from nor stopped by."""

    gain: Interval
    """Of mean intersection over union."""
    num_measured: int
    """Photos that the gain is of."""
    last_layer_s: float
    """Seconds that the last layer took, features included unless they were kept already."""
    stage_s: float
    """Seconds that the trial took."""

    @property
    def worth_it(self) -> bool:
        """Whether it gains, as far as these photos tell."""
        return self.gain.low > 0

    @property
    def ratio(self) -> float:
        """How many times as long as the last layer alone everything takes."""
        return (self.last_layer_s + self.stage_s) / self.last_layer_s

    def describe(self) -> str:
        """The advice in a sentence."""
        gain = self.gain
        verdict = "worth trying --policy stage" if self.worth_it else "not worth it here"
        if not self.worth_it:
            verdict += ": it loses" if gain.high < 0 else ": these photos show no gain for sure"
        return (
            f"thawing the last stage changes the mean intersection over union by {gain.value:+.3f} "
            f"({gain.low:+.3f} to {gain.high:+.3f}, {self.num_measured} other photos) and takes "
            f"{self.stage_s:.0f} s more, {self.ratio:.1f} times as long in all: {verdict}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "gain": self.gain.to_dict(),
            "num_measured": self.num_measured,
            "last_layer_seconds": self.last_layer_s,
            "stage_seconds": self.stage_s,
            "ratio": self.ratio,
            "worth_it": self.worth_it,
            "sentence": self.describe(),
        }


def advise(lesson: Lesson, taught: Taught, held_out: Sequence[LabelledPhoto]) -> Advice:
    """Try the policy stage for a few epochs beside the exact head `taught`, and compare the two.

    One half of the photos held out says when to stop, the other what is gained. With fewer than two of them,
    a part of the photos to learn from is held out instead, and both learn from the rest.

    Raises:
        ConfigError: there are too few photos, or the backbone's last stage is not known.
        DataError, PhotoError: a photo or its labels cannot be read.
    """
    config = replace(lesson.config, advise=False, policy="stage", epochs=_EPOCHS)
    seed = config.seed
    start = taught
    if len(held_out) < 2:
        if len(lesson.shots) < _FEWEST:
            raise ConfigError(
                f"advice needs at least 2 labelled photos that are not learned from, or {_FEWEST} that are, "
                f"got {len(held_out)} and {len(lesson.shots)}; label more"
            )
        held_out = draw(lesson.shots, max(2, len(lesson.shots) // _FOLD), seed)
        rest = tuple(one for one in lesson.shots if one not in held_out)
        lesson = replace(lesson, shots=rest)
        start = learn_last_layer(lesson)
    measured = _some(held_out[1::2], _MOST_MEASURED, seed)
    trial = replace(lesson, config=config, watched=_some(held_out[::2], _MOST_WATCHED, seed))
    tuned = tune(trial, start, "stage")
    kept = look_at(lesson, [PhotoLook(one.photo) for one in measured])
    (before,) = count([start.weights], measured, kept)
    fresh = uncached(measured, tuned.backbone, lesson)
    (after,) = count([tuned.weights], measured, fresh)
    return Advice(
        gain=miou_gain(before, after, seed),
        num_measured=len(measured),
        last_layer_s=taught.extract_s + taught.solve_s,
        stage_s=tuned.solve_s - start.solve_s,
    )


def _some(photos: Sequence[LabelledPhoto], most: int, seed: int) -> tuple[LabelledPhoto, ...]:
    return draw(photos, min(most, len(photos)), seed)
