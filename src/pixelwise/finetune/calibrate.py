"""Pieces of learning from masks, timed on photos of the very source."""

from __future__ import annotations

import math
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from pixelwise.config import Precision
from pixelwise.cost import best_s, give_back_memory, resident_bytes, timed
from pixelwise.data import LabelledPhoto
from pixelwise.features import Extractor, FeatureCache, PhotoLook, PhotoMaps
from pixelwise.finetune.batches import Batch, batches
from pixelwise.finetune.last_layer import Look, gather, pixels_a_look
from pixelwise.finetune.lesson import Lesson
from pixelwise.finetune.score import count
from pixelwise.finetune.shots import closer, looks, num_looks
from pixelwise.frozen import fingerprint
from pixelwise.head import RIDGES, Moments, Pixels, Weights, WholePhotos, solve
from pixelwise.photos.photo import open_photo
from pixelwise.photos.view import WHOLE, View, reading_size
from pixelwise.processor import ONE_THREAD, choose_precision, peak_memory_bytes

_NUM_SHAPES = 25  # photos whose shapes are looked at
_VIEWS_TIMED = 24  # at least, and in two batches, the first of which warms up
_HALF_DONE = 0.5
_MOST_TIMED = 4  # looks, and photos to score on
_SCORED_TIMES = 4  # each photo: threads take a while to get going
_SLOW_S = 2.0  # after a look that takes longer no other is timed
_ROWS_A_FEATURE = 2  # of the problem whose solving is timed
_MOMENTS_ROWS = 4  # a feature, that the true ones are of
PASSES_BESIDE = 2
"""Of a solve, that are no step: where it begins and where it ends."""


