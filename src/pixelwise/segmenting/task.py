"""What is to be learned from masks, and what came of it, whichever way it is learned."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pixelwise.errors import ConfigError
from pixelwise.labels.class_names import ClassNames
from pixelwise.labels.labelled import LabelledPhoto, LabelledPhotos
from pixelwise.network.backbones import open_backbone
from pixelwise.network.backbones.backbone import Backbone
from pixelwise.network.config import FinetuneConfig
from pixelwise.network.frozen import Certificate
from pixelwise.segmenting.feature_cache import FeatureCache
from pixelwise.segmenting.objective import Weights
from pixelwise.segmenting.policies import learned_names
from pixelwise.segmenting.shots import draw, group_copies, ungroup

_HANDOUT_SIZE = 224  # short side in pixels at which the handout reads photos
_HANDOUT_EPOCHS, _EPOCHS = 10, 20
_MOST_TO_STOP_BY = 40  # photos, each of which is run after every epoch
_STOP_FRAC = 0.2  # of the photos to learn from, where no others are there to stop by


@dataclass(frozen=True, kw_only=True, eq=False)
class FinetuneTask:
    """What is to be learned, and from what."""

    config: FinetuneConfig
    classes: ClassNames
    shots: tuple[LabelledPhoto, ...]
    """Photos to learn from."""
    early_stop_set: tuple[LabelledPhoto, ...] = ()
    """Photos to stop by; empty for the last layer alone."""
    backbone: Backbone
    """As it was published; it is never changed."""
    sizes: tuple[int, ...]
    """Short sides in pixels at which photos are read."""
    cache: FeatureCache
    device: torch.device

    @property
    def epochs(self) -> int:
        """Passes over the photos, of whatever learns in passes; the most, where it stops early."""
        return self.config.epochs or (_HANDOUT_EPOCHS if self.config.solver == "adam" else _EPOCHS)


@dataclass(frozen=True, kw_only=True, eq=False)
class LearnedHead:
    """A head, the backbone that it reads, and how it was learned."""

    weights: Weights
    backbone: Backbone
    """The task's, or a copy with parts that learned along."""
    certificate: Certificate
    """Proof that nothing else changed."""
    how: str
    """How it was learned, for people."""
    facts: dict[str, Any]
    """How it was learned, for the head's file; nothing that differs from run to run."""
    num_learned: int
    num_views: int
    extract_s: float = 0.0
    """Seconds spent on features that were kept."""
    solve_s: float = 0.0
    """Seconds spent on the rest."""
    changed: dict[str, Tensor] = field(default_factory=dict)
    """Parameters of the backbone that learned along, by name."""
    random_head: Weights | None = None
    """The random head that learning began with, if it did."""
    start: Weights | None = None
    """The exact head that learning began with, if it did."""
    interrupted: bool = False


def make_task(
    config: FinetuneConfig,
    labelled: LabelledPhotos,
    device: torch.device,
    cache: FeatureCache,
    backbone: Backbone | None = None,
) -> FinetuneTask:
    """Return the task that a configuration describes, and refuse what would fail at the end.

    `backbone` is opened as the configuration says, if None.

    Raises:
        ConfigError: there are too few photos, options exclude each other, or the policy is stage and the
            backbone does not say what its last stage is.
    """
    backbone = backbone or open_backbone(config.backbone, Path(config.weights) if config.weights else None)
    if config.then_all and (config.shots or config.has_epochs):
        raise ConfigError("--then-all is for the exact last layer: leave out --shots, --policy and --solver")
    shots = draw(labelled.train, config.shots, config.seed)
    early_stop_set: tuple[LabelledPhoto, ...] = ()
    if config.policy != "last-layer":
        shots, early_stop_set = _set_aside(shots, labelled, config)
        learned_names(backbone, config.policy)
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
    different = group_copies(shots)
    if len(different) < 2:
        raise ConfigError(
            f"the policy {config.policy} needs a labelled photo to stop by; label at least 2 to learn from"
        )
    num = min(_MOST_TO_STOP_BY, max(1, round(_STOP_FRAC * len(different))))
    early_stop_set = ungroup(draw(different, num, config.seed))
    return tuple(one for one in shots if one not in early_stop_set), early_stop_set
