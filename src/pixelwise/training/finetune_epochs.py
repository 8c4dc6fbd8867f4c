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
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from pixelwise.colour.palette import IGNORE
from pixelwise.errors import DivergedError
from pixelwise.labels.confusion import Confusion
from pixelwise.labels.labelled import LabelledPhoto
from pixelwise.labels.read import resize_mask
from pixelwise.network.backbones.backbone import Backbone
from pixelwise.network.config import Precision
from pixelwise.network.device import choose_precision, compute_in
from pixelwise.network.frozen import certified, fingerprint, freeze, names_below
from pixelwise.network.losses import class_weights, cross_entropy
from pixelwise.photos.crop_view import WHOLE, View, reading_size
from pixelwise.photos.photo import open_photo
from pixelwise.photos.read_ahead import worked_ahead
from pixelwise.progress import Advance, progress
from pixelwise.segmenting.exact import random_crop
from pixelwise.segmenting.extraction import Extractor, Maps, read_photo
from pixelwise.segmenting.heads import HeadFacts
from pixelwise.segmenting.linear_head import Weights
from pixelwise.training.finetune_task import FinetuneTask, LearnedHead, learned_names
from pixelwise.training.optimise import rate_frac
from pixelwise.training.stopping import finish_step_first

_HANDOUT_RATE = 0.01
_RATE = 1e-4  # of the backbone
_HEAD_RATE = 10.0  # times that: the head's numbers are few, and have to follow the features
_DECAY = 0.01  # of the weights, decoupled
_WARM_UP = 0.1  # share of the steps
_PATIENCE = 4  # epochs without a better one
_SHIFT, _STRETCH = 0.1, 0.2  # of lightness, and of contrast, at most
_READERS = 2  # threads
_BACKBONE, _LAST_LAYER = "backbone", ("heads", "bias")  # the attributes of a `Learner` with parameters
LabelledView = tuple[LabelledPhoto, View]
Score = Callable[[FinetuneTask, "Learner"], float]
Batch = tuple[tuple[UInt8[Tensor, "N 3 _ _"], ...], UInt8[Tensor, "N H W"]]
"""Photos as a network reads them, sRGB, at every size; and their labels at the last size."""


class Learner(nn.Module):
    """A backbone and a linear head on its levels at all sizes, as one network."""

    def __init__(self, backbone: Backbone, num_sizes: int, num_classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.heads = nn.ModuleList(
            nn.Conv2d(level.channels, num_classes, 1, bias=False)
            for _ in range(num_sizes)
            for level in backbone.levels
        )
        self.bias = nn.Parameter(torch.zeros(num_classes, 1, 1))

    def forward(self, images: Sequence[Float[Tensor, "N 3 _ _"]]) -> Float[Tensor, "N K H W"]:
        """Return the logits of photos given at every size, sRGB in [0, 1]; at the last of these sizes."""
        size = images[-1].shape[-2:]
        maps = [one for image in images for one in self.backbone(image)]
        total: Tensor = self.bias
        for head, one in zip(self.heads, maps, strict=True):
            total = total + F.interpolate(head(one).float(), size, mode="bilinear", align_corners=False)
        return total

    def weights(self) -> Weights:
        """Return a copy of the last layer as one linear head, on the CPU."""
        weight = torch.cat([head.weight.detach()[..., 0, 0] for head in self._linear()], dim=1)
        return Weights(weight.cpu(), self.bias.detach().flatten().clone().cpu())

    @torch.no_grad()
    def load_head(self, weights: Weights) -> None:
        """Make a linear head the last layer."""
        layers = self._linear()
        parts = weights.weight.split([head.in_channels for head in layers], dim=1)
        for head, part in zip(layers, parts, strict=True):
            head.weight.copy_(part[..., None, None])
        self.bias.copy_(weights.bias[:, None, None])

    def _linear(self) -> list[nn.Conv2d]:
        return [head for head in self.heads if isinstance(head, nn.Conv2d)]


@dataclass(frozen=True, eq=False)
class FreshMaps:
    """Features of a photo by a backbone that learned, computed when they are read and not kept."""

    photo: LabelledPhoto
    extractor: Extractor
    sizes: Sequence[int]

    def read(self) -> Maps:
        """Return the maps, size by size and, within a size, level by level."""
        multiple = self.extractor.backbone.multiple
        images = [read_photo(self.photo.photo, size, multiple) for size in self.sizes]
        return [one for image in images for one in self.extractor(image)]


@dataclass(eq=False)
class _Learning:
    """A network that learns, its optimiser, and its losses and scores so far."""

    learner: Learner
    learned: dict[str, nn.Parameter]
    optimiser: torch.optim.Optimizer
    class_weights: Tensor | None
    precision: Precision
    rng: random.Random
    score: Score | None  # None: learn as the handout does
    num_seen: int = 0  # views of photos until now
    losses: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)  # of what learning began with, then epoch by epoch

    @property
    def best_epoch(self) -> int:
        """The first epoch that no other beats; 0 is what learning began with."""
        return max(range(len(self.scores)), key=self.scores.__getitem__)


