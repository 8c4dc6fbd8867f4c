"""From masks to a head: draw photos, learn, score, certify, write."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pixelwise.errors import Interrupted, PixelwiseError
from pixelwise.evaluate.heads import count_photos
from pixelwise.evaluate.segmentation import SegmentationScores
from pixelwise.files import require_learnable
from pixelwise.labels.labelled import LabelledPhoto, LabelledPhotos, file_checksums
from pixelwise.labels.sources import load_labelled
from pixelwise.network.backbone import Backbone, certified
from pixelwise.network.config import Device, FinetuneConfig
from pixelwise.network.session import OnnxNetwork
from pixelwise.segmenting.exact import solve_from_views, views_of
from pixelwise.segmenting.feature_cache import FeatureCache
from pixelwise.segmenting.heads import Head, photo_mark, write_head
from pixelwise.segmenting.linear_head import Weights
from pixelwise.training.finetune_task import FinetuneTask, LearnedHead, facts_of, make_task

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class HeadScores:
    """Scores of a head before and after it learned."""

    before: SegmentationScores  # of a random last layer
    last_layer: SegmentationScores | None  # of the exact head, where more learned from there on
    after: SegmentationScores


@dataclass(frozen=True, kw_only=True)
class FinetuneResult:
    """The head that was learned, and how good it is."""

    head: Head
    learned: LearnedHead
    scored: LearnedHead  # what the scores are of; not `learned`, where that was learned anew from all photos
    scores: HeadScores | None  # None where no photo was held out to score on
    scored_on: str  # the part of the data that scores are of
    score_s: float
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        learned, scores = self.learned, self.scores
        return {
            "classes": list(self.head.classes.names),
            "num_learned": learned.num_learned,
            "head_bytes": self.head.num_bytes,
            "before": scores.before.to_dict() if scores else None,
            "last_layer": scores.last_layer.to_dict() if scores and scores.last_layer else None,
            "after": scores.after.to_dict() if scores else None,
            "extract_seconds": learned.extract_s,
            "solve_seconds": learned.solve_s,
            "score_seconds": self.score_s,
            "seconds": self.seconds,
            "gradient_norm": None,
        } | self.head.facts.to_dict()


def finetune(
    config: FinetuneConfig,
    out: Path,
    data_dir: Path | None = None,
    device: Device = "auto",
    cache: FeatureCache | None = None,
    backbone: Backbone | None = None,
    labelled: LabelledPhotos | None = None,
) -> FinetuneResult:
    """Learn from labelled photos what the policy says, and write it as a head to `out`.

    The head is written once it is learned, and again with its scores. Where there are too few photos to hold
    any out, a warning says so. `backbone` and `labelled` are the configuration's, if None.

    Raises:
        ConfigError: an option that cannot work, such as more shots than there are photos.
        DataError: the photos or their masks are missing or do not belong together.
        FrozenError: something changed that was to stay, which is a fault of ours.
        Interrupted: Ctrl-C came while a policy or solver with epochs learned; its best until then is written.
        OutputError: the head cannot be written.
    """
    start_s = time.perf_counter()
    require_learnable(out)
    labelled = labelled or load_labelled(config.source, data_dir, config.seed)
    part, held_out = labelled.held_out()
    if not held_out:
        _logger.warning(
            "%s: all %d photos are learned from, so there is no score of the head; label at least 5",
            labelled.name,
            len(labelled.train),
        )
    task = make_task(config, labelled, device, cache or FeatureCache(), backbone)
    scored = learned = _learn(task)
    head = _head(task, labelled.name, learned, out)
    write_head(out, head)
    if learned.interrupted:
        raise Interrupted(f"{out} has what was learned until then, without scores", out)
    learned_s, scores, facts = time.perf_counter(), None, dict[str, Any]()
    if held_out:
        try:
            scores = score(task, learned, held_out)
        except (KeyboardInterrupt, PixelwiseError):  # such as of a mask that is damaged
            _logger.warning("%s has what was learned, without scores", out)
            raise
        facts = {"scored_on": part, "num_scored": len(held_out), "scores": scores.after.intervals()}
        head = replace(head, facts=replace(head.facts, **facts))
        write_head(out, head)
    score_s = time.perf_counter() - learned_s
    if config.then_all and labelled.val:
        facts["scored_num_images"] = len(task.shots)
        task = replace(task, shots=labelled.train + labelled.val)
        learned = _learn(task)
        head = _head(task, labelled.name, learned, out, **facts)
        write_head(out, head)
    return FinetuneResult(
        head=head,
        learned=learned,
        scored=scored,
        scores=scores,
        scored_on=part,
        score_s=score_s,
        seconds=time.perf_counter() - start_s,
    )


def learn_last_layer(task: FinetuneTask) -> LearnedHead:
    """Return the best head on the backbone as it is; errors are those of photos and labels."""
    start_s = time.perf_counter()
    views = views_of([shot.photo for shot in task.shots], task.config.looks)
    with certified(task.backbone) as certificate:
        features = task.cache.maps(views, task.backbone, task.sizes)
        extracted_s = time.perf_counter()
        solved = solve_from_views(task.config, task.classes.num_classes, task.shots, features)
        solved_s = time.perf_counter()
    if solved.missing_classes:
        _logger.warning(
            "no pixel learned from is of the class %s: the head cannot find it; label some, or more of it",
            ", ".join(task.classes.names[number] for number in solved.missing_classes),
        )
    return LearnedHead(
        weights=solved.weights,
        certificate=certificate,
        how=f"{solved.num_steps} steps to a gradient of {solved.gradient_norm:.1e}, ridge {solved.ridge:g}",
        facts=replace(facts_of(solved), num_looks=len(features)),
        num_learned=solved.weights.num_learned,
        extract_s=extracted_s - start_s,
        solve_s=solved_s - extracted_s,
    )


def _learn(task: FinetuneTask) -> LearnedHead:
    if not task.config.has_epochs:
        return learn_last_layer(task)
    from pixelwise.training.finetune_epochs import learn_in_epochs, open_learnable  # which need torch

    backbone = open_learnable(task)
    return learn_in_epochs(task, backbone, None if task.config.solver == "adam" else learn_last_layer(task))


def score(task: FinetuneTask, learned: LearnedHead, photos: Sequence[LabelledPhoto]) -> HeadScores:
    """Return the scores of a head, and of the heads that its learning began with."""
    heads = [learned.random_head or random_head(learned.weights, task.config.seed)]
    if learned.start:
        heads.append(learned.start)
    if not learned.tuned:
        heads.append(learned.weights)
    paths = [photo.photo for photo in photos]
    counts = count_photos(photos, task.cache.maps(paths, task.backbone, task.sizes), heads)
    if learned.tuned:
        tuned = Backbone.of(OnnxNetwork(learned.tuned, threads=1, device=task.device))
        counts += count_photos(photos, task.cache.maps(paths, tuned, task.sizes), [learned.weights])
    scores = [SegmentationScores.of(of_head, task.classes, task.config.seed) for of_head in counts]
    return HeadScores(before=scores[0], last_layer=scores[1] if learned.start else None, after=scores[-1])


def random_head(weights: Weights, seed: int) -> Weights:
    """Return a random last layer of the same shape, drawn as torch draws that of a new 1x1 convolution.

    Its numbers are uniform up to 1 / sqrt(D) either way, of 24 bits each of a Mersenne twister.
    """
    bits = np.random.RandomState(seed).randint(2**32, size=weights.num_learned, dtype=np.uint32) & (2**24 - 1)
    most = np.float32(weights.weight.shape[1] ** -0.5)
    numbers = bits.astype(np.float32) / np.float32(2**24) * (2 * most) - most
    num = weights.weight.size
    return Weights(numbers[:num].reshape(weights.weight.shape), numbers[num:])


def _head(task: FinetuneTask, source: str, learned: LearnedHead, out: Path, **scored: Any) -> Head:
    facts = replace(
        learned.facts,
        source=source,
        num_images=len(task.shots),
        photos=_marks(task.shots),
        certificate=learned.certificate,
        watched_photos=_marks(task.early_stop_set) if task.early_stop_set else None,
        **scored,
    )
    return Head(
        name=str(out),
        classes=task.classes,
        weights=learned.weights,
        backbone=task.backbone.name,
        backbone_checksum=task.backbone.checksum,
        sizes=tuple(task.sizes),
        facts=facts,
        tuned=learned.tuned,
    )


def _marks(photos: Sequence[LabelledPhoto]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(photo_mark, file_checksums(photo.photo for photo in photos).values())))