@dataclass(frozen=True, eq=False)
class Task:
    """What is to be learned, from what, and on what it is scored."""

    lesson: Lesson
    views: tuple[tuple[View, ...], ...]
    """Of each shot."""
    scored: tuple[LabelledPhoto, ...]
    precision: Precision
    """In which a backbone learns here."""
    shape: tuple[int, int]
    """Height and width of a typical photo."""
    fullest: int
    """Photos in the fullest batch: one has photos of one shape alone."""

    @staticmethod
    def of(lesson: Lesson, scored: Sequence[LabelledPhoto]) -> Task:
        """The task that a lesson is.

        Raises:
            PhotoError: a photo cannot be read.
        """
        num = lesson.config.looks or num_looks(len(lesson.shots))
        sizes = [open_photo(one.photo).upright_size for one in (*lesson.shots, *scored)[:_NUM_SHAPES]]
        is_adam = lesson.config.solver == "adam"
        return Task(
            lesson=lesson,
            views=tuple(looks(one.stem, num) for one in lesson.shots),
            scored=tuple(scored),
            precision=choose_precision("fp32" if is_adam else "auto", lesson.device)[0],
            shape=sorted(sizes, key=lambda size: size[0] / size[1])[len(sizes) // 2],
            fullest=_fullest(lesson, sizes[: len(lesson.shots)]),
        )

    @property
    def num_classes(self) -> int:
        """K."""
        return self.lesson.classes.num_classes

    @property
    def looks(self) -> list[PhotoLook]:
        """At all shots."""
        return [
            PhotoLook(shot.photo, view)
            for shot, views in zip(self.lesson.shots, self.views, strict=True)
            for view in views
        ]

    @property
    def num_looks(self) -> int:
        """At all shots together."""
        return sum(len(views) for views in self.views)

    @property
    def num_features(self) -> int:
        """D."""
        return len(self.lesson.sizes) * sum(level.channels for level in self.lesson.backbone.levels)

    @property
    def num_learned(self) -> int:
        """Numbers in the head."""
        return self.num_classes * (self.num_features + 1)

    @property
    def readings(self) -> list[tuple[int, int]]:
        """Height and width at which a typical photo is read, for each size."""
        multiple = self.lesson.backbone.multiple
        return [reading_size(*self.shape, size, multiple) for size in self.lesson.sizes]

    @property
    def maps_bytes(self) -> int:
        """Of the features of one look, two bytes each."""
        return 2 * sum(
            level.channels * -(-height // level.stride) * -(-width // level.stride)
            for height, width in self.readings
            for level in self.lesson.backbone.levels
        )

    def doubled(self) -> Task:
        """The same, at twice the height and width."""
        twice = tuple(2 * size for size in self.lesson.sizes)
        return replace(self, lesson=replace(self.lesson, sizes=twice))

    def num_missing(self) -> tuple[int, int]:
        """Of looks at shots, and of photos to score on, how many the cache has no features of."""
        return len(self.looks), len(self.scored)


@dataclass(frozen=True, kw_only=True)
class Timings:
    """Seconds that pieces of the work take here."""

    num_timed: int
    held_bytes: int
    """By the process, before anything was looked at."""
    looked_bytes: int
    """By the process, after a few looks."""
    look_s: float
    """A look at a shot: read, put through the backbone, kept."""
    whole_s: float
    """The same of a photo to score on."""
    found_s: float
    """A look whose features are kept already."""
    gather_s: float
    """The labels and pixels of a look."""
    pixels_a_look: float
    """Labelled ones, gathered."""
    photo_s: float
    """A look in one pass over whole photos; 0 where pixels are sampled."""
    score_s: float
    """A photo scored, before and after."""
    moments_s: float
    """How features lie, computed once for all folds."""
    setup_s: float
    """A solve, without its passes over pixels."""
    pixel_s: float
    """A pixel of one pass of a solve."""
    certify_s: float
    """The backbone's certificate, before and after."""


@dataclass(frozen=True, kw_only=True)
class Stepping:
    """What learning takes here that passes over photos."""

    optimisers_s: float
    """Importing torch's optimisers."""
    optimisers_bytes: int
    """What the process grew by then."""
    views: Mapping[str, TimedViews]
    """By policy."""


@dataclass(frozen=True)
class TimedViews:
    """What a few true steps took."""

    seconds: float
    """A view, read, forth and back."""
    grown_bytes: int
    """What the process took for them at its fullest; 0 where it had held more before."""


def calibrate(task: Task, *, from_cache: bool = False) -> Timings:
    """Time pieces of the work; features go into a folder of their own, which is removed.

    With `from_cache` they come from the lesson's own, and nothing else is timed than finding them.

    Raises:
        DataError, PhotoError: a photo or its labels cannot be read.
        LabelError: no pixel of the photos looked at has a label.
    """
    lesson = task.lesson
    shown = [(shot, view) for shot, views in zip(lesson.shots, task.views, strict=True) for view in views][
        : _MOST_TIMED + 1
    ]
    scored = task.scored[:_MOST_TIMED]
    held_bytes = resident_bytes(lesson.device)
    with tempfile.TemporaryDirectory(prefix="pixelwise-plan-") as folder:
        cache = lesson.cache if from_cache else FeatureCache(Path(folder))

        def find(looks: Sequence[PhotoLook]) -> list[PhotoMaps]:
            return cache.maps(looks, lesson.backbone, lesson.sizes, device=lesson.device)

        # the network is made ready once for all looks of a run, and here for every few
        ready_s = (
            0.0 if from_cache else best_s(lambda: Extractor(lesson.backbone, device=lesson.device), repeats=2)
        )

        def each_s(looks: Sequence[PhotoLook]) -> float:
            return max(0.0, timed(lambda: find(looks))[0] - ready_s) / len(looks)

        asked = [PhotoLook(shot.photo, view) for shot, view in shown]
        look_s, _ = timed(lambda: find(asked[:1]))
        whole_s = look_s
        if look_s > _SLOW_S:
            shown, scored = shown[:1], scored[:1]
        else:
            if len(asked) > 1:
                look_s = each_s(asked[1:])
            if scored:
                whole_s = each_s([PhotoLook(one.photo) for one in scored])
        looked_bytes = resident_bytes(lesson.device)
        found_s, maps = timed(lambda: find(asked[: len(shown)]))
        score_s = _score_s(task, scored, find([PhotoLook(one.photo) for one in scored])) if scored else 0.0
        with ONE_THREAD:
            solving = _gathering(task, shown, maps) | _solving(task)
        return Timings(
            num_timed=len(shown),
            held_bytes=held_bytes,
            looked_bytes=looked_bytes,
            look_s=look_s,
            whole_s=whole_s,
            found_s=found_s / len(maps),
            score_s=score_s,
            certify_s=2 * best_s(lambda: fingerprint(lesson.backbone), repeats=1),
            **solving,
        )


def _fullest(lesson: Lesson, sizes: Sequence[tuple[int, int]]) -> int:
    """As many of the photos to learn from as share a shape, by the sizes of some of them."""
    short, multiple = lesson.sizes[-1], lesson.backbone.multiple
    alike = Counter(reading_size(*size, short, multiple) for size in sizes).most_common(1)[0][1]
    return min(lesson.config.batch_size, math.ceil(alike * len(lesson.shots) / len(sizes)))


def time_views(task: Task) -> TimedViews:
    """A few true steps of learning that passes over photos.

    Raises:
        ConfigError: the backbone's last stage is not known.
        DataError, PhotoError: a photo or its labels cannot be read.
    """
    device = task.lesson.device
    give_back_memory()
    before_bytes, peak_bytes = resident_bytes(device), peak_memory_bytes(device)
    step = _step(task)
    views: list[int] = []
    ends_s = [time.perf_counter()]
    with closing(_true_batches(task.lesson)) as some:
        for batch in some:
            step(batch)
            views.append(len(batch.labels))
            ends_s.append(time.perf_counter())
            if len(views) > 1 and (sum(views) >= _VIEWS_TIMED or ends_s[-1] - ends_s[0] > _SLOW_S):
                break
    del step
    fullest_bytes = peak_memory_bytes(device)
    give_back_memory()
    return TimedViews(
        (ends_s[-1] - ends_s[1]) / sum(views[1:]),  # the first warms up
        fullest_bytes - before_bytes if fullest_bytes > peak_bytes else 0,
    )


def _true_batches(lesson: Lesson) -> Generator[Batch, None, None]:
    """Epoch after epoch, without end."""
    rng = random.Random(0)
    by_adam = lesson.config.solver == "adam"
    while True:
        shown = [(shot, WHOLE if by_adam else closer(rng)) for shot in lesson.shots]
        with closing(batches(lesson, shown, rng)) as some:
            yield from some


def _step(task: Task) -> Callable[[Batch], object]:
    """A step of learning from here on; nothing that the lesson holds changes."""
    lesson = task.lesson
    # torch's optimisers take seconds to import, and a plan of the last layer alone needs none
    if lesson.config.solver == "adam":
        from pixelwise.finetune import loop

        return loop.Steps(lesson)
    from pixelwise.finetune import tune

    head = Weights(torch.zeros(task.num_classes, task.num_features), torch.zeros(task.num_classes))
    assert lesson.config.policy != "last-layer"
    steps = tune.Steps(lesson, lesson.config.policy, head)
    steps.begin()
    return lambda batch: steps(batch, _HALF_DONE)


def _score_s(task: Task, scored: Sequence[LabelledPhoto], maps: Sequence[PhotoMaps]) -> float:
    """Seconds a photo, with a head before and one after."""
    head = Weights(torch.zeros(task.num_classes, task.num_features), torch.zeros(task.num_classes))
    photos, sources = [*scored] * _SCORED_TIMES, [*maps] * _SCORED_TIMES
    return timed(lambda: count([head, head], photos, sources))[0] / len(photos)


def _gathering(
    task: Task, shown: Sequence[tuple[LabelledPhoto, View]], maps: Sequence[PhotoMaps]
) -> dict[str, float]:
    """Seconds a look to read its labels and gather its pixels, and how many these are."""

    def look() -> list[Look]:
        return [
            Look(number, one.read(), view.cut(shot.read_labels()))
            for number, ((shot, view), one) in enumerate(zip(shown, maps, strict=True))
        ]

    num = len(shown)
    a_look = pixels_a_look(task.num_looks)
    gathered = gather(look(), a_look)
    return {
        "gather_s": timed(lambda: gather(look(), a_look))[0] / num,
        "pixels_a_look": len(gathered.labels) / num,
        "photo_s": _whole_s(task, look()) / num if task.lesson.config.loss == "whole" else 0.0,
    }


def _whole_s(task: Task, seen: Sequence[Look]) -> float:
    """Seconds of one pass over every labelled pixel of some looks."""
    photos = [WholePhotos([one.maps], [one.labels], task.num_classes) for one in seen]
    weight, bias = torch.zeros(task.num_classes, task.num_features), torch.zeros(task.num_classes)
    return best_s(lambda: [photo.value_and_gradient(weight, bias) for photo in photos], repeats=1)


def _solving(task: Task) -> dict[str, float]:
    """Seconds that a solve takes, by its pieces, timed on random features."""
    num = _ROWS_A_FEATURE * task.num_features
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(num, task.num_features, generator=generator)
    pixels = Pixels(features, torch.arange(num) % task.num_classes, task.num_classes)
    weight, bias = torch.zeros(task.num_classes, task.num_features), torch.zeros(task.num_classes)
    pass_s = best_s(lambda: pixels.value_and_gradient(weight, bias), repeats=2)
    moments = Moments.of(pixels)
    solved = min((solve(pixels, RIDGES[0], moments=moments) for _ in range(2)), key=lambda one: one.seconds)
    return {
        "moments_s": timed(lambda: Moments.of(pixels))[0] * _MOMENTS_ROWS / _ROWS_A_FEATURE,
        "setup_s": max(0.0, solved.seconds - (solved.num_steps + PASSES_BESIDE) * pass_s),
        "pixel_s": pass_s / num,
    }
