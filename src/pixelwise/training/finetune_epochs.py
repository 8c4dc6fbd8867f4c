"""Learning in epochs, by gradient steps through the network.

The policies stage and full start at the exact head: parts of the backbone learn along with it. Each epoch
sees other crops of the photos, mirrored or not, a little lighter, darker, flatter or harder; what does best
on photos that are not learned from is kept, which may be the exact head itself.

The solver adam learns the last layer alone as the handout does, to compare with: from a random head, on whole
photos, all epochs at one rate. What the handout got wrong is right here: the frozen part stays in evaluation
mode, labels are resized by nearest, and pixels without label do not count.
"""

from __future__ import annotations

import copy
import functools
import operator
import random
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pixelwise.evaluate.counting import count, fresh_features
from pixelwise.network.backbones.backbone import Backbone
from pixelwise.network.config import Precision
from pixelwise.network.device import choose_precision, compute_in
from pixelwise.network.frozen import certified, fingerprint, freeze, names_below
from pixelwise.network.losses import class_weights
from pixelwise.photos.crop_view import WHOLE
from pixelwise.progress import Advance, progress
from pixelwise.segmenting.exact import random_crop
from pixelwise.segmenting.task import (
    BACKBONE,
    LAST_LAYER,
    FinetuneTask,
    LearnedHead,
    Learner,
    learned_names,
)
from pixelwise.training.finetune_batches import batches, finite
from pixelwise.training.optimise import rate_frac
from pixelwise.training.stopping import finish_step_first

_HANDOUT_RATE = 0.01
_RATE = 1e-4  # of the backbone
_HEAD_RATE = 10.0  # times that: the head's numbers are few, and have to follow the features
_DECAY = 0.01  # of the weights, decoupled
_WARM_UP = 0.1  # share of the steps
_PATIENCE = 4  # epochs without a better one
_SHIFT, _STRETCH = 0.1, 0.2  # of lightness, and of contrast, at most
Parameters = dict[str, nn.Parameter]


@dataclass(eq=False)
class _Run:
    """A network that learns, and what moves it."""

    learner: Learner
    learned: Parameters
    optimiser: torch.optim.Optimizer
    class_weights: Tensor | None
    precision: Precision
    rng: random.Random
    is_tuning: bool
    """Whether it starts at an exact head, rather than learn as the handout does."""
    num_seen: int = 0
    """Views of photos until now."""


def learn_in_epochs(
    task: FinetuneTask,
    start: LearnedHead | None = None,
    score: Callable[[FinetuneTask, Learner], float] | None = None,
) -> LearnedHead:
    """Learn what the policy says, starting at an exact head; or as the handout does, if `start` is None.

    Ctrl-C ends learning after a step. The best epoch is kept: by `score`, or else by `miou_of`.

    Raises:
        DataError, PhotoError: a photo or its labels cannot be read.
        DivergedError: the loss is not finite any more.
        FrozenError: something else changed, which is a fault of ours.
    """
    start_s, score = time.perf_counter(), score or miou_of
    rate = task.config.learning_rate or (_RATE if start else _HANDOUT_RATE)
    run = _prepare(task, start, rate)
    learner, learned = run.learner, run.learned
    random_head, scores = learner.weights(), [score(task, learner)] if start else []
    best, losses = _copies(learned), []
    for one in learned.values():
        one.requires_grad_(True)
    inside = [name.removeprefix(f"{BACKBONE}.") for name in learned]
    with (
        certified(learner.backbone, leave_out=inside) as watch,
        finish_step_first() as asked_to_stop,
        progress("learning", task.epochs * len(task.shots)) as advance,
    ):
        for epoch in range(1, task.epochs + 1):
            loss = _learn_epoch(task, run, epoch, asked_to_stop, advance)
            if asked_to_stop():
                break
            losses.append(loss)
            if start:
                scores.append(score(task, learner))
                if _best(scores) == epoch:
                    best = _copies(learned)
                elif epoch - _best(scores) >= _PATIENCE:
                    break
        if start:
            with torch.no_grad():
                for name, weights in best.items():
                    learned[name].copy_(weights)
        interrupted = asked_to_stop()
    learner.requires_grad_(False)
    changed = _changed(learned, task.backbone)
    learner.backbone.checksum = fingerprint(learner.backbone)
    facts = {
        "policy": task.config.policy,
        "epochs": len(losses),
        "best_epoch": _best(scores) if start else 0,
        "learning_rate": rate,
        "batch_size": task.config.batch_size,
        "precision": run.precision,
        "losses": losses,
        "watched": len(task.early_stop_set),
        "watched_miou": scores,
    }
    if not start:
        for name in ("policy", "best_epoch", "precision", "watched", "watched_miou"):
            del facts[name]
    assert watch.certificate is not None
    return LearnedHead(
        weights=learner.weights(),
        backbone=learner.backbone if changed else task.backbone,
        certificate=watch.certificate,
        how=_describe(facts),
        facts=facts,
        num_learned=sum(one.numel() for one in learned.values()),
        num_views=run.num_seen + (start.num_views if start else 0),
        extract_s=start.extract_s if start else 0.0,
        solve_s=time.perf_counter() - start_s + (start.solve_s if start else 0.0),
        changed=changed,
        random_head=None if start else random_head,
        start=start.weights if start else None,
        interrupted=interrupted,
    )


