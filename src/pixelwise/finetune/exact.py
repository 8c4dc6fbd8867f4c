"""The last layer alone, on features that are computed once and kept."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Iterator, Sequence

from pixelwise.config import FinetuneConfig
from pixelwise.data.labelled import LabelledPhoto
from pixelwise.features import PhotoLook, PhotoMaps
from pixelwise.finetune.last_layer import Learned, Look, learn_exactly
from pixelwise.finetune.lesson import Lesson, Taught
from pixelwise.finetune.shots import looks, num_looks
from pixelwise.frozen import certified
from pixelwise.photos.view import View
from pixelwise.processes import ALONE, Processes
from pixelwise.processor import ONE_THREAD
from pixelwise.progress import progress

_logger = logging.getLogger(__name__)


def learn_last_layer(lesson: Lesson) -> Taught:
    """The best head on the backbone as it is.

    Raises:
        DataError, LabelError, PhotoError: a photo or its labels cannot be read or used.
        FrozenError: the backbone changed, which is a fault of ours.
    """
    start_s = time.perf_counter()
    seen = seen_of(lesson.shots, lesson.config.looks)
    with certified(lesson.backbone) as watch:
        num = len(looks_of(seen))
        own = share_of(seen, lesson.group.part(0, num))
        features = lesson.group.all_or_none(lambda: forward(lesson, looks_of(own)))
        looked_s = time.perf_counter()
        learned = solve_head(
            lesson.config, lesson.classes.num_classes, own, features, num_looks=num, group=lesson.group
        )
        solved_s = time.perf_counter()
    assert watch.certificate is not None
    if learned.unseen:
        _logger.warning(
            "no pixel learned from is of the class %s: the head cannot find it; label some, or more of it",
            ", ".join(lesson.classes.names[one] for one in learned.unseen),
        )
    solved = learned.solved
    return Taught(
        weights=solved.weights,
        backbone=lesson.backbone,
        certificate=watch.certificate,
        how=f"{solved.num_steps} steps to a gradient of {solved.gradient_norm:.1e}, ridge {solved.ridge:g}",
        facts=_facts(learned),
        num_learned=solved.weights.num_learned,
        num_looks=num,
        extract_s=looked_s - start_s,
        solve_s=solved_s - looked_s,
    )


Seen = tuple[LabelledPhoto, tuple[View, ...]]
"""A photo, and what is looked at of it."""


def seen_of(shots: Sequence[LabelledPhoto], num: int) -> list[Seen]:
    """Photos with `num` looks at each; 0: more the fewer photos there are."""
    num = num or num_looks(len(shots))
    return [(shot, looks(shot.stem, num)) for shot in shots]


def looks_of(seen: Sequence[Seen]) -> list[PhotoLook]:
    """Every look, photo by photo."""
    return [PhotoLook(shot.photo, view) for shot, views in seen for view in views]


def share_of(seen: Sequence[Seen], part: slice) -> list[Seen]:
    """Those of all looks, counted photo by photo, that are in `part`; no photo without any."""
    shares, before = [], 0
    for shot, views in seen:
        own = views[max(0, part.start - before) : max(0, part.stop - before)]
        before += len(views)
        if own:
            shares.append((shot, own))
    return shares


def forward(lesson: Lesson, wanted: Sequence[PhotoLook]) -> list[PhotoMaps]:
    """Features of the backbone as it is, from the cache or into it.

    Raises:
        PhotoError: a photo cannot be read.
        OutputError: features fit neither on disk nor in memory.
    """
    with progress("looking at photos", len(wanted)) as advance:
        return lesson.cache.maps(wanted, lesson.backbone, lesson.sizes, device=lesson.device, advance=advance)


def solve_head(
    config: FinetuneConfig,
    num_classes: int,
    seen: Sequence[Seen],
    features: Sequence[PhotoMaps],
    *,
    num_looks: int | None = None,
    group: Processes = ALONE,
) -> Learned:
    """The best head of what is seen, from the features of each look; of a group's share of `num_looks`.

    Copies of a photo count as one where photos are left out to choose the ridge by.

    Raises:
        DataError, LabelError: labels cannot be read or used.
    """
    every_digest = itertools.chain(*group.each([one.digest for one in features]))
    numbers = {digest: number for number, digest in enumerate(every_digest)}

    def every_look() -> Iterator[Look]:
        sources = iter(features)
        for shot, views in seen:
            labels = shot.read_labels()
            for view in views:
                maps = next(sources)
                yield Look(numbers[maps.digest], maps.read(), view.cut(labels))

    with ONE_THREAD:  # pixels are shared among threads already
        return learn_exactly(
            every_look,
            num_looks or len(features),
            num_classes,
            ridge=config.ridge,
            rebalance=config.rebalance,
            whole=config.loss == "whole",
            group=group,
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
