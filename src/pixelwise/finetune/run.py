"""From masks to a head, in one visible flow: draw, look, learn, score, certify, write."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from pixelwise.backbones import open_backbone
from pixelwise.config import Device, FinetuneConfig
from pixelwise.cost import Measured, Plan, process_age_s
from pixelwise.data import load_labelled
from pixelwise.data.labelled import LabelledPhoto, LabelledPhotos, file_checksums
from pixelwise.errors import Interrupted, PixelwiseError
from pixelwise.features import FeatureCache, PhotoLook
from pixelwise.files import require_writable
from pixelwise.finetune.exact import forward, learn_last_layer
from pixelwise.finetune.lesson import Lesson, Taught, prepare, require_possible
from pixelwise.finetune.score import count, uncached
from pixelwise.head import Weights
from pixelwise.heads import Head, photo_mark, write_head
from pixelwise.processes import ALONE, Processes
from pixelwise.processor import choose_device, peak_memory_bytes
from pixelwise.scores import ImageCounts, SegmentationScores

if TYPE_CHECKING:  # its module imports torch's optimisers
    from pixelwise.finetune.advise import Advice

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FinetuneResult:
    """What was learned, how good it is, and that nothing else changed."""

    head: Head
    taught: Taught
    before: SegmentationScores | None
    """Of the last layer as it is before it learns: random, of torch's own making. None: no photo was held out
    to score on."""
    last_layer: SegmentationScores | None
    """Of the exact head, where more than the last layer learned from there on."""
    after: SegmentationScores | None
    scored_on: str
    """The part of the data that all scores are of."""
    advice: Advice | None
    """Whether it would pay to thaw the last stage, where that was asked."""
    score_s: float
    seconds: float
    plan: Plan | None = None
    """What learning was to cost, where that was asked; of one policy."""
    measured: Measured | None = None
    """What it came to then, from the process's start to the head, advice left out."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        taught = self.taught
        return {
            "classes": list(self.head.classes.names),
            "num_learned": taught.num_learned,
            "head_bytes": self.head.num_bytes,
            "before": self.before.to_dict() if self.before else None,
            "last_layer": self.last_layer.to_dict() if self.last_layer else None,
            "after": self.after.to_dict() if self.after else None,
            "extract_seconds": taught.extract_s,
            "solve_seconds": taught.solve_s,
            "score_seconds": self.score_s,
            "seconds": self.seconds,
            "advice": self.advice.to_dict() if self.advice else None,
            "planned": self.plan.of(self.measured.policy).to_dict() if self.plan and self.measured else None,
            "measured": self.measured.to_dict() if self.measured else None,
            "gradient_norm": None,
        } | self.head.facts


def finetune(
    config: FinetuneConfig,
    out: Path,
    data_dir: Path | None = None,
    device: Device = "auto",
    cache: FeatureCache | None = None,
    announce: Callable[[Plan], None] | None = None,
    group: Processes = ALONE,
) -> FinetuneResult:
    """Learn from labelled photos what the policy says, and write it as a head to `out`.

    Where no photo is held out, since there are too few, there are no scores, and a warning says so.
    `announce` is given a plan of what learning will cost, before it begins; the result has it beside what
    came out. Without, nothing is planned. The head is written once it is learned, and again with its scores.

    Raises:
        ConfigError: an option that cannot work, such as more shots than there are photos.
        DataError: the photos or their masks are missing or do not belong together.
        FrozenError: something changed that was to stay, which is a fault of ours.
        Interrupted: Ctrl-C came while a policy or solver with epochs learned; its best until then is written.
        OutputError: the head cannot be written.
        ProcessLostError: another process of the group is gone.
    """
    start_s = time.perf_counter()
    group.by_first(lambda: require_writable(out))
    labelled = load_labelled(config.source, data_dir, config.seed)
    part, scored = labelled.held_out()
    if not scored:
        _logger.warning(
            "%s: all %d photos are learned from, so how good the head is cannot be told; label at least 5, or"
            " look at what pixelwise segment --overlay makes of others",
            labelled.name,
            len(labelled.train),
        )
    backbone = open_backbone(config.backbone, Path(config.weights) if config.weights else None)
    on = choose_device(device) if group.num == 1 else group.device
    lesson = prepare(config, labelled, backbone, on, cache or FeatureCache(), group)
    require_possible(lesson, labelled.val)
    plan = _announced(lesson, scored, announce) if announce else None
    taught = _learn(lesson)
    head = _head(lesson, labelled, taught, out)
    group.by_first(lambda: write_head(out, head))
    if taught.interrupted:
        raise Interrupted(f"{out} has what was learned until then, without scores", out)
    score_start_s = time.perf_counter()
    before, last_layer, after = _score(lesson, taught, scored, out) if scored else (None, None, None)
    scored_s = time.perf_counter()
    if after:
        head = replace(head, facts=head.facts | _score_facts(part, after))
        group.by_first(lambda: write_head(out, head))
    if config.then_all and labelled.val:
        head = _learned_from_all(lesson, labelled, head)
        group.by_first(lambda: write_head(out, head))
    measured = _measured(plan, lesson.device) if plan else None
    return FinetuneResult(
        head=head,
        taught=taught,
        before=before,
        last_layer=last_layer,
        after=after,
        scored_on=part,
        advice=_advise(lesson, taught, labelled) if config.advise else None,
        score_s=scored_s - score_start_s,
        seconds=time.perf_counter() - start_s,
        plan=plan,
        measured=measured,
    )


