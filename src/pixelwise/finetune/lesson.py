"""What is to be learned, from what, and what came of it: the same for every way of learning."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pixelwise.backbones import Backbone
from pixelwise.classnames import ClassNames
from pixelwise.config import FinetuneConfig
from pixelwise.data.labelled import LabelledPhoto
from pixelwise.errors import DivergedError
from pixelwise.features import FeatureCache
from pixelwise.frozen import Certificate
from pixelwise.head import Weights


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
