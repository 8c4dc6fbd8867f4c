"""A finetuning job: the photos it learns from, the backbone's parts that learn, and its result."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from pixelwise.errors import ConfigError
from pixelwise.labels.class_names import ClassNames
from pixelwise.labels.labelled import LabelledPhoto, LabelledPhotos, file_checksums
from pixelwise.network.backbone import Backbone, Certificate, open_backbone
from pixelwise.network.config import Device, FinetuneConfig
from pixelwise.segmenting.feature_cache import FeatureCache
from pixelwise.segmenting.heads import HeadFacts
from pixelwise.segmenting.linear_head import Weights
from pixelwise.segmenting.solve import SolvedHead

_HANDOUT_SIZE = 224  # short side in pixels at which the handout reads photos
_HANDOUT_EPOCHS, _EPOCHS = 10, 20
_MOST_TO_STOP_BY = 40  # photos, each of which is run after every epoch
_STOP_FRAC = 0.2  # of the photos to learn from, where no others are there to stop by
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, eq=False)
class FinetuneTask:
    """A head to be learned, and the photos that it learns from."""

    config: FinetuneConfig
    classes: ClassNames
    shots: tuple[LabelledPhoto, ...]  # to learn from
    early_stop_set: tuple[LabelledPhoto, ...] = ()  # to stop by; empty for the last layer alone
    backbone: Backbone  # as it was published; it is never changed
    sizes: tuple[int, ...]  # short sides in pixels at which photos are read
    cache: FeatureCache
    device: Device

    @property
    def epochs(self) -> int:
        """Passes over the photos, of whatever learns in passes; the most, where it stops early."""
        return self.config.epochs or (_HANDOUT_EPOCHS if self.config.solver == "adam" else _EPOCHS)


@dataclass(frozen=True, kw_only=True, eq=False)
class LearnedHead:
    """A head, and how it was learned."""

    weights: Weights
    certificate: Certificate  # that nothing else changed
    how: str  # for people
    facts: HeadFacts  # of how it learned; nothing that differs from run to run
    num_learned: int
    extract_s: float = 0.0  # seconds spent on features that were kept
    solve_s: float = 0.0  # seconds spent on the rest
    tuned: bytes = b""  # the backbone as an ONNX file, where parts of it learned along
    random_head: Weights | None = None  # that learning began with, if it did
    start: Weights | None = None  # the exact head that learning began with, if it did
    interrupted: bool = False


def make_task(
    config: FinetuneConfig,
    labelled: LabelledPhotos,
    device: Device,
    cache: FeatureCache,
    backbone: Backbone | None = None,
) -> FinetuneTask:
    """Return the task of a configuration, on its own backbone if none is given, or raise a ConfigError."""
    on = "auto" if config.has_epochs else device  # what learns along is torch's, features are ONNX Runtime's
    backbone = backbone or open_backbone(config.backbone, config.weights, on, threads=1)
    if config.then_all and (config.shots or config.has_epochs):
        raise ConfigError("--then-all is for the exact last layer: leave out --shots, --policy and --solver")
    shots = draw(labelled.train, config.shots, config.seed)
    early_stop_set: tuple[LabelledPhoto, ...] = ()
    if config.policy != "last-layer":
        shots, early_stop_set = _set_aside(shots, labelled, config)
    return FinetuneTask(
        config=config,
        classes=labelled.classes,
        shots=shots,
        early_stop_set=early_stop_set,
        backbone=backbone,
        sizes=config.sizes or ((_HANDOUT_SIZE,) if config.solver == "adam" else backbone.sizes),
        cache=cache,
        device=device,
    )


def _set_aside(
    shots: tuple[LabelledPhoto, ...], labelled: LabelledPhotos, config: FinetuneConfig
) -> tuple[tuple[LabelledPhoto, ...], tuple[LabelledPhoto, ...]]:
    """Return photos to learn from and photos to stop by: of `val`, unless scores are of that."""
    if labelled.test and labelled.val:
        return shots, draw(labelled.val, min(_MOST_TO_STOP_BY, len(labelled.val)), config.seed)
    sums = file_checksums(shot.photo for shot in shots)
    different = tuple({sums[shot.photo]: shot for shot in shots}.values())
    if len(different) < 2:
        needed = f"the policy {config.policy} needs a labelled photo to stop by"
        raise ConfigError(f"{needed}; label at least 2 to learn from")
    num = min(_MOST_TO_STOP_BY, max(1, round(_STOP_FRAC * len(different))))
    aside = {sums[shot.photo] for shot in draw(different, num, config.seed)}  # copies stay on shot side
    return (
        tuple(shot for shot in shots if sums[shot.photo] not in aside),
        tuple(shot for shot in shots if sums[shot.photo] in aside),
    )


def facts_of(solved: SolvedHead) -> HeadFacts:
    """Return the facts of a layer that was solved."""
    return HeadFacts(
        ridge=solved.ridge,
        ridge_scores={f"{ridge:g}": score for ridge, score in solved.ridge_scores.items()},
        loss=solved.loss,
        gradient_norm=solved.gradient_norm,
        num_steps=solved.num_steps,
    )


def draw(photos: Sequence[T], num: int, seed: int) -> tuple[T, ...]:
    """Draw `num` of the photos at random, in their own order; 0: all. A ConfigError if there are fewer."""
    if not photos:
        raise ConfigError("needed photos to learn from, the part train has none")
    if num > len(photos):
        raise ConfigError(
            f"needed {num} photos to learn from, there are {len(photos)} beside those held out to score on"
        )
    if num == 0:
        return tuple(photos)
    chosen = random.Random(seed).sample(range(len(photos)), num)
    return tuple(photos[index] for index in sorted(chosen))
