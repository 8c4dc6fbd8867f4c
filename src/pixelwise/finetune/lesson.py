"""What is to be learned, from what, and what came of it: the same for every way of learning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from pixelwise.backbones import Backbone
from pixelwise.classnames import ClassNames
from pixelwise.config import FinetuneConfig
from pixelwise.data.labelled import LabelledPhoto, LabelledPhotos
from pixelwise.errors import ConfigError, DivergedError
from pixelwise.features import FeatureCache
from pixelwise.finetune.policies import learned_names
from pixelwise.finetune.shots import copies_together, draw, unfold
from pixelwise.frozen import Certificate
from pixelwise.head import Weights

_HANDOUT_SIZE = 224  # short side in pixels at which the handout reads photos
_HANDOUT_EPOCHS, _EPOCHS = 10, 20
_MOST_WATCHED = 40  # photos to stop by: each epoch looks at all of them
_WATCHED_FRAC = 0.2  # of the photos to learn from, where no others are there to stop by
_TRIAL_EPOCHS = 6
_MOST_WATCHED_IN_TRIAL, _MOST_MEASURED = 20, 60  # photos
_FOLD = 3  # of photos to learn from, one of so many is left out of a trial where no others are
_FEWEST = 4  # photos, to learn from some, stop by one and measure on another


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
    different = copies_together(shots)
    if len(different) < 2:
        return shots, ()
    num = min(_MOST_WATCHED, max(1, round(_WATCHED_FRAC * len(different))))
    watched = unfold(draw(different, num, seed))
    return tuple(one for one in shots if one not in watched), watched


def require_possible(lesson: Lesson, held_out: Sequence[LabelledPhoto]) -> None:
    """Refuse, before anything takes time, what would fail at the end; photos `held_out` are for advice.

    Raises:
        ConfigError: there are too few photos to stop by or for advice, the backbone's last stage is not
            known, or all photos are to be learned from in a way that needs some to stop by.
    """
    config = lesson.config
    if config.then_all and (config.shots or config.has_epochs):
        raise ConfigError("--then-all is for the exact last layer: leave out --shots, --policy and --solver")
    if config.policy != "last-layer":
        require_watched(lesson)
        learned_names(lesson.backbone, config.policy)
    if config.advise:
        split_trial(lesson, held_out)


def require_watched(lesson: Lesson) -> None:
    """Refuse a lesson without photos to stop by.

    Raises:
        ConfigError: there is none.
    """
    if not lesson.watched:
        raise ConfigError(
            f"the policy {lesson.config.policy} needs a labelled photo to stop by; "
            "label at least 2 to learn from"
        )


def split_trial(
    lesson: Lesson, held_out: Sequence[LabelledPhoto]
) -> tuple[Lesson, tuple[LabelledPhoto, ...]]:
    """A short lesson of the policy stage, and others to measure on: none to learn or to stop by.

    One half of the photos held out says when to stop, the other what is gained. With fewer than two of them,
    a part of the photos to learn from is held out instead.

    Raises:
        ConfigError: there are too few photos, or the backbone's last stage is not known.
    """
    learned_names(lesson.backbone, "stage")
    config, shots = lesson.config, lesson.shots
    apart = copies_together(held_out)
    if len(apart) < 2:
        different = copies_together(shots)
        if len(different) < _FEWEST:
            raise ConfigError(
                f"advice needs at least 2 labelled photos that are not learned from, or {_FEWEST} that are, "
                f"got {len(apart)} and {len(different)}; label more"
            )
        apart = list(draw(different, max(2, len(different) // _FOLD), config.seed))
        shots = tuple(one for one in shots if one not in unfold(apart))
    watched, measured = (
        unfold(draw(some, min(most, len(some)), config.seed))
        for some, most in ((apart[::2], _MOST_WATCHED_IN_TRIAL), (apart[1::2], _MOST_MEASURED))
    )
    trial = replace(config, advise=False, policy="stage", epochs=_TRIAL_EPOCHS)
    return replace(lesson, config=trial, shots=shots, watched=watched), measured


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
    untaught: Weights | None = None
    """The random head that it began with, where it did."""
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
