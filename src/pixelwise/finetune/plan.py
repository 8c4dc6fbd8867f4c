"""What learning from masks will cost, by policy: memory, FLOPs and time, before anything runs.

FLOPs and tensors are counted from the backbone itself, at the size at which photos are read. Time is that of
a few pieces of the very work, on photos of the very source, times how often each is done.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from pixelwise.backbones import Backbone
from pixelwise.config import FinetuneConfig
from pixelwise.cost import Cost, Counting, Part, Plan, best_s, trace
from pixelwise.data import LabelledPhotos
from pixelwise.features import Extractor, FeatureCache
from pixelwise.finetune.calibrate import PASSES_BESIDE, Task, Timings, calibrate
from pixelwise.finetune.last_layer import NUM_PIXELS_TO_CHOOSE, folds_of
from pixelwise.finetune.policies import Learner, Thawed, names_in_learner
from pixelwise.finetune.shots import draw, looks, num_looks
from pixelwise.head import RIDGES, Maps
from pixelwise.photos.photo import open_photo
from pixelwise.processor import choose_precision, compute_in

UNCACHED, CACHED = "last-layer", "last-layer-cached"
THAWED: tuple[Thawed, ...] = ("stage", "full")
POLICIES = (UNCACHED, CACHED, *THAWED)
_NUM_SHAPES = 25  # photos whose shapes are looked at
_STEPS_TO_CHOOSE = 5  # of a solve that only chooses the ridge: flowers17 takes 1 to 12
_STEPS_TO_SOLVE = 22  # of the last one
_LEFT = 2  # what the process grows by from the fifth look to the eighty-fifth, 118 MB, over 48 MB of maps
_ADAM_BYTES = 8  # a number that AdamW learns: two means, single precision


def plan_finetune(
    config: FinetuneConfig,
    labelled: LabelledPhotos,
    backbone: Backbone,
    device: torch.device,
    *,
    policies: Collection[str] = POLICIES,
    doubled: bool = True,
    epochs: int = 20,
    batch_size: int = 8,
    started_s: float = 0.0,
    cache: FeatureCache | None = None,
) -> Plan:
    """What `finetune` will cost.

    `epochs` and `batch_size` are of the policies `stage` and `full`, which look at each photo once an epoch.
    `started_s` are the seconds that the command has taken until now. Where `last-layer-cached` is the only
    policy, and `cache` has the features, the network looks at nothing. `stage` is left out where the backbone
    does not say what its last stage is.

    Raises:
        ConfigError: more shots than there are photos.
        DataError, PhotoError: a photo or its labels cannot be read.
    """
    start_s = time.perf_counter()
    task = _task(config, labelled, backbone, device, epochs, batch_size)
    timings = calibrate(task, cache if set(policies) == {CACHED} else None)
    possible = [policy for policy in policies if policy != "stage" or backbone.last_stage]
    return Plan(
        policies=plan_task(task, timings, possible, started_s=started_s),
        doubled=plan_task(task.doubled(), timings, possible, started_s=started_s, of=task) if doubled else {},
        planning_s=time.perf_counter() - start_s,
    )


def plan_task(
    task: Task, timings: Timings, policies: Collection[str], *, started_s: float = 0.0, of: Task | None = None
) -> dict[str, Cost]:
    """The cost of each policy; timings are `of` another task with smaller sizes, or else of this one."""
    if set(policies) == {CACHED}:
        looking, ratio = _Looking(0, 0), 1.0
    elif set(policies) <= {UNCACHED, CACHED} and of is None:
        looking, ratio = _count_looks(task), 1.0
    else:
        looking = _trace_looks(task)
        ratio = looking.flops / _trace_looks(of).flops if of else 1.0
    planner = _Planner(task, timings, looking, started_s, ratio)
    return {policy: planner.cost(policy) for policy in policies}


def _task(
    config: FinetuneConfig,
    labelled: LabelledPhotos,
    backbone: Backbone,
    device: torch.device,
    epochs: int,
    batch_size: int,
) -> Task:
    shots = draw(labelled.train, config.shots, config.seed)
    scored = labelled.test or labelled.val
    num = config.looks or num_looks(len(shots))
    sizes = [open_photo(one.photo).upright_size for one in (*shots, *scored)[:_NUM_SHAPES]]
    return Task(
        config=config,
        backbone=backbone,
        device=device,
        sizes=tuple(config.sizes or backbone.sizes),
        num_classes=labelled.classes.num_classes,
        shots=shots,
        views=tuple(looks(one.stem, num) for one in shots),
        scored=scored,
        precision=choose_precision("auto", device)[0],
        shape=sorted(sizes, key=lambda size: size[0] / size[1])[len(sizes) // 2],
        epochs=epochs,
        batch_size=batch_size,
    )


@dataclass(frozen=True)
class _Looking:
    """What looking at a typical photo takes, at all sizes."""

    flops: int
    peak_bytes: int


def _count_looks(task: Task) -> _Looking:
    """Counted in looks that do compute, at black: sooner done than those without content are prepared."""
    counts = []
    extractor = Extractor(task.backbone, device=task.device)
    for reading in task.readings:
        with Counting() as counted:
            extractor(torch.zeros(3, *reading, dtype=torch.uint8))
        counts.append(counted)
    return _Looking(sum(one.flops for one in counts), max(one.peak_bytes for one in counts))


def _trace_looks(task: Task) -> _Looking:
    extractor = Extractor(task.backbone)
    traced = [trace(extractor, partial(_look, reading)) for reading in task.readings]
    return _Looking(sum(one.flops for one in traced), max(one.peak_bytes for one in traced))


def _look(size: tuple[int, int], extractor: Extractor) -> Maps:
    """A look in tiles or whole, as true ones are, at what has no content."""
    maps: Maps = extractor(torch.empty(3, *size, dtype=torch.uint8))
    return maps


@dataclass(frozen=True)
class _Planner:
    """The costs of one task."""

    task: Task
    timings: Timings
    looking: _Looking
    started_s: float
    ratio: float
    """FLOPs of a look, over those of the looks that were timed."""

    def cost(self, policy: str) -> Cost:
        """The cost of one policy."""
        return self._thawed(policy) if policy in THAWED else self._last_layer(cached=policy == CACHED)

    def _last_layer(self, *, cached: bool) -> Cost:
        task, timings = self.task, self.timings
        num_looks, num_scored = task.num_looks, len(task.scored)
        return Cost(
            num_learned=task.num_learned,
            flops=self._solving_flops() + (0 if cached else (num_looks + num_scored) * self.looking.flops),
            seconds_by=(
                self._start(),
                self._found() if cached else self._looked(num_looks, num_scored),
                Part("pixels", num_looks * timings.gather_s, f"{num_looks} looks, {timings.num_timed} timed"),
                *self._solved(),
                self._scored(),
            ),
            bytes_by=(
                self._held(looked=not cached),
                *([] if cached else [self._left()]),
                *max(self._learning_bytes(), [] if cached else self._looking_bytes(), key=_total),
            ),
        )

    def _start(self) -> Part:
        seconds = self.started_s + self.timings.certify_s
        return Part("start", seconds, "until now, and the backbone's certificate, timed")

    def _looked(self, num_looks: int, num_scored: int) -> Part:
        timings = self.timings
        seconds = self.ratio * (num_looks * timings.look_s + num_scored * timings.whole_s)
        how = f"{num_looks} looks and {num_scored} photos to score on, some of each timed"
        return Part("looking", seconds, how if self.ratio == 1 else f"{how} at the size asked for, by FLOPs")

    def _found(self) -> Part:
        num = self.task.num_looks + len(self.task.scored)
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
        _, num_left_out = folds_of(len(self.task.shots))
        if self.task.config.ridge is not None or not num_left_out:
            return 0, 0
        every = max(1, self._num_pixels // NUM_PIXELS_TO_CHOOSE)
        return num_left_out, self._num_pixels // every

    def _passes(self) -> tuple[float, float]:
        """Pixels times passes over them, to choose the ridge and to solve."""
        num_left_out, chosen = self._to_choose
        num_folds, _ = folds_of(len(self.task.shots))
        learned = num_left_out * chosen * (1 - 1 / num_folds)
        return (
            len(RIDGES) * (_STEPS_TO_CHOOSE + PASSES_BESIDE) * learned,
            (_STEPS_TO_SOLVE + PASSES_BESIDE) * self._num_pixels,
        )

    def _solved(self) -> list[Part]:
        timings, (num_left_out, _) = self.timings, self._to_choose
        choosing, solving = self._passes()
        solves_s = num_left_out * (timings.moments_s + len(RIDGES) * timings.setup_s)
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
        how = "counted in one pass through the network"
        return [Part("maps of one photo", self.looking.peak_bytes, how)]

    def _learning_bytes(self) -> list[Part]:
        """Pixels are there twice as they are put together; then come folds, and what scales the problem.

        That is two copies of four rows a feature, and three matrices.
        """
        task, row_bytes = self.task, 4 * self.task.num_features
        pixels_bytes = self._num_pixels * row_bytes
        num_left_out, chosen = self._to_choose
        scaled_bytes = (2 * 4 + 3) * row_bytes * task.num_features if num_left_out else 0
        beside_bytes = max(pixels_bytes, num_left_out * chosen * row_bytes + scaled_bytes)
        sizes = f"{self._num_pixels} pixels of {task.num_features} features"
        held = task.num_looks if task.config.loss == "whole" else 1
        return [
            Part("features", held * task.maps_bytes, f"{held} looks at a time, mapped from disk"),
            Part("pixels", pixels_bytes, sizes),
            Part("copies of pixels", beside_bytes, "as they are put together, or folds and their moments"),
        ]

    def _thawed(self, policy: str) -> Cost:
        task, num_scored = self.task, len(self.task.scored)
        thawed: Thawed = "stage" if policy == "stage" else "full"
        learner = Learner(task.backbone, len(task.sizes), task.num_classes)
        learned = names_in_learner(task.backbone, thawed, learner)
        num_learned = sum(one.numel() for name, one in learner.named_parameters() if name in learned)
        step = trace(learner, lambda copied: _loss(copied, task, task.batch_size, task.readings), learned)
        num_views = task.epochs * len(task.shots)
        back = _with_the_way_back(task, learned)
        seconds = self.ratio * back * num_views * self.timings.look_s
        return Cost(
            num_learned=num_learned,
            flops=round(num_views / task.batch_size * step.flops) + num_scored * self.looking.flops,
            seconds_by=(
                self._start(),
                Part(
                    "learning",
                    seconds,
                    f"{task.epochs} epochs of {len(task.shots)} views, each {back:.1f} looks: both timed",
                ),
                self._looked(0, num_scored),
                self._scored(),
            ),
            bytes_by=(
                self._held(looked=True),
                Part("AdamW", _ADAM_BYTES * num_learned, f"{_ADAM_BYTES} bytes a number learned"),
                Part(
                    "activations and gradients",
                    step.peak_bytes,
                    f"counted, {task.batch_size} views at once; {step.saved_bytes / 1e6:.0f} MB are for the"
                    " way back",
                ),
            ),
        )


def _total(parts: list[Part]) -> float:
    return sum(part.amount for part in parts)


def _loss(learner: Learner, task: Task, num: int, readings: Sequence[tuple[int, int]]) -> Tensor:
    """The loss of one step, on `num` views of nothing."""
    with compute_in(task.precision, task.device):
        logits = learner([torch.zeros(num, 3, *reading) for reading in readings])
    labels = torch.zeros(num, *logits.shape[-2:], dtype=torch.long)
    return F.cross_entropy(logits.float(), labels)


def _with_the_way_back(task: Task, learned: Collection[str]) -> float:
    """How many times as long it takes to learn from a view as to look at it, at the first size."""
    learner = copy.deepcopy(Learner(task.backbone, 1, task.num_classes))
    for name, parameter in learner.named_parameters():
        parameter.requires_grad_(name in learned)

    def there() -> None:
        with torch.no_grad():
            _loss(learner, task, 1, task.readings[:1])

    return best_s(lambda: _loss(learner, task, 1, task.readings[:1]).backward()) / best_s(there)
