"""The last layer alone, on features that are computed once and kept."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence

from pixelwise.labels.labelled import LabelledPhoto
from pixelwise.network.config import FinetuneConfig
from pixelwise.network.frozen import certified
from pixelwise.photos.crop_view import View
from pixelwise.progress import progress
from pixelwise.segmenting.extraction import PhotoLook
from pixelwise.segmenting.feature_cache import PhotoMaps
from pixelwise.segmenting.pixel_sample import ExactHead, LabelledCrop, crops_of, learn_exactly
from pixelwise.segmenting.shots import num_views, views_of
from pixelwise.segmenting.task import FinetuneTask, LearnedHead

_logger = logging.getLogger(__name__)

Viewed = tuple[LabelledPhoto, tuple[View, ...]]
"""A photo, and the views of it that are learned from."""


def learn_last_layer(task: FinetuneTask) -> LearnedHead:
    """Return the best head on the backbone as it is.

    Raises:
        DataError, LabelError, PhotoError: a photo or its labels cannot be read or used.
        FrozenError: the backbone changed, which is a fault of ours.
    """
    start_s = time.perf_counter()
    viewed = view_shots(task.shots, task.config.looks)
    with certified(task.backbone) as watch:
        features = extract(task, views_in(viewed))
        extracted_s = time.perf_counter()
        found = solve_head(task.config, task.classes.num_classes, viewed, features)
        solved_s = time.perf_counter()
    assert watch.certificate is not None
    if found.missing_classes:
        _logger.warning(
            "no pixel learned from is of the class %s: the head cannot find it; label some, or more of it",
            ", ".join(task.classes.names[one] for one in found.missing_classes),
        )
    solved = found.solved
    return LearnedHead(
        weights=solved.weights,
        backbone=task.backbone,
        certificate=watch.certificate,
        how=f"{solved.num_steps} steps to a gradient of {solved.gradient_norm:.1e}, ridge {solved.ridge:g}",
        facts={
            "ridge": solved.ridge,
            "ridge_scores": {f"{ridge:g}": score for ridge, score in found.chosen.scores.items()}
            if found.chosen
            else {},
            "loss": solved.loss,
            "gradient_norm": solved.gradient_norm,
            "num_steps": solved.num_steps,
        },
        num_learned=solved.weights.num_learned,
        num_views=len(features),
        extract_s=extracted_s - start_s,
        solve_s=solved_s - extracted_s,
    )


def view_shots(shots: Sequence[LabelledPhoto], num: int) -> list[Viewed]:
    """Return photos with `num` views of each; 0: more the fewer photos there are."""
    num = num or num_views(len(shots))
    return [(shot, views_of(shot.stem, num)) for shot in shots]


def views_in(viewed: Sequence[Viewed]) -> list[PhotoLook]:
    """Return every view, photo by photo."""
    return [PhotoLook(shot.photo, view) for shot, views in viewed for view in views]


def extract(task: FinetuneTask, wanted: Sequence[PhotoLook]) -> list[PhotoMaps]:
    """Return the features of the backbone as it is, from the cache or into it.

    Raises:
        PhotoError: a photo cannot be read.
        OutputError: features fit neither on disk nor in memory.
    """
    with progress("extracting features", len(wanted)) as advance:
        return task.cache.maps(wanted, task.backbone, task.sizes, device=task.device, advance=advance)


def solve_head(
    config: FinetuneConfig, num_classes: int, viewed: Sequence[Viewed], features: Sequence[PhotoMaps]
) -> ExactHead:
    """Return the best head of some views of photos, from the features of each view.

    Raises:
        DataError, LabelError: labels cannot be read or used.
    """

    def crops() -> Iterator[LabelledCrop]:
        sources = iter(features)
        for shot, views in viewed:
            own = [next(sources) for _ in views]
            yield from crops_of(own[0].digest, shot.read_labels(), views, (one.read() for one in own))

    num = len(features)
    return learn_exactly(crops(), num, num_classes, ridge=config.ridge, rebalance=config.rebalance)
