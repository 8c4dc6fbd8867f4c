"""Learning in epochs, by gradient steps through the network.

The policies stage and full start at the exact head, and parts of the backbone learn along. Each epoch sees
other crops of the photos, varied in light; what does best on photos that are not learned from is kept.

The solver adam learns the last layer alone as the handout does, to compare with: from a random head, on whole
photos, all epochs at one rate. What the handout got wrong is right here: the frozen part stays in evaluation
mode, labels are resized by nearest, and pixels without label do not count.
"""

from __future__ import annotations

import copy
import functools
import random
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelwise.colour.arrays import Float, UInt8
from pixelwise.colour.palette import IGNORE
from pixelwise.errors import ConfigError, DivergedError
from pixelwise.labels.confusion import Confusion
from pixelwise.labels.labelled import LabelledPhoto
from pixelwise.labels.read import resize_mask
from pixelwise.network.config import Precision
from pixelwise.photos.crop_view import WHOLE, View, reading_size
from pixelwise.photos.photo import open_photo
from pixelwise.photos.read_ahead import worked_ahead
from pixelwise.progress import Advance, progress
from pixelwise.segmenting.exact import random_crop
from pixelwise.segmenting.extraction import read_photo
from pixelwise.segmenting.heads import HeadFacts
from pixelwise.segmenting.linear_head import EnlargedLogits, Weights
from pixelwise.training.backbones import TorchBackbone, open_torch_backbone
from pixelwise.training.convert import backbone_content
from pixelwise.training.device import choose_device, choose_precision, compute_in
from pixelwise.training.finetune_task import FinetuneTask, LearnedHead
from pixelwise.training.frozen import certified, fingerprint, learn_only
from pixelwise.training.losses import class_weights, cross_entropy
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
_BACKBONE, LAST_LAYER = "backbone", ("heads", "bias")  # the attributes of a `Learner` with parameters
LabelledView = tuple[LabelledPhoto, View]
Batch = tuple[tuple[UInt8[Tensor, "N 3 _ _"], ...], UInt8[Tensor, "N H W"]]
"""Photos as a network reads them, sRGB, at every size; and their labels at the last size."""


class Learner(nn.Module):
    """A backbone and a linear head on its levels at all sizes, as one network."""

    heads: Any  # a convolution for each level of each size

    def __init__(self, backbone: TorchBackbone, num_sizes: int, num_classes: int) -> None:
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
        maps = [level for image in images for level in self.backbone(image)]
        total: Tensor = self.bias
        for head, level in zip(self.heads, maps, strict=True):
            total = total + F.interpolate(head(level).float(), size, mode="bilinear", align_corners=False)
        return total

    def weights(self) -> Weights:
        """Return a copy of the last layer as one linear head, on the CPU."""
        weight = torch.cat([head.weight.detach()[..., 0, 0] for head in self.heads], dim=1)
        return Weights(weight.cpu().numpy(), self.bias.detach().flatten().cpu().numpy().copy())

    @torch.no_grad()
    def load_head(self, weights: Weights) -> None:
        """Make a linear head the last layer."""
        parts = torch.from_numpy(weights.weight).split([head.in_channels for head in self.heads], dim=1)
        for head, part in zip(self.heads, parts, strict=True):
            head.weight.copy_(part[..., None, None])
        self.bias.copy_(torch.from_numpy(weights.bias)[:, None, None])