def learn_in_epochs(
    task: FinetuneTask, start: LearnedHead | None = None, score: Score | None = None
) -> LearnedHead:
    """Learn what the policy says, starting at an exact head; or as the handout does, if `start` is None.

    Ctrl-C ends learning after a step. The best epoch is kept: by `score`, or else by `miou_of`.

    Raises:
        DataError, PhotoError: a photo or its labels cannot be read.
        DivergedError: the loss is not finite any more.
        FrozenError: something else changed, which is a fault of ours.
    """
    start_s = time.perf_counter()
    rate = task.config.learning_rate or (_RATE if start else _HANDOUT_RATE)
    run = _prepare(task, start, rate, score or miou_of)
    learner, random_head = run.learner, run.learner.weights()
    inside = [name.removeprefix(f"{_BACKBONE}.") for name in run.learned]
    with (
        certified(learner.backbone, leave_out=inside) as watch,
        finish_step_first() as asked_to_stop,
        progress("learning", task.epochs * len(task.shots)) as advance,
    ):
        _learn(task, run, asked_to_stop, advance)
        interrupted = asked_to_stop()
    assert watch.certificate is not None
    learner.requires_grad_(False)
    changed = _changed(run.learned, task.backbone)
    learner.backbone.checksum = fingerprint(learner.backbone)
    how, facts = _describe(task, run, rate)
    return LearnedHead(
        weights=learner.weights(),
        backbone=learner.backbone if changed else task.backbone,
        certificate=watch.certificate,
        how=how,
        facts=facts,
        num_learned=sum(one.numel() for one in run.learned.values()),
        num_views=run.num_seen + (start.num_views if start else 0),
        extract_s=start.extract_s if start else 0.0,
        solve_s=time.perf_counter() - start_s + (start.solve_s if start else 0.0),
        changed=changed,
        random_head=None if start else random_head,
        start=start.weights if start else None,
        interrupted=interrupted,
    )


def _prepare(task: FinetuneTask, start: LearnedHead | None, rate: float, score: Score) -> _Learning:
    config = task.config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        learner = Learner(copy.deepcopy(task.backbone), len(task.sizes), task.classes.num_classes)
    if start:
        learner.load_head(start.weights)
    inside = () if config.policy == "last-layer" else learned_names(learner.backbone, config.policy)
    names = names_below(learner, *(f"{_BACKBONE}.{name}" for name in inside), *_LAST_LAYER)
    freeze(learner).to(task.device)
    learned = {name: one for name, one in learner.named_parameters() if name in names}
    groups: list[dict[str, Any]] = [{"params": [], "rate": rate}, {"params": [], "rate": _HEAD_RATE * rate}]
    for name, one in learned.items():
        groups[0 if name.startswith(_BACKBONE) else 1]["params"].append(one.requires_grad_())
    labels = (torch.from_numpy(shot.read_labels()) for shot in task.shots)
    weights = class_weights(labels, task.classes.num_classes, config.rebalance)
    return _Learning(
        learner=learner,
        learned=learned,
        optimiser=torch.optim.AdamW(groups, lr=rate, weight_decay=_DECAY)
        if start
        else torch.optim.Adam(learned.values(), lr=rate),
        class_weights=None if weights is None else weights.to(task.device),
        precision=choose_precision("auto", task.device)[0] if start else "fp32",
        rng=random.Random(config.seed),
        score=score if start else None,
    )


def _learn(task: FinetuneTask, run: _Learning, asked_to_stop: Callable[[], bool], advance: Advance) -> None:
    """Learn epoch by epoch until scores stop rising, and go back to the best epoch."""
    run.scores = [run.score(task, run.learner)] if run.score else []
    best = copy.deepcopy(run.learned)
    for epoch in range(1, task.epochs + 1):
        loss = _learn_epoch(task, run, asked_to_stop, advance)
        if asked_to_stop():
            break
        run.losses.append(loss)
        if run.score:
            run.scores.append(run.score(task, run.learner))
            if run.best_epoch == epoch:
                best = copy.deepcopy(run.learned)
            elif epoch - run.best_epoch >= _PATIENCE:
                break
    if run.score:
        with torch.no_grad():
            for name, weights in best.items():
                run.learned[name].copy_(weights)


