"""The last layer as the handout learns it, to compare with: epochs of Adam, the backbone run for every batch.

Nothing is kept between epochs and all is computed in single precision; labels are brought to the size at
which photos are read. What the handout got wrong is right: the frozen part stays in evaluation mode, labels
are resized by nearest, and pixels without label count for nothing.
"""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Callable
from contextlib import closing

import torch
import torch._dynamo  # what torch imports with its first optimiser: 2 s that are no learning
from torch import Tensor

from pixelwise.finetune.batches import Batch, batches
from pixelwise.finetune.lesson import Lesson, Taught, require_number
from pixelwise.finetune.policies import LAST_LAYER, Learner
from pixelwise.frozen import certified, learn_only
from pixelwise.photos.view import WHOLE
from pixelwise.progress import progress
from pixelwise.stopping import finish_step_first

_RATE = 0.01


def learn_by_adam(lesson: Lesson) -> Taught:
    """The last layer after some epochs.

    Raises:
        DataError, PhotoError: a photo or its labels cannot be read.
        DivergedError: the loss is no number any more.
        FrozenError: the backbone changed, which is a fault of ours.
    """
    start_s = time.perf_counter()
    steps = Steps(lesson)
    untaught = steps.learner.weights()
    with certified(steps.learner.backbone) as watch, finish_step_first() as asked_to_stop:
        losses = _epochs(lesson, steps, asked_to_stop)
        stopped = asked_to_stop()
    assert watch.certificate is not None
    weights = steps.learner.weights()
    return Taught(
        weights=weights,
        backbone=lesson.backbone,
        certificate=watch.certificate,
        how=f"{len(losses)} epochs of Adam at {steps.rate:g}, the loss {losses[-1]:.3f} in the last"
        if losses
        else "no epoch was finished",
        facts={
            "epochs": len(losses),
            "learning_rate": steps.rate,
            "batch_size": lesson.config.batch_size,
            "losses": losses,
        },
        num_learned=weights.num_learned,
        num_looks=len(losses) * len(lesson.shots),
        solve_s=time.perf_counter() - start_s,
        untaught=untaught,
        interrupted=stopped,
    )


class Steps:
    """A new last layer, and how it moves with each batch."""

    def __init__(self, lesson: Lesson) -> None:
        self.device, self.rate = lesson.device, lesson.config.learning_rate or _RATE
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(lesson.config.seed)
            learner = Learner(copy.deepcopy(lesson.backbone), len(lesson.sizes), lesson.classes.num_classes)
        self.learner = learner.to(lesson.device)
        learn_only(self.learner, *LAST_LAYER)
        self.adam = torch.optim.Adam([p for p in self.learner.parameters() if p.requires_grad], lr=self.rate)

    def __call__(self, batch: Batch) -> Tensor:
        """The loss before this step."""
        loss = batch.loss(self.learner(batch.floats(self.device)))
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        return loss


def _epochs(lesson: Lesson, steps: Steps, asked_to_stop: Callable[[], bool]) -> list[float]:
    """The mean loss of each epoch that was finished."""
    rng = random.Random(lesson.config.seed)
    shown = [(shot, WHOLE) for shot in lesson.shots]
    losses: list[float] = []
    with progress("learning by Adam", lesson.epochs * len(shown)) as advance:
        for epoch in range(1, lesson.epochs + 1):
            total = 0.0
            with closing(batches(lesson, shown, rng)) as some:
                for batch in some:
                    loss = steps(batch)
                    total += require_number(loss, epoch) * len(batch.labels)
                    advance(len(batch.labels), f"loss {loss.item():.3f}")
                    if asked_to_stop():
                        return losses
            losses.append(total / len(shown))
    return losses