def _learned_from_all(lesson: Lesson, labelled: LabelledPhotos, scored: Head) -> Head:
    """The head anew, from the photos of `val` as well; it has the scores of the one that knew these not."""
    whole = replace(lesson, shots=labelled.train + labelled.val)
    head = _head(whole, labelled, _learn(whole), Path(scored.name))
    kept = {
        name: scored.facts[name] for name in ("scored_on", "num_scored", "scores") if name in scored.facts
    }
    return replace(head, facts=head.facts | kept | {"scored_num_images": scored.facts["num_images"]})


def _announced(lesson: Lesson, scored: Sequence[LabelledPhoto], announce: Callable[[Plan], None]) -> Plan:
    """The plan of what is about to be done, when whoever asked has it."""
    from pixelwise.finetune.plan import import_optimisers, plan_lesson

    if lesson.config.has_epochs:
        import_optimisers()  # before planning begins: learning needs them anyway
    plan = plan_lesson(lesson, scored, started_s=process_age_s())
    announce(plan)
    return plan


def _measured(plan: Plan, device: torch.device) -> Measured:
    """What it came to until now, planning left out."""
    (policy,) = plan.policies
    return Measured(policy, process_age_s() - plan.planning_s, peak_memory_bytes(device))


def _learn(lesson: Lesson) -> Taught:
    """Learn in the way that the configuration says."""
    config = lesson.config
    # torch's optimisers take seconds to import, and the exact solver needs none
    if config.policy != "last-layer":
        from pixelwise.finetune.tune import tune

        return tune(lesson, learn_last_layer(lesson), config.policy)
    if config.solver == "adam":
        from pixelwise.finetune.loop import learn_by_adam

        return learn_by_adam(lesson)
    return learn_last_layer(lesson)


Scores = tuple[SegmentationScores, SegmentationScores | None, SegmentationScores]
"""Before learning, of the exact head where learning went on from it, and after learning."""


def _score(lesson: Lesson, taught: Taught, scored: Sequence[LabelledPhoto], out: Path) -> Scores:
    try:
        return score(lesson, taught, scored)
    except (KeyboardInterrupt, PixelwiseError):  # such as of a mask that is damaged
        _logger.warning("%s has what was learned, without scores", out)
        raise


def score(lesson: Lesson, taught: Taught, scored: Sequence[LabelledPhoto]) -> Scores:
    """What was learned, and what it was learned from, on some photos.

    Raises:
        DataError, LabelError, PhotoError: a photo or its labels cannot be read or used.
    """
    own = scored[lesson.group.part(0, len(scored))]
    first = taught.untaught or untaught(taught.weights, lesson.config.seed)
    started = [taught.start] if taught.start else []
    ended = [] if taught.changed else [taught.weights]
    heads = [first, *started, *ended]
    shares = lesson.group.each(lesson.group.all_or_none(lambda: _counts(lesson, heads, own)))
    counts = [list(itertools.chain(*of_head)) for of_head in zip(*shares, strict=True)]
    if taught.changed:
        counts += count([taught.weights], scored, uncached(scored, taught.backbone, lesson))
    scores = [SegmentationScores.of(one, lesson.classes, lesson.config.seed) for one in counts]
    return scores[0], scores[1] if taught.start else None, scores[-1]


def _counts(
    lesson: Lesson, heads: Sequence[Weights], photos: Sequence[LabelledPhoto]
) -> list[list[ImageCounts]]:
    """For each head, those of each photo; of no photo, none."""
    if not photos:
        return [[] for _ in heads]
    return count(heads, photos, forward(lesson, [PhotoLook(one.photo) for one in photos]))


def untaught(weights: Weights, seed: int) -> Weights:
    """A last layer as it is before it learns, drawn as torch draws that of a new 1x1 convolution."""
    num_classes, num_features = weights.weight.shape
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layer = torch.nn.Conv2d(num_features, num_classes, 1)
    assert layer.bias is not None
    return Weights(layer.weight.detach()[..., 0, 0], layer.bias.detach())


def _head(lesson: Lesson, labelled: LabelledPhotos, taught: Taught, out: Path) -> Head:
    """What was learned, with what its file says of its learning; nothing that differs from run to run."""
    facts = {
        "source": labelled.name,
        "num_images": len(lesson.shots),
        "photos": _marks(lesson.shots),
        "num_looks": taught.num_looks,
        "certificate": taught.certificate.to_dict(),
    }
    if lesson.watched:
        facts["watched_photos"] = _marks(lesson.watched)
    return Head(
        name=str(out),
        classes=lesson.classes,
        weights=taught.weights,
        backbone=lesson.backbone.name,
        backbone_checksum=lesson.backbone.checksum,
        sizes=tuple(lesson.sizes),
        facts=facts | taught.facts,
        changed=taught.changed,
        changed_checksum=taught.backbone.checksum if taught.changed else "",
    )


def _marks(photos: Sequence[LabelledPhoto]) -> list[str]:
    """Of the different ones."""
    digests = file_checksums(one.photo for one in photos)
    return [photo_mark(digest) for digest in dict.fromkeys(digests.values())]


def _score_facts(part: str, after: SegmentationScores) -> dict[str, Any]:
    return {"scored_on": part, "num_scored": after.num_images, "scores": after.intervals()}


def _advise(lesson: Lesson, taught: Taught, labelled: LabelledPhotos) -> Advice:
    from pixelwise.finetune.advise import advise  # torch's optimisers, as above

    return advise(lesson, taught, labelled.val)