class _Learning:
    """A network that learns, its optimiser, and its losses and scores so far."""

    def __init__(self, task: FinetuneTask, backbone: TorchBackbone, start: LearnedHead | None) -> None:
        config, self.device = task.config, choose_device(task.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            learner = Learner(copy.deepcopy(backbone), len(task.sizes), task.classes.num_classes)
        if start:
            learner.load_head(start.weights)
        last_stage = [f"{_BACKBONE}.{prefix}" for prefix in backbone.last_stage]
        inside = {"last-layer": [], "stage": last_stage, "full": [_BACKBONE]}[config.policy]
        names = learn_only(learner, *inside, *LAST_LAYER)
        self.task, self.backbone, self.learner = task, backbone, learner.to(self.device)
        self.learned = {name: learner.get_parameter(name) for name in names}
        self.is_tuning = start is not None  # or else it learns as the handout does
        self.rate = config.learning_rate or (_RATE if start else _HANDOUT_RATE)
        last = [weights for name, weights in self.learned.items() if not name.startswith(_BACKBONE)]
        rest = [weights for name, weights in self.learned.items() if name.startswith(_BACKBONE)]
        groups = [{"params": rest, "rate": self.rate}, {"params": last, "rate": _HEAD_RATE * self.rate}]
        decay = _DECAY if start else 0.0  # without it the same as Adam
        self.optimiser = torch.optim.AdamW(groups, lr=self.rate, weight_decay=decay)
        labels = (torch.from_numpy(shot.read_labels()) for shot in task.shots)
        self.class_weights = class_weights(labels, task.classes.num_classes, config.rebalance, self.device)
        self.precision: Precision = choose_precision("auto", self.device)[0] if start else "fp32"
        self.rng = random.Random(config.seed)
        self.num_seen = 0  # views of photos until now
        self.losses: list[float] = []
        self.scores: list[float] = []  # of what learning began with, then epoch by epoch

    @property
    def best_epoch(self) -> int:
        """The first epoch that no other beats; 0 is what learning began with."""
        return max(range(len(self.scores)), key=self.scores.__getitem__)

    def learn(self, asked_to_stop: Callable[[], bool], advance: Advance) -> None:
        """Learn epoch by epoch until scores stop rising, and go back to the best epoch."""
        self.scores = [miou_of(self.task, self.learner)] if self.is_tuning else []
        best = copy.deepcopy(self.learned)
        for epoch in range(1, self.task.epochs + 1):
            loss = self._learn_epoch(asked_to_stop, advance)
            if asked_to_stop():
                break
            self.losses.append(loss)
            if self.is_tuning:
                self.scores.append(miou_of(self.task, self.learner))
                if self.best_epoch == epoch:
                    best = copy.deepcopy(self.learned)
                elif epoch - self.best_epoch >= _PATIENCE:
                    break
        if self.is_tuning:
            with torch.no_grad():
                for name, weights in best.items():
                    self.learned[name].copy_(weights)

    def _learn_epoch(self, asked_to_stop: Callable[[], bool], advance: Advance) -> float:
        views = [(shot, random_crop(self.rng) if self.is_tuning else WHOLE) for shot in self.task.shots]
        total = 0.0
        with closing(batches(self.task, views, self.rng)) as dealt:
            for codes, labels in dealt:
                loss = self._learn_batch(codes, labels, self.task.epochs * len(views))
                total += loss * len(labels)
                advance(len(labels), f"loss {loss:.3f}")
                if asked_to_stop():
                    break
        return total / len(views)

    def _learn_batch(self, codes: Sequence[Tensor], labels: Tensor, num_views: int) -> float:
        """Take one step, of those that `num_views` take; return the mean loss of a photo before it."""
        device = self.device
        images = [size.to(device).float() / 255 for size in codes]
        if self.is_tuning:
            done = (self.num_seen + len(labels) / 2) / num_views
            for group in self.optimiser.param_groups:
                group["lr"] = group["rate"] * rate_frac(done, _WARM_UP, "cosine")
            images = vary(images, self.rng)
        with compute_in(self.precision, device):
            logits = self.learner(images)
        loss = loss_of(logits.float(), labels.to(device), self.class_weights)
        if not bool(loss.isfinite()):
            found = f"{loss.item()} in epoch {len(self.losses) + 1}"
            raise DivergedError(f"needed a finite loss, got {found}; choose a smaller --learning-rate")
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.num_seen += len(labels)
        return loss.item()

    def tuned(self) -> bytes:
        """Return the backbone as an ONNX file; nothing, if none of its parameters changed."""
        learned = self.learner.backbone.cpu()
        learned.checksum = fingerprint(learned)
        return b"" if learned.checksum == fingerprint(self.backbone) else backbone_content(learned)


def open_learnable(task: FinetuneTask) -> TorchBackbone:
    """Return the backbone of a task on torch; ConfigError if its last stage is to learn and not known."""
    weights = Path(task.config.weights) if task.config.weights else None
    backbone = open_torch_backbone(task.config.backbone, weights)
    if task.config.policy == "stage" and not backbone.last_stage:
        raise ConfigError(
            f"the policy stage needs to know the last stage of {backbone.name}, and it is not known; "
            "choose last-layer or full"
        )
    return backbone


def learn_in_epochs(
    task: FinetuneTask, backbone: TorchBackbone, start: LearnedHead | None = None
) -> LearnedHead:
    """Learn what the policy says, starting at an exact head; or as the handout does, if `start` is None.

    Ctrl-C ends learning after a step. The best epoch by `miou_of` is kept. Errors are those of photos and
    labels; DivergedError if the loss is not finite any more.
    """
    start_s = time.perf_counter()
    run = _Learning(task, backbone, start)
    learner, random_head = run.learner, run.learner.weights()
    inside = [name.removeprefix(f"{_BACKBONE}.") for name in run.learned]
    with finish_step_first() as asked_to_stop:
        with (
            certified(learner.backbone, leave_out=inside) as certificate,
            progress("learning", task.epochs * len(task.shots)) as advance,
        ):
            run.learn(asked_to_stop, advance)
            interrupted = asked_to_stop()
        learner.requires_grad_(False)
        tuned = run.tuned()
    how, facts = _describe(run)
    num_looks = run.num_seen + ((start.facts.num_looks or 0) if start else 0)
    return LearnedHead(
        weights=learner.weights(),
        certificate=certificate,
        how=how,
        facts=replace(facts, num_looks=num_looks),
        num_learned=sum(weights.numel() for weights in run.learned.values()),
        extract_s=start.extract_s if start else 0.0,
        solve_s=time.perf_counter() - start_s + (start.solve_s if start else 0.0),
        tuned=tuned,
        random_head=None if start else random_head,
        start=start.weights if start else None,
        interrupted=interrupted,
    )


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


def _read_photos(task: FinetuneTask, views: Sequence[LabelledView]) -> tuple[Tensor, ...]:
    def read(size: int) -> Tensor:
        read_views = [read_photo(photo.photo, size, task.backbone.multiple, view) for photo, view in views]
        return torch.from_numpy(np.stack(read_views))

    return tuple(map(read, task.sizes))


def _read(task: FinetuneTask, views: Sequence[LabelledView]) -> Batch:
    images = _read_photos(task, views)
    height, width = images[-1].shape[-2:]
    labels = [resize_mask(view.cut(photo.read_labels()), height, width) for photo, view in views]
    return images, torch.stack([torch.from_numpy(mask) for mask in labels])


def loss_of(
    logits: Float[Tensor, "N K H W"], labels: UInt8[Tensor, "N H W"], weights: Tensor | None = None
) -> Float[Tensor, ""]:
    """Return the cross-entropy over labelled pixels, nats a pixel, by class weights; 0 without labels."""
    if not bool((labels != IGNORE).any()):
        return logits.sum() * 0
    return cross_entropy(logits, labels, weights=weights)


def vary(images: Sequence[Tensor], rng: random.Random) -> list[Tensor]:
    """Vary light and contrast of each photo of a batch (N 3 H W, sRGB in [0, 1]), alike at all its sizes."""
    num = len(images[0])
    shift, stretch = (
        torch.tensor([rng.uniform(-most, most) for _ in range(num)])[:, None, None, None]
        for most in (_SHIFT, _STRETCH)
    )
    return [((batch - 0.5) * (1 + stretch.to(batch)) + 0.5 + shift.to(batch)).clamp(0, 1) for batch in images]


@torch.no_grad()
def miou_of(task: FinetuneTask, learner: Learner) -> float:
    """Return the mean intersection over union, 0 to 1, of a network on the photos to stop by."""
    head, counts = learner.weights(), []
    for photo in task.early_stop_set:
        known = photo.read_labels()
        size = (known.shape[0], known.shape[1])
        codes = _read_photos(task, [(photo, WHOLE)])
        images = [one.to(learner.bias.device).float() / 255 for one in codes]
        maps = [level[0].float().cpu().numpy() for image in images for level in learner.backbone(image)]
        (logits,) = EnlargedLogits.of([head], maps, size)
        counts.append(Confusion.of(logits.labels(0, size[0]), known, task.classes.num_classes))
    return sum(counts[1:], counts[0]).miou


def _describe(run: _Learning) -> tuple[str, HeadFacts]:
    num, num_other, config = len(run.losses), len(run.task.early_stop_set), run.task.config
    facts = HeadFacts(epochs=num, learning_rate=run.rate, batch_size=config.batch_size, losses=run.losses)
    if not run.is_tuning:
        losses = ", ".join(f"{loss:.3f}" for loss in run.losses)
        return f"{num} epochs of Adam at {run.rate:g}, the losses {losses}", facts
    facts = replace(
        facts,
        policy=config.policy,
        best_epoch=run.best_epoch,
        precision=run.precision,
        watched=num_other,
        watched_miou=run.scores,
    )
    miou = f"{run.scores[0]:.3f} before and {max(run.scores):.3f} after, on {num_other} other photos"
    best = f"{num} epochs in {run.precision}, the best is {run.best_epoch}"
    return f"{best}: mean intersection over union {miou}", facts
