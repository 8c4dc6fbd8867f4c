"""The last layer as the handout learns it, to compare with: epochs of Adam, the backbone run for every batch.

Nothing is kept between epochs and all is computed in single precision; labels are brought to the size at
which photos are read. What the handout got wrong is right: the frozen part stays in evaluation mode, labels
are resized by nearest, and pixels without label count for nothing.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import closing

import torch
import torch._dynamo  # what torch imports with its first optimiser: 2 s that are no learning

from pixelwise.finetune.batches import batches
from pixelwise.finetune.lesson import Lesson, Taught, require_number
from pixelwise.finetune.policies import LAST_LAYER, Learner
from pixelwise.frozen import certified, learn_only
from pixelwise.photos.view import WHOLE
from pixelwise.progress import progress
from pixelwise.stopping import finish_step_first

_EPOCHS = 10  # the handout's
_RATE = 0.01


def learn_by_adam(lesson: Lesson) -> Taught:
    """The last layer after some epochs.

    Raises:
        DataError, PhotoError: a photo or its labels cannot be read.
        DivergedError: the loss is no number any more.
        FrozenError: the backbone changed, which is a fault of ours.
    """
    start_s = time.perf_counter()
    config = lesson.config
    epochs, rate = config.epochs or _EPOCHS, config.learning_rate or _RATE
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        learner = Learner(lesson.backbone, len(lesson.sizes), lesson.classes.num_classes).to(lesson.device)
    learn_only(learner, *LAST_LAYER)
    adam = torch.optim.Adam([one for one in learner.parameters() if one.requires_grad], lr=rate)
    with certified(lesson.backbone) as watch, finish_step_first() as asked_to_stop:
        losses = _epochs(lesson, learner, adam, epochs, asked_to_stop)
        stopped = asked_to_stop()
    assert watch.certificate is not None
    weights = learner.weights()
    return Taught(
        weights=weights,
        backbone=lesson.backbone,
        certificate=watch.certificate,
        how=f"{len(losses)} epochs of Adam at {rate:g}, the loss {losses[-1]:.3f} in the last"
        if losses
        else "no epoch was finished",
        facts={
            "epochs": len(losses),
            "learning_rate": rate,
            "batch_size": config.batch_size,
            "losses": losses,
        },
        num_learned=weights.num_learned,
        num_looks=len(losses) * len(lesson.shots),
        solve_s=time.perf_counter() - start_s,
        interrupted=stopped,
    )


def _epochs(
    lesson: Lesson,
    learner: Learner,
    adam: torch.optim.Optimizer,
    epochs: int,
    asked_to_stop: Callable[[], bool],
) -> list[float]:
    """The mean loss of each epoch that was finished."""
    rng = random.Random(lesson.config.seed)
    shown = [(shot, WHOLE) for shot in lesson.shots]
    losses: list[float] = []
    with progress("learning by Adam", epochs * len(shown)) as advance:
        for epoch in range(1, epochs + 1):
            total = 0.0
            with closing(batches(lesson, shown, rng)) as some:
                for batch in some:
                    loss = batch.loss(learner(batch.floats(lesson.device)))
                    adam.zero_grad()
                    loss.backward()
                    adam.step()
                    total += require_number(loss, epoch) * len(batch.labels)
                    advance(len(batch.labels), f"loss {loss.item():.3f}")
                    if asked_to_stop():
                        return losses
            losses.append(total / len(shown))
    return losses