def _learn_epoch(
    task: FinetuneTask, run: _Run, epoch: int, asked_to_stop: Callable[[], bool], advance: Advance
) -> float:
    """Pass over the photos once; return the mean loss of a photo."""
    views = [(shot, random_crop(run.rng) if run.is_tuning else WHOLE) for shot in task.shots]
    total = 0.0
    with closing(batches(task, views, run.rng)) as some:
        for batch in some:
            num, images = len(batch.labels), batch.floats(task.device)
            if run.is_tuning:
                done = (run.num_seen + num / 2) / (task.epochs * len(views))
                for group in run.optimiser.param_groups:
                    group["lr"] = group["rate"] * rate_frac(done, _WARM_UP, "cosine")
                images = vary(images, run.rng)
            with compute_in(run.precision, task.device):
                logits = run.learner(images)
            loss = batch.loss(logits.float(), run.class_weights)
            run.optimiser.zero_grad()
            loss.backward()
            run.optimiser.step()
            total += finite(loss, epoch) * num
            run.num_seen += num
            advance(num, f"loss {loss.item():.3f}")
            if asked_to_stop():
                break
    return total / len(views)


def _prepare(task: FinetuneTask, start: LearnedHead | None, rate: float) -> _Run:
    config = task.config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        learner = Learner(copy.deepcopy(task.backbone), len(task.sizes), task.classes.num_classes)
    inside: tuple[str, ...] = ()
    if start:
        learner.load_head(start.weights)
    if config.policy != "last-layer":
        inside = learned_names(learner.backbone, config.policy)
    names = names_below(learner, *(f"{BACKBONE}.{name}" for name in inside), *LAST_LAYER)
    freeze(learner).to(task.device)
    learned = {name: one for name, one in learner.named_parameters() if name in names}
    labels = (shot.read_labels() for shot in task.shots)
    weights = class_weights(labels, task.classes.num_classes, config.rebalance)
    return _Run(
        learner=learner,
        learned=learned,
        optimiser=_optimiser(learned, rate) if start else torch.optim.Adam(learned.values(), lr=rate),
        class_weights=None if weights is None else weights.to(task.device),
        precision=choose_precision("auto", task.device)[0] if start else "fp32",
        rng=random.Random(config.seed),
        is_tuning=start is not None,
    )


def _optimiser(learned: Parameters, rate: float) -> torch.optim.AdamW:
    inside = [one for name, one in learned.items() if name.startswith(BACKBONE)]
    outside = [one for name, one in learned.items() if not name.startswith(BACKBONE)]
    groups = [{"params": inside, "rate": rate}, {"params": outside, "rate": _HEAD_RATE * rate}]
    return torch.optim.AdamW(groups, lr=rate, weight_decay=_DECAY)


def vary(images: Sequence[Tensor], rng: random.Random) -> list[Tensor]:
    """Make each photo of a batch (N 3 H W, sRGB in [0, 1]) a little lighter or darker, flatter or harder.

    All sizes of one photo change alike.
    """
    num = len(images[0])
    shift, stretch = (
        torch.tensor([rng.uniform(-most, most) for _ in range(num)])[:, None, None, None]
        for most in (_SHIFT, _STRETCH)
    )
    return [((one - 0.5) * (1 + stretch.to(one)) + 0.5 + shift.to(one)).clamp(0, 1) for one in images]


def _copies(learned: Parameters) -> dict[str, Tensor]:
    return {name: one.detach().clone() for name, one in learned.items()}


def _best(scores: Sequence[float]) -> int:
    """Return the first epoch that no other beats; 0 is what learning began with."""
    return max(range(len(scores)), key=scores.__getitem__)


def _changed(learned: Parameters, backbone: Backbone) -> dict[str, Tensor]:
    """Return the backbone's parameters that are not as they were, by the backbone's own names, on the CPU."""
    changed = {}
    for name, before in backbone.named_parameters():
        after = learned.get(f"{BACKBONE}.{name}")
        if after is not None and not torch.equal(after.detach().cpu(), before.cpu()):
            changed[name] = after.detach().cpu().clone()
    return changed


def _describe(facts: dict[str, Any]) -> str:
    num = facts["epochs"]
    if not num:
        return "no epoch was finished"
    if "best_epoch" not in facts:
        rate, loss = facts["learning_rate"], facts["losses"][-1]
        return f"{num} epochs of Adam at {rate:g}, the loss {loss:.3f} in the last"
    best, scores = facts["best_epoch"], facts["watched_miou"]
    return (
        f"{num} epochs in {facts['precision']}, "
        f"{f'the best after {best}' if best else 'none better than the exact head'}: mean intersection over "
        f"union {scores[0]:.3f} before and {max(scores):.3f} after, on {facts['watched']} photos to stop by"
    )


def miou_of(task: FinetuneTask, learner: Learner) -> float:
    """Return the mean intersection over union, 0 to 1, of a network as it is on the photos to stop by."""
    photos = task.early_stop_set
    (counts,) = count(
        [learner.weights()], photos, fresh_features(photos, learner.backbone, task.sizes, task.device)
    )
    return functools.reduce(operator.add, counts).confusion.miou
