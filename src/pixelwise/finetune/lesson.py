"""What is to be learned, from what, and what came of it: the same for every way of learning."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pixelwise.backbones import Backbone
from pixelwise.classnames import ClassNames
from pixelwise.config import FinetuneConfig
from pixelwise.data.labelled import LabelledPhoto, LabelledPhotos
from pixelwise.errors import DivergedError
from pixelwise.features import FeatureCache
from pixelwise.finetune.shots import draw
from pixelwise.frozen import Certificate
from pixelwise.head import Weights

_HANDOUT_SIZE = 224  # short side in pixels at which the handout reads photos
_HANDOUT_EPOCHS, _EPOCHS = 10, 20
_MOST_WATCHED = 40  # photos to stop by: each epoch looks at all of them
_WATCHED_FRAC = 0.2  # of the photos to learn from, where no others are there to stop by


@dataclass(frozen=True, kw_only=True, eq=False)
class Lesson:
    """What is to be learned, and from what."""

    config: FinetuneConfig
    classes: ClassNames
    shots: tuple[LabelledPhoto, ...]
    """To learn from."""
    watched: tuple[LabelledPhoto, ...] = ()
    """To stop by, where learning has to be stopped."""
    backbone: Backbone
    """As it was published; it stays so."""
    sizes: tuple[int, ...]
    """Short sides in pixels at which photos are read."""
    cache: FeatureCache
    device: torch.device

    @property
    def epochs(self) -> int:
        """Passes over the photos, where there are any: at most so many with the policies stage and full."""
        return self.config.epochs or (_HANDOUT_EPOCHS if self.config.solver == "adam" else _EPOCHS)


def prepare(
    config: FinetuneConfig,
    labelled: LabelledPhotos,
    backbone: Backbone,
    device: torch.device,
    cache: FeatureCache,
) -> Lesson:
    """What a configuration asks for.

    Raises:
        ConfigError: more shots than there are photos.
    """
    shots = draw(labelled.train, config.shots, config.seed)
    watched: tuple[LabelledPhoto, ...] = ()
    if config.policy != "last-layer":
        shots, watched = _set_aside(shots, labelled, config.seed)
    return Lesson(
        config=config,
        classes=labelled.classes,
        shots=shots,
        watched=watched,
        backbone=backbone,
        sizes=config.sizes or ((_HANDOUT_SIZE,) if config.solver == "adam" else backbone.sizes),
        cache=cache,
        device=device,
    )


def _set_aside(
    shots: tuple[LabelledPhoto, ...], labelled: LabelledPhotos, seed: int
) -> tuple[tuple[LabelledPhoto, ...], tuple[LabelledPhoto, ...]]:
    """Photos to learn from and photos to stop by: of `val`, unless scores are of that; else of the former."""
    if labelled.test and labelled.val:
        return shots, draw(labelled.val, min(_MOST_WATCHED, len(labelled.val)), seed)
    if len(shots) < 2:
        return shots, ()
    num = min(_MOST_WATCHED, max(1, round(_WATCHED_FRAC * len(shots))))
    watched = draw(shots, num, seed)
    return tuple(one for one in shots if one not in watched), watched


@dataclass(frozen=True, kw_only=True, eq=False)
class Taught:
    """A head, the backbone that it reads, and how it was learned."""

    weights: Weights
    backbone: Backbone
    """The lesson's, or a copy of it with parts that learned along."""
    certificate: Certificate
    """That nothing else changed."""
    how: str
    """How it was learned, in a few words for people."""
    facts: dict[str, Any]
    """The same as values, none of which differs from run to run."""
    num_learned: int
    num_looks: int
    """At photos, whole and closer, each time counted."""
    extract_s: float = 0.0
    """Seconds spent on features that were kept."""
    solve_s: float = 0.0
    """Seconds spent on learning from them or, where none were kept, on all of it."""
    changed: dict[str, Tensor] = field(default_factory=dict)
    """Parameters of the backbone that learned along."""
    start: Weights | None = None
    """The exact head that it began with, where it did."""
    interrupted: bool = False
    """Whether it was asked to stop early."""


def require_number(loss: Tensor, epoch: int) -> float:
    """The loss of a step as a number.

    Raises:
        DivergedError: it is none.
    """
    if not bool(loss.isfinite()):
        raise DivergedError(
            f"needed a loss that is a number, got {loss.item()} in epoch {epoch}; "
            "choose a smaller --learning-rate"
        )
    return loss.item()
