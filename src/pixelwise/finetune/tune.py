"""The policies stage and full: parts of the backbone learn along with the head, from where the exact head is.

Each epoch sees other parts of the photos, mirrored or not, a little lighter, darker, flatter or harder. Batch
norm keeps its statistics. What is kept is what does best on photos that are not learned from, which may be
what learning began with.
"""

from __future__ import annotations

import copy
import functools
import math
import operator
import random
import time
from collections.abc import Callable, Sequence
from contextlib import closing

import torch
import torch._dynamo  # what torch imports with its first optimiser: 2 s that are no learning
from torch import Tensor

from pixelwise.config import Policy, Precision
from pixelwise.data.labelled import LabelledPhoto
from pixelwise.finetune.batches import Batch, batches
from pixelwise.finetune.lesson import Lesson, Taught, require_number, require_watched
from pixelwise.finetune.policies import BACKBONE, Learner, Thawed, names_in_learner
from pixelwise.finetune.score import count, uncached
from pixelwise.finetune.shots import closer
from pixelwise.frozen import certified, fingerprint, freeze
from pixelwise.head import Weights
from pixelwise.losses import class_weights
from pixelwise.processor import choose_precision, compute_in
from pixelwise.progress import Advance, progress
from pixelwise.stopping import finish_step_first

_PATIENCE = 4  # epochs without a better one
_RATE = 1e-4  # of the backbone
_HEAD_RATE = 10.0  # times that: the head's numbers are few, and have to follow the features
_DECAY = 0.01  # of the weights, decoupled
_WARM_UP = 0.1  # share of the steps
_SHIFT, _STRETCH = 0.1, 0.2  # of lightness, and of contrast, at most


def tune(lesson: Lesson, start: Taught, policy: Thawed) -> Taught:
    """The head and a part of the backbone, learned together from the exact head on.

    Ctrl-C ends learning after a step; what was best until then is kept.

    Raises:
        ConfigError: there is no photo to stop by, or the backbone's last stage is not known.
        DataError, PhotoError: a photo or its labels cannot be read.
        DivergedError: the loss is no number any more.
        FrozenError: something else changed, which is a fault of ours.
    """
    require_watched(lesson)
    start_s = time.perf_counter()
    steps = Steps(lesson, policy, start.weights)
    learner, learned = steps.learner, steps.parameters
    course = _Course(lesson, steps)
    inside = [name.removeprefix(f"{BACKBONE}.") for name in learned]
    with certified(learner.backbone, leave_out=inside) as watch, finish_step_first() as asked_to_stop:
        course.run(asked_to_stop)
        interrupted = asked_to_stop()
    assert watch.certificate is not None
    changed = course.changed()
    learner.backbone.checksum = fingerprint(learner.backbone)
    return Taught(
        weights=learner.weights(),
        backbone=learner.backbone if changed else lesson.backbone,
        certificate=watch.certificate,
        how=course.describe(),
        facts=course.facts(policy),
        num_learned=sum(one.numel() for one in learned.values()),
        num_looks=start.num_looks + course.num_seen,
        extract_s=start.extract_s,
        solve_s=start.solve_s + time.perf_counter() - start_s,
        changed=changed,
        start=start.weights,
        interrupted=interrupted,
    )


class Steps:
    """The head and a part of the backbone, and how they move with each batch."""

    def __init__(self, lesson: Lesson, policy: Thawed, start: Weights) -> None:
        config = lesson.config
        self.device, self.rate = lesson.device, config.learning_rate or _RATE
        self.precision: Precision = choose_precision("auto", lesson.device)[0]
        self.weights = _class_weights(lesson)
        learner = Learner(copy.deepcopy(lesson.backbone), len(lesson.sizes), lesson.classes.num_classes)
        learner.take(start)
        learned = names_in_learner(learner.backbone, policy, learner)
        self.learner = freeze(learner).to(lesson.device)
        self.parameters = {name: one for name, one in learner.named_parameters() if name in learned}
        self.rng = random.Random(config.seed)
        self.adam = self._optimiser()

    def _optimiser(self) -> torch.optim.AdamW:
        inside, outside = (
            [one for name, one in self.parameters.items() if name.startswith(BACKBONE) == is_in]
            for is_in in (True, False)
        )
        groups = [{"params": inside, "rate": self.rate}, {"params": outside, "rate": _HEAD_RATE * self.rate}]
        return torch.optim.AdamW(groups, lr=self.rate, weight_decay=_DECAY)

    def begin(self) -> None:
        """From here on, what learns asks for gradients."""
        for one in self.parameters.values():
            one.requires_grad_(True)

    def __call__(self, batch: Batch, done: float) -> Tensor:
        """The loss before this step; `done` is the share of the steps that are behind."""
        for group in self.adam.param_groups:
            group["lr"] = group["rate"] * rate_frac(done)
        varied = vary(batch.floats(self.device), self.rng)
        with compute_in(self.precision, self.device):
            logits = self.learner(varied)
        loss = batch.loss(logits.float(), self.weights)
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        return loss