def _learn_epoch(
    task: FinetuneTask, run: _Learning, asked_to_stop: Callable[[], bool], advance: Advance
) -> float:
    """Pass over the photos once; return the mean loss of a photo."""
    views = [(shot, random_crop(run.rng) if run.score else WHOLE) for shot in task.shots]
    total = 0.0
    with closing(batches(task, views, run.rng)) as dealt:
        for codes, labels in dealt:
            num, images = len(labels), [one.to(task.device).float() / 255 for one in codes]
            if run.score:
                done = (run.num_seen + num / 2) / (task.epochs * len(views))
                for group in run.optimiser.param_groups:
                    group["lr"] = group["rate"] * rate_frac(done, _WARM_UP, "cosine")
                images = vary(images, run.rng)
            with compute_in(run.precision, task.device):
                logits = run.learner(images)
            loss = loss_of(logits.float(), labels.to(task.device), run.class_weights)
            if not bool(loss.isfinite()):
                found = f"{loss.item()} in epoch {len(run.losses) + 1}"
                raise DivergedError(f"needed a finite loss, got {found}; choose a smaller --learning-rate")
            run.optimiser.zero_grad()
            loss.backward()
            run.optimiser.step()
            total += loss.item() * num
            run.num_seen += num
            advance(num, f"loss {loss.item():.3f}")
            if asked_to_stop():
                break
    return total / len(views)


def batches(
    task: FinetuneTask, views: Sequence[LabelledView], rng: random.Random
) -> Generator[Batch, None, None]:
    """Yield all views once in random order, at most the configuration's batch size at a time.

    A batch has photos that are read at one height and width, so that nothing is cut, padded or stretched.
    """
    by_shape: dict[tuple[tuple[int, int], ...], list[LabelledView]] = {}
    for photo, view in rng.sample(views, len(views)):
        height, width = open_photo(photo.photo).upright_size
        seen = height * view.height, width * view.width
        shape = tuple(reading_size(*seen, size, task.backbone.multiple) for size in task.sizes)
        by_shape.setdefault(shape, []).append((photo, view))
    num = task.config.batch_size
    dealt = [same[i : i + num] for same in by_shape.values() for i in range(0, len(same), num)]
    rng.shuffle(dealt)
    yield from worked_ahead(functools.partial(_read, task), iter(dealt), _READERS)


def _read(task: FinetuneTask, views: Sequence[LabelledView]) -> Batch:
    images = tuple(
        torch.stack([read_photo(one.photo, size, task.backbone.multiple, view) for one, view in views])
        for size in task.sizes
    )
    height, width = images[-1].shape[-2:]
    labels = [resize_mask(view.cut(one.read_labels()), height, width) for one, view in views]
    return images, torch.stack([torch.from_numpy(one) for one in labels])


def loss_of(
    logits: Float[Tensor, "N K H W"], labels: UInt8[Tensor, "N H W"], weights: Tensor | None = None
) -> Float[Tensor, ""]:
    """Return the cross-entropy over labelled pixels, nats a pixel, by class weights; 0 without labels."""
    if not bool((labels != IGNORE).any()):
        return logits.sum() * 0
    return cross_entropy(logits, labels, weights=weights)


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


def miou_of(task: FinetuneTask, learner: Learner) -> float:
    """Return the mean intersection over union, 0 to 1, of a network as it is on the photos to stop by."""
    head, extractor = learner.weights(), Extractor(learner.backbone, device=task.device)
    counts = []
    for photo in task.early_stop_set:
        known = photo.read_labels()
        labels = head.labels(FreshMaps(photo, extractor, task.sizes).read(), (known.shape[0], known.shape[1]))
        counts.append(Confusion.of(labels.numpy(), known, task.classes.num_classes))
    return functools.reduce(operator.add, counts).miou


def _changed(learned: dict[str, nn.Parameter], backbone: Backbone) -> dict[str, Tensor]:
    """Return the backbone's parameters that are not as they were, by the backbone's own names, on the CPU."""
    before = {f"{_BACKBONE}.{name}": one.cpu() for name, one in backbone.named_parameters()}
    after = {name: one.detach().cpu().clone() for name, one in learned.items() if name in before}
    different = (name for name in before if name in after and not torch.equal(after[name], before[name]))
    return {name.removeprefix(f"{_BACKBONE}."): after[name] for name in different}


def _describe(task: FinetuneTask, run: _Learning, rate: float) -> tuple[str, HeadFacts]:
    """Return how the head was learned, for people and for its file."""
    num = len(run.losses)
    facts = HeadFacts(epochs=num, learning_rate=rate, batch_size=task.config.batch_size, losses=run.losses)
    if not run.score:
        losses = ", ".join(f"{loss:.3f}" for loss in run.losses)
        return f"{num} epochs of Adam at {rate:g}, the losses {losses}", facts
    num_other = len(task.early_stop_set)
    facts = replace(
        facts,
        policy=task.config.policy,
        best_epoch=run.best_epoch,
        precision=run.precision,
        watched=num_other,
        watched_miou=run.scores,
    )
    miou = f"{run.scores[0]:.3f} before and {max(run.scores):.3f} after, on {num_other} other photos"
    best = f"{num} epochs in {run.precision}, the best is {run.best_epoch}"
    return f"{best}: mean intersection over union {miou}", facts
