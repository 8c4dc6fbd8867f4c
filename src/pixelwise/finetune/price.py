"""The price of one task: what is done how often, times what each piece takes."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from pixelwise.cost import Cost, Counting, Part, Traced, trace
from pixelwise.features import Extractor
from pixelwise.features.cache import THREADS
from pixelwise.finetune.calibrate import PASSES_BESIDE, Stepping, Task, TimedViews, Timings
from pixelwise.finetune.last_layer import NUM_PIXELS_TO_CHOOSE, folds_of
from pixelwise.finetune.policies import LAST_LAYER, Learner, names_in_learner
from pixelwise.frozen import names_below
from pixelwise.head import RIDGES, Maps
from pixelwise.processor import compute_in

_STEPS_TO_CHOOSE = 5  # of a solve that only chooses the ridge: flowers17 takes 1 to 12
_STEPS_TO_SOLVE = 15  # of the last one
_LEFT = 2  # what the process grows by from the fifth look to the eighty-fifth, 118 MB, over 48 MB of maps
_ADAM_BYTES = 8  # a number that Adam learns: two means, single precision
_KEPT_BYTES = 4  # the same number in the best epoch until now


@dataclass(frozen=True)
class Looking:
    """What looking at a typical photo takes, at all sizes."""

    flops: int
    peak_bytes: int


def count_looks(task: Task) -> Looking:
    """Counted in looks that do compute, at black: sooner done than those without content are prepared."""
    counts = []
    extractor = Extractor(task.lesson.backbone, device=task.lesson.device)
    for reading in task.readings:
        with Counting() as counted:
            extractor(torch.zeros(3, *reading, dtype=torch.uint8))
        counts.append(counted)
    return Looking(sum(one.flops for one in counts), max(one.peak_bytes for one in counts))


def trace_looks(task: Task) -> Looking:
    """Counted in looks without content."""
    extractor = Extractor(task.lesson.backbone, device=task.lesson.device)
    traced = [trace(extractor, partial(_look, reading)) for reading in task.readings]
    return Looking(sum(one.flops for one in traced), max(one.peak_bytes for one in traced))


def _look(size: tuple[int, int], extractor: Extractor) -> Maps:
    """A look in tiles or whole, as true ones are, at what has no content."""
    maps: Maps = extractor(torch.empty(3, *size, dtype=torch.uint8))
    return maps


@dataclass(frozen=True)
class Planner:
    """The costs of one task."""

    task: Task
    timings: Timings
    stepping: Stepping
    looking: Looking
    started_s: float
    ratio: float
    """FLOPs of a look, over those of the looks that were timed."""

    missing: tuple[int, int]
    """Looks at shots, and photos to score on, whose features are not in the cache."""

    def cost(self, policy: str) -> Cost:
        """The cost of the task, by whose policy it is called."""
        config = self.task.lesson.config
        if not config.has_epochs:
            return self._last_layer()
        views = self.stepping.views[policy]
        return self._by_adam(views) if config.solver == "adam" else self._thawed(views)

    def _last_layer(self) -> Cost:
        return Cost(
            num_learned=self.task.num_learned,
            flops=self._solving_flops() + sum(self.missing) * self.looking.flops,
            seconds_by=(self._start(), *self._exact(), self._scored()),
            bytes_by=self._exact_bytes(),
        )

    def _exact(self) -> list[Part]:
        """Features, of photos to score on too, and the last layer solved."""
        num_looks, timings = self.task.num_looks, self.timings
        return [
            *self._seen(),
            Part("pixels", num_looks * timings.gather_s, f"{num_looks} looks, {timings.num_timed} timed"),
            *self._solved(),
        ]

    def _exact_bytes(self) -> tuple[Part, ...]:
        looked = any(self.missing)
        return (
            self._held(looked=looked),
            *([self._left()] if looked else []),
            *max(self._learning_bytes(), self._looking_bytes() if looked else [], key=_total),
        )

    def _start(self) -> Part:
        seconds = self.started_s + self.timings.certify_s
        return Part("start", seconds, "until now, and the backbone's certificate, timed")

    def _seen(self) -> list[Part]:
        """Looks whose features are to be computed, and those whose features are there."""
        shots, scored = self.missing
        num_found = self.task.num_looks + len(self.task.scored) - shots - scored
        return [
            *([self._looked(shots, scored)] if shots or scored else []),
            *([self._found(num_found)] if num_found else []),
        ]

    def _looked(self, num_looks: int, num_scored: int) -> Part:
        timings = self.timings
        seconds = self.ratio * (num_looks * timings.look_s + num_scored * timings.whole_s)
        how = f"{num_looks} looks and {num_scored} photos to score on, some of each timed"
        return Part("looking", seconds, how if self.ratio == 1 else f"{how} at the size asked for, by FLOPs")

    def _found(self, num: int) -> Part:
        return Part("features found", num * self.timings.found_s, f"{num} looks, some timed")

    def _scored(self) -> Part:
        num = len(self.task.scored)
        return Part("scoring", num * self.timings.score_s, f"{num} photos, some timed")

    @property
    def _num_pixels(self) -> int:
        return round(self.task.num_looks * self.timings.pixels_a_look)

    @property
    def _to_choose(self) -> tuple[int, int]:
        """How often photos are left out to choose the ridge, and pixels of all photos together then."""
        _, num_left_out = folds_of(len(self.task.lesson.shots))
        if self.task.lesson.config.ridge is not None or not num_left_out:
            return 0, 0
        every = max(1, self._num_pixels // NUM_PIXELS_TO_CHOOSE)
        return num_left_out, self._num_pixels // every

    def _passes(self) -> tuple[float, float]:
        """Pixels times passes over them, to choose the ridge and to solve."""
        num_left_out, chosen = self._to_choose
        num_folds, _ = folds_of(len(self.task.lesson.shots))
        learned = num_left_out * chosen * (1 - 1 / num_folds)
        return (
            len(RIDGES) * (_STEPS_TO_CHOOSE + PASSES_BESIDE) * learned,
            (_STEPS_TO_SOLVE + PASSES_BESIDE) * self._num_pixels,
        )

    def _solved(self) -> list[Part]:
        timings, (num_left_out, _) = self.timings, self._to_choose
        choosing, solving = self._passes()
        solves_s = num_left_out * len(RIDGES) * timings.setup_s
        parts = [
            Part(
                "solving",
                timings.moments_s + timings.setup_s + solving * timings.pixel_s,
                f"{self._num_pixels} pixels, {_STEPS_TO_SOLVE} steps; one timed",
            )
        ]
        if num_left_out:
            how = f"{num_left_out * len(RIDGES)} solves of {_STEPS_TO_CHOOSE} steps; one timed"
            parts.insert(0, Part("choosing the ridge", solves_s + choosing * timings.pixel_s, how))
        if timings.photo_s:
            passes = _STEPS_TO_SOLVE + PASSES_BESIDE
            seconds = passes * self.task.num_looks * timings.photo_s
            parts.append(Part("solving over whole photos", seconds, f"{passes} passes; one timed"))
        return parts

    def _solving_flops(self) -> int:
        """Logits and the gradient: two products of pixels, features and classes."""
        return round(4 * sum(self._passes()) * self.task.num_features * self.task.num_classes)

    def _held(self, *, looked: bool) -> Part:
        if looked:
            return Part("the process", self.timings.looked_bytes, "measured after looking at a few photos")
        return Part("the process", self.timings.held_bytes, "measured before looking at photos")

    def _left(self) -> Part:
        how = f"{_LEFT} times the maps of one photo, freed and not given back: as many looks leave them"
        return Part("left by looks", _LEFT * self.looking.peak_bytes, how)

    def _looking_bytes(self) -> list[Part]:
        how = f"counted in one pass through the network, {THREADS} at once"
        return [Part("maps of photos looked at", THREADS * self.looking.peak_bytes, how)]

    def _learning_bytes(self) -> list[Part]:
        """Pixels are there twice as they are put together; then come their moments, and then folds.

        Moments take three copies of four rows a feature and one matrix, a fold's solve four matrices.
        """
        task, row_bytes = self.task, 4 * self.task.num_features
        pixels_bytes = self._num_pixels * row_bytes
        matrix_bytes = row_bytes * task.num_features
        num_left_out, chosen = self._to_choose
        beside_bytes = max(
            pixels_bytes, (3 * 4 + 1) * matrix_bytes, num_left_out * chosen * row_bytes + 4 * matrix_bytes
        )
        sizes = f"{self._num_pixels} pixels of {task.num_features} features"
        held = task.num_looks if task.lesson.config.loss == "whole" else 1
        return [
            Part("features", held * task.maps_bytes, f"{held} looks at a time, mapped from disk"),
            Part("pixels", pixels_bytes, sizes),
            Part("copies of pixels", beside_bytes, "as they are put together, or folds and their moments"),
        ]

    def _by_adam(self, views: TimedViews) -> Cost:
        task = self.task
        step, num_learned = self._step(LAST_LAYER)
        _, scored = self.missing
        num_found = len(task.scored) - scored
        return Cost(
            num_learned=num_learned,
            flops=round(self._num_steps * step.flops) + scored * self.looking.flops,
            seconds_by=(
                self._start(),
                self._optimisers(),
                self._learned(views.seconds),
                *([self._looked(0, scored)] if scored else []),
                *([self._found(num_found)] if num_found else []),
                self._scored(),
            ),
            bytes_by=(self._held(looked=True), *self._step_bytes(step, views, num_learned, _ADAM_BYTES)),
        )

    def _thawed(self, views: TimedViews) -> Cost:
        task = self.task
        lesson, timings = task.lesson, self.timings
        assert lesson.config.policy != "last-layer"
        learner = self._learner()
        step, num_learned = self._step(names_in_learner(lesson.backbone, lesson.config.policy, learner))
        num_watched, num_scored = (lesson.epochs + 1) * len(lesson.watched), len(task.scored)
        looked = sum(self.missing) + num_watched + num_scored
        watched_s = num_watched * (self.ratio * timings.whole_s + timings.score_s / 2)
        again_s = num_scored * (self.ratio * timings.whole_s + timings.score_s / 2)
        after = self._step_bytes(step, views, num_learned, _ADAM_BYTES + _KEPT_BYTES)
        return Cost(
            num_learned=num_learned,
            flops=round(self._num_steps * step.flops) + looked * self.looking.flops + self._solving_flops(),
            seconds_by=(
                self._start(),
                *self._exact(),
                self._optimisers(),
                self._learned(views.seconds),
                Part(
                    "stopping",
                    watched_s,
                    f"{len(lesson.watched)} photos scored {lesson.epochs + 1} times, some timed",
                ),
                self._scored(),
                Part("scoring again", again_s, f"{num_scored} photos looked at by what was learned"),
            ),
            bytes_by=(self._held(looked=True), self._left(), *max(self._learning_bytes(), after, key=_total)),
        )

    @property
    def _num_views(self) -> int:
        return self.task.lesson.epochs * len(self.task.lesson.shots)

    @property
    def _num_steps(self) -> float:
        return self._num_views / self.task.fullest

    def _optimisers(self) -> Part:
        return Part("optimisers", self.stepping.optimisers_s, "torch's, imported and timed")

    def _learned(self, view_s: float) -> Part:
        lesson = self.task.lesson
        at_most = "" if lesson.config.solver == "adam" else "at most "
        how = f"{at_most}{lesson.epochs} epochs of {len(lesson.shots)} views, some steps timed"
        return Part("learning", self.ratio * view_s * self._num_views, how)

    def _learner(self) -> Learner:
        task = self.task
        learner = Learner(copy.deepcopy(task.lesson.backbone), len(task.lesson.sizes), task.num_classes)
        return learner.to(task.lesson.device)

    def _step(self, learned_below: Sequence[str]) -> tuple[Traced, int]:
        """A step over the fullest batch, and how many numbers learn."""
        learner = self._learner()
        learned = names_below(learner, *learned_below)
        num_learned = sum(one.numel() for name, one in learner.named_parameters() if name in learned)
        return trace(learner, partial(_loss, self.task), learned), num_learned

    def _step_bytes(self, step: Traced, views: TimedViews, num_learned: int, each: int) -> list[Part]:
        num = self.task.fullest
        backbone = self.task.lesson.backbone
        copied = sum(one.nbytes for one in backbone.parameters()) if each > _ADAM_BYTES else 0
        learns = copied + each * num_learned
        grown = self.ratio * views.grown_bytes - learns
        how = f"counted, {num} views at once; {step.saved_bytes / 1e6:.0f} MB are for the way back"
        if grown > step.peak_bytes:
            how = f"measured in true steps; {step.peak_bytes / 1e6:.0f} MB are tensors of {num} views"
        return [
            Part("optimisers", self.stepping.optimisers_bytes, "torch's, measured after they are imported"),
            Part("what learns", learns, f"a copy, and {each} bytes a number learned"),
            Part("activations and gradients", max(grown, step.peak_bytes), how),
        ]


def _total(parts: list[Part]) -> float:
    return sum(part.amount for part in parts)


def _loss(task: Task, learner: Learner) -> Tensor:
    """The loss of one step, on views of nothing."""
    num, device = task.fullest, task.lesson.device
    with compute_in(task.precision, device):
        logits = learner([torch.zeros(num, 3, *reading, device=device) for reading in task.readings])
    labels = torch.zeros(num, *logits.shape[-2:], dtype=torch.long, device=device)
    return F.cross_entropy(logits.float(), labels)
