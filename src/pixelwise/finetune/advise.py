"""What thawing the backbone's last stage would gain over the last layer alone, and cost, measured."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pixelwise.data.labelled import LabelledPhoto
from pixelwise.features import PhotoLook
from pixelwise.finetune.exact import forward, learn_last_layer
from pixelwise.finetune.lesson import Lesson, Taught, split_trial
from pixelwise.finetune.score import count, uncached
from pixelwise.finetune.tune import tune
from pixelwise.scores import Interval, miou_gain


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What a short trial of the policy stage gained, on photos it neither learned from nor stopped by."""

    gain: Interval
    """Of mean intersection over union."""
    num_measured: int
    """Photos that the gain is of."""
    trial_epochs: int
    """Of the trial."""
    epochs: int
    """Of the policy, at most."""
    last_layer_s: float
    """Seconds that the last layer takes where no features are kept: each look as those timed here."""
    stage_s: float
    """Seconds that all epochs of the policy would take at the trial's pace."""

    @property
    def worth_it(self) -> bool:
        """Whether it gains, as far as these photos tell."""
        return self.gain.low > 0

    @property
    def ratio(self) -> float:
        """How many times as long as the last layer alone everything takes, with no features kept."""
        return (self.last_layer_s + self.stage_s) / self.last_layer_s

    def describe(self) -> str:
        """The advice in a sentence."""
        gain = self.gain
        verdict = "worth trying --policy stage" if self.worth_it else "not worth it here"
        if not self.worth_it:
            verdict += ": it loses" if gain.high < 0 else ": these photos show no gain for sure"
        return (
            f"in a trial of {self.trial_epochs} epochs thawing the last stage changed the mean intersection "
            f"over union by {gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f}, {self.num_measured} "
            f"other photos); {self.epochs} epochs would take at most about {self.stage_s:.0f} s more, "
            f"{self.ratio:.1f} times as long in all: {verdict}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "gain": self.gain.to_dict(),
            "num_measured": self.num_measured,
            "trial_epochs": self.trial_epochs,
            "epochs": self.epochs,
            "last_layer_seconds": self.last_layer_s,
            "stage_seconds": self.stage_s,
            "ratio": self.ratio,
            "worth_it": self.worth_it,
            "sentence": self.describe(),
        }


def advise(lesson: Lesson, taught: Taught, held_out: Sequence[LabelledPhoto]) -> Advice:
    """Try the policy stage for a few epochs beside the exact head `taught`, and compare the two.

    Where the trial needs photos that `taught` learned from, to stop by and to measure on, both learn from the
    rest.

    Raises:
        ConfigError: there are too few photos, or the backbone's last stage is not known.
        DataError, PhotoError: a photo or its labels cannot be read.
    """
    trial, measured = split_trial(lesson, held_out)
    start = taught if trial.shots == lesson.shots else learn_last_layer(trial)
    tuned = tune(trial, start, "stage")
    kept = forward(lesson, [PhotoLook(one.photo) for one in measured])
    (before,) = count([start.weights], measured, kept)
    looking_s = time.perf_counter()
    (after,) = count([tuned.weights], measured, uncached(measured, tuned.backbone, lesson))
    look_s = (time.perf_counter() - looking_s) / len(measured)
    epochs = len(tuned.facts["losses"])
    return Advice(
        gain=miou_gain(before, after, lesson.config.seed),
        num_measured=len(measured),
        trial_epochs=epochs,
        epochs=lesson.epochs,
        last_layer_s=taught.num_looks * look_s + taught.solve_s,
        stage_s=(tuned.solve_s - start.solve_s) * lesson.epochs / max(1, epochs),
    )