class _Course:
    """Epochs of learning; the best of them, by the photos that are watched."""

    def __init__(self, lesson: Lesson, steps: Steps) -> None:
        self.lesson, self.steps, self.epochs = lesson, steps, lesson.epochs
        self.scores = [self._score()]  # before the first epoch, and after each
        self.best = self._state()
        self.losses: list[float] = []
        self.num_seen = 0

    def run(self, asked_to_stop: Callable[[], bool]) -> None:
        """Learn until nothing gets better, epochs are over, or someone asks to stop; end with the best."""
        self.steps.begin()
        with progress("learning", self.epochs * len(self.lesson.shots)) as advance:
            for epoch in range(1, self.epochs + 1):
                self._epoch(epoch, asked_to_stop, advance)
                if asked_to_stop():
                    break
                self.scores.append(self._score())
                if self.best_epoch == epoch:
                    self.best = self._state()
                elif epoch - self.best_epoch >= _PATIENCE:
                    break
        with torch.no_grad():
            for name, one in self.best.items():
                self.steps.parameters[name].copy_(one)
        self.steps.learner.requires_grad_(False)

    @property
    def best_epoch(self) -> int:
        """The first one that no other beats; 0 is what learning began with."""
        return max(range(len(self.scores)), key=self.scores.__getitem__)

    def changed(self) -> dict[str, Tensor]:
        """What of the backbone is not as it was, by the backbone's own names, on the CPU."""
        before = dict(self.lesson.backbone.named_parameters())
        found = {}
        for name, one in self.steps.parameters.items():
            inside = name.removeprefix(f"{BACKBONE}.")
            if inside in before and not torch.equal(one.detach().cpu(), before[inside].cpu()):
                found[inside] = one.detach().cpu().clone()
        return found

    def describe(self) -> str:
        """How it went, in words."""
        best = f"the best after {self.best_epoch}" if self.best_epoch else "none better than the exact head"
        return (
            f"{len(self.losses)} epochs in {self.steps.precision}, {best}: mean intersection over union "
            f"{self.scores[0]:.3f} before and {max(self.scores):.3f} after, on {len(self.lesson.watched)} "
            "photos to stop by"
        )

    def facts(self, policy: Policy) -> dict[str, object]:
        """The same as values."""
        return {
            "policy": policy,
            "epochs": len(self.losses),
            "best_epoch": self.best_epoch,
            "learning_rate": self.steps.rate,
            "batch_size": self.lesson.config.batch_size,
            "precision": self.steps.precision,
            "losses": self.losses,
            "watched": len(self.lesson.watched),
            "watched_miou": self.scores,
        }

    def _epoch(self, epoch: int, asked_to_stop: Callable[[], bool], advance: Advance) -> None:
        lesson, rng, total = self.lesson, self.steps.rng, 0.0
        shown = [(shot, closer(rng)) for shot in lesson.shots]
        with closing(batches(lesson, shown, rng)) as some:
            for batch in some:
                done = (self.num_seen + len(batch.labels) / 2) / (self.epochs * len(shown))
                loss = self.steps(batch, done)
                total += require_number(loss, epoch) * len(batch.labels)
                self.num_seen += len(batch.labels)
                advance(len(batch.labels), f"loss {loss.item():.3f}, best overlap {max(self.scores):.3f}")
                if asked_to_stop():
                    return
        self.losses.append(total / len(shown))

    def _state(self) -> dict[str, Tensor]:
        return {name: one.detach().clone() for name, one in self.steps.parameters.items()}

    def _score(self) -> float:
        """Mean intersection over union on the photos to stop by."""
        return overlap(self.lesson, self.steps.learner, self.lesson.watched)


def overlap(lesson: Lesson, learner: Learner, photos: Sequence[LabelledPhoto]) -> float:
    """Mean intersection over union of a network as it is now, 0 to 1, over photos together."""
    sources = uncached(photos, learner.backbone, lesson)
    (counts,) = count([learner.weights()], photos, sources)
    return functools.reduce(operator.add, counts).confusion.miou


def vary(readings: Sequence[Tensor], rng: random.Random) -> list[Tensor]:
    """Each photo of a batch (N 3 H W, sRGB in [0, 1]) a little lighter or darker, flatter or harder.

    All sizes of one photo alike.
    """
    num = len(readings[0])
    shift, stretch = (
        torch.tensor([rng.uniform(-most, most) for _ in range(num)])[:, None, None, None]
        for most in (_SHIFT, _STRETCH)
    )
    return [((one - 0.5) * (1 + stretch.to(one)) + 0.5 + shift.to(one)).clamp(0, 1) for one in readings]


def rate_frac(done: float) -> float:
    """Share of the learning rate when a share of the steps is done: up a line, then down a half cosine.

    Source: I. Loshchilov, F. Hutter, arXiv:1608.03983, without restarts.
    """
    if done < _WARM_UP:
        return done / _WARM_UP
    return (1 + math.cos(math.pi * (done - _WARM_UP) / (1 - _WARM_UP))) / 2


def _class_weights(lesson: Lesson) -> Tensor | None:
    labels = (shot.read_labels() for shot in lesson.shots)
    weights = class_weights(labels, lesson.classes.num_classes, lesson.config.rebalance)
    return None if weights is None else weights.to(lesson.device)
