"""Pieces of learning from masks, timed on photos of the very source."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from pixelwise.backbones import Backbone
from pixelwise.config import FinetuneConfig, Precision
from pixelwise.cost import best_s, resident_bytes, timed
from pixelwise.data import LabelledPhoto
from pixelwise.features import FeatureCache, PhotoLook, PhotoMaps
from pixelwise.finetune.last_layer import Look, gather, pixels_a_look
from pixelwise.finetune.score import count
from pixelwise.frozen import fingerprint
from pixelwise.head import RIDGES, Moments, Pixels, Weights, WholePhotos, solve
from pixelwise.photos.view import View, reading_size

_MOST_TIMED = 4  # looks, and photos to score on
_SCORED_TIMES = 4  # each photo: threads take a while to get going
_SLOW_S = 2.0  # after a look that takes longer no other is timed
_ROWS_A_FEATURE = 2  # of the problem whose solving is timed
_MOMENTS_ROWS = 4  # a feature, that the true ones are of
PASSES_BESIDE = 2
"""Of a solve, that are no step: where it begins and where it ends."""


@dataclass(frozen=True, eq=False)
class Task:
    """What is to be learned, and from what."""

    config: FinetuneConfig
    backbone: Backbone
    device: torch.device
    sizes: tuple[int, ...]
    num_classes: int
    shots: tuple[LabelledPhoto, ...]
    views: tuple[tuple[View, ...], ...]
    """Of each shot."""
    scored: tuple[LabelledPhoto, ...]
    precision: Precision
    """In which the backbone computes here."""
    shape: tuple[int, int]
    """Height and width of a typical photo."""
    epochs: int
    batch_size: int

    @property
    def num_looks(self) -> int:
        """At all shots together."""
        return sum(len(views) for views in self.views)

    @property
    def num_features(self) -> int:
        """D."""
        return len(self.sizes) * sum(level.channels for level in self.backbone.levels)

    @property
    def num_learned(self) -> int:
        """Numbers in the head."""
        return self.num_classes * (self.num_features + 1)

    @property
    def readings(self) -> list[tuple[int, int]]:
        """Height and width at which a typical photo is read, for each size."""
        return [reading_size(*self.shape, size, self.backbone.multiple) for size in self.sizes]

    @property
    def maps_bytes(self) -> int:
        """Of the features of one look, two bytes each."""
        return 2 * sum(
            level.channels * -(-height // level.stride) * -(-width // level.stride)
            for height, width in self.readings
            for level in self.backbone.levels
        )

    def doubled(self) -> Task:
        """The same, at twice the height and width."""
        return replace(self, sizes=tuple(2 * size for size in self.sizes))


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
    """How features lie, computed once for each fold and once for all."""
    setup_s: float
    """A solve, without its passes over pixels."""
    pixel_s: float
    """A pixel of one pass of a solve."""
    certify_s: float
    """The backbone's certificate, before and after."""


def calibrate(task: Task, cache: FeatureCache | None = None) -> Timings:
    """Time pieces of the work; features go into a folder of their own, which is removed.

    With a `cache` they come from there, if it has them, and nothing else is timed than finding them.

    Raises:
        DataError, PhotoError: a photo or its labels cannot be read.
        LabelError: no pixel of the photos looked at has a label.
    """
    shown = [(shot, view) for shot, views in zip(task.shots, task.views, strict=True) for view in views][
        : _MOST_TIMED + 1
    ]
    scored = task.scored[:_MOST_TIMED]
    held_bytes = resident_bytes(task.device)
    with tempfile.TemporaryDirectory(prefix="pixelwise-plan-") as folder:
        own = cache or FeatureCache(Path(folder))

        def find(looks: Sequence[PhotoLook]) -> list[PhotoMaps]:
            return own.maps(looks, task.backbone, task.sizes, device=task.device)

        asked = [PhotoLook(shot.photo, view) for shot, view in shown]
        look_s, maps = timed(lambda: find(asked[:1]))
        whole_s = look_s
        if look_s > _SLOW_S:
            shown, scored = shown[:1], scored[:1]
        else:
            if len(asked) > 1:
                look_s = timed(lambda: find(asked[1:]))[0] / len(asked[1:])
            whole_s = timed(lambda: find([PhotoLook(one.photo) for one in scored]))[0] / len(scored)
        looked_bytes = resident_bytes(task.device)
        found_s, maps = timed(lambda: find(asked[: len(shown)]))
        score_s = _score_s(task, scored, find([PhotoLook(one.photo) for one in scored]))
        return Timings(
            num_timed=len(shown),
            held_bytes=held_bytes,
            looked_bytes=looked_bytes,
            look_s=look_s,
            whole_s=whole_s,
            found_s=found_s / len(maps),
            score_s=score_s,
            certify_s=2 * best_s(lambda: fingerprint(task.backbone), repeats=1),
            **_gathering(task, shown, maps),
            **_solving(task),
        )


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
        "photo_s": _whole_s(task, look()) / num if task.config.loss == "whole" else 0.0,
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
