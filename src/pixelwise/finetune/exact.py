"""The last layer alone, on features that are computed once and kept."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from pixelwise.features import PhotoLook, PhotoMaps
from pixelwise.finetune.last_layer import Learned, Look, learn_exactly, solving_threads
from pixelwise.finetune.lesson import Lesson, Taught
from pixelwise.finetune.shots import looks, num_looks
from pixelwise.frozen import certified
from pixelwise.photos.view import View
from pixelwise.progress import progress


def learn_last_layer(lesson: Lesson) -> Taught:
    """The best head on the backbone as it is.

    Raises:
        DataError, LabelError, PhotoError: a photo or its labels cannot be read or used.
        FrozenError: the backbone changed, which is a fault of ours.
    """
    start_s = time.perf_counter()
    num = lesson.config.looks or num_looks(len(lesson.shots))
    views = [looks(shot.stem, num) for shot in lesson.shots]
    with certified(lesson.backbone) as watch:
        wanted = [
            PhotoLook(one.photo, view) for one, seen in zip(lesson.shots, views, strict=True) for view in seen
        ]
        features = look_at(lesson, wanted)
        looked_s = time.perf_counter()
        with solving_threads(lesson.classes.num_classes):
            learned = _solve(lesson, views, features)
        solved_s = time.perf_counter()
    assert watch.certificate is not None
    solved = learned.solved
    return Taught(
        weights=solved.weights,
        backbone=lesson.backbone,
        certificate=watch.certificate,
        how=f"{solved.num_steps} steps to a gradient of {solved.gradient_norm:.1e}, ridge {solved.ridge:g}",
        facts=_facts(learned),
        num_learned=solved.weights.num_learned,
        num_looks=len(features),
        extract_s=looked_s - start_s,
        solve_s=solved_s - looked_s,
    )


def look_at(lesson: Lesson, wanted: Sequence[PhotoLook]) -> list[PhotoMaps]:
    """Features of the backbone as it is, from the cache or into it.

    Raises:
        PhotoError: a photo cannot be read.
        OutputError: features fit neither on disk nor in memory.
    """
    with progress("looking at photos", len(wanted)) as advance:
        return lesson.cache.maps(wanted, lesson.backbone, lesson.sizes, device=lesson.device, advance=advance)


def _solve(lesson: Lesson, views: Sequence[tuple[View, ...]], features: Sequence[PhotoMaps]) -> Learned:
    config = lesson.config

    def seen() -> Iterator[Look]:
        sources = iter(features)
        for number, (shot, its_views) in enumerate(zip(lesson.shots, views, strict=True)):
            labels = shot.read_labels()
            for view in its_views:
                yield Look(number, next(sources).read(), view.cut(labels))

    return learn_exactly(
        seen,
        len(features),
        lesson.classes.num_classes,
        ridge=config.ridge,
        rebalance=config.rebalance,
        whole=config.loss == "whole",
    )


def _facts(learned: Learned) -> dict[str, object]:
    solved, chosen = learned.solved, learned.chosen
    return {
        "ridge": solved.ridge,
        "ridge_scores": {f"{ridge:g}": score for ridge, score in chosen.scores.items()} if chosen else {},
        "loss": solved.loss,
        "gradient_norm": solved.gradient_norm,
        "num_steps": solved.num_steps,
    }
