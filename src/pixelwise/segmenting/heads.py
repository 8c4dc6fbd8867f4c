"""Heads on disk: a linear head, what its classes mean, and which frozen backbone it belongs to.

The file names the backbone and the checksum of its weights, so that a head is never put on features it was
not learned from. Where parts of the backbone learned along, it holds the whole backbone, as an ONNX file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from pixelwise.errors import CheckpointError, LabelError
from pixelwise.labels.class_names import ClassNames
from pixelwise.network.backbone import Backbone, Certificate
from pixelwise.network.cards import SHIPPED_HEADS, check_weights, shipped_heads, shipped_models, weights_path
from pixelwise.network.linear import checked_layer
from pixelwise.network.session import OnnxNetwork
from pixelwise.network.tensors import first_line, read_tensors, write_tensors
from pixelwise.segmenting.linear_head import Weights

_KIND = "head"
_BACKBONE = "backbone_onnx"  # the name of a backbone in a file
_MAX_SIZE = 2**15  # pixels of a short side
_MARK_DIGITS = 12  # of a photo's checksum: two of a million photos are alike once in 500 times


@dataclass(frozen=True, kw_only=True)
class HeadFacts:
    """Facts of how a head was learned, by the keys of its file and of JSON; None where that is not known."""

    source: str | None = None
    num_images: int | None = None  # learned from
    photos: tuple[str, ...] | None = None  # the `photo_mark` of each
    num_looks: int | None = None  # views of them
    certificate: Certificate | None = None
    watched_photos: tuple[str, ...] | None = None  # the `photo_mark` of each that decided when to stop
    # solved exactly
    ridge: float | None = None
    ridge_scores: dict[str, float] | None = None  # by ridge tried
    loss: float | None = None  # nats a pixel
    gradient_norm: float | None = None
    num_steps: int | None = None
    # learned in epochs
    epochs: int | None = None
    learning_rate: float | None = None
    batch_size: int | None = None
    losses: list[float] | None = None  # by epoch, nats a pixel
    policy: str | None = None
    best_epoch: int | None = None
    precision: str | None = None
    watched: int | None = None  # number of `watched_photos`
    watched_miou: list[float] | None = None  # on these: at the start, then by epoch
    # scored
    scored_on: str | None = None  # the part of the source
    num_scored: int | None = None
    scores: dict[str, Any] | None = None  # as `SegmentationScores.intervals` returns them
    scored_num_images: int | None = None  # that the scored head learned from, where this one learned from all

    def to_dict(self) -> dict[str, Any]:
        """Return what is known as plain values, for JSON."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> HeadFacts:
        """Return the facts of `to_dict`, without others; KeyError, TypeError or ValueError of a wrong one."""
        facts = {fact.name: values[fact.name] for fact in fields(HeadFacts) if fact.name in values}
        for name in ("photos", "watched_photos"):
            if name in facts:
                facts[name] = tuple(map(str, facts[name]))
        if "certificate" in facts:
            facts["certificate"] = Certificate(**facts["certificate"])
        if "ridge" in facts and not facts["ridge"] > 0:
            raise ValueError(f"a ridge of {facts['ridge']}")
        return HeadFacts(**facts)


@dataclass(frozen=True, kw_only=True)
class Head:
    """A linear head on a backbone as it was published, or with parts that learned along."""

    name: str  # a shipped head's name, or the path it was read from
    classes: ClassNames
    weights: Weights
    backbone: str  # name of the backbone, as `open_backbone` takes it
    backbone_checksum: str  # SHA-256 of the backbone's weights before any learned
    sizes: tuple[int, ...]
    """Short sides in pixels at which photos are read; the head reads the features of all together."""
    facts: HeadFacts = HeadFacts()
    tuned: bytes = field(default=b"", repr=False)  # backbone of which parts learned along, an ONNX file

    def knows(self, digest: str) -> bool:
        """Return whether it is known to have learned from, or stopped by, the photo of this SHA-256."""
        return photo_mark(digest) in (*(self.facts.photos or ()), *(self.facts.watched_photos or ()))

    @property
    def num_bytes(self) -> int:
        """Size of its numbers."""
        return self.weights.weight.nbytes + self.weights.bias.nbytes + len(self.tuned)

    def apply_weights(self, backbone: Backbone) -> Backbone:
        """Return the given backbone, or the head's own; CheckpointError if it learned on other weights."""
        if backbone.checksum != self.backbone_checksum:
            remedy = "run heads on different backbones apart"
            if backbone.name == self.backbone:
                remedy = "give the weights it was learned on, or learn it anew"
            learned_on = f"{self.backbone} with weights {self.backbone_checksum[:12]}"
            these = f"these are {backbone.name} with {backbone.checksum[:12]}"
            raise CheckpointError(f"the head {self.name} was learned on {learned_on}, {these}; {remedy}")
        if not self.tuned:
            return backbone
        network = backbone.network
        return Backbone.of(OnnxNetwork(self.tuned, network.threads, network.device))


def photo_mark(digest: str) -> str:
    """Return the part of a photo's SHA-256 that a head's facts keep in `photos`."""
    return digest[:_MARK_DIGITS]


def write_head(path: Path, head: Head) -> None:
    """Write a head as one file."""
    about = {
        "kind": _KIND,
        "classes": head.classes.to_dict(),
        "backbone": head.backbone,
        "backbone_checksum": head.backbone_checksum,
        "sizes": list(head.sizes),
        "facts": head.facts.to_dict(),
    }
    tensors = {"weight": head.weights.weight, "bias": head.weights.bias}
    if head.tuned:
        tensors[_BACKBONE] = np.frombuffer(head.tuned, np.uint8)
    write_tensors(path, tensors, about)


def open_head(name_or_path: str | Path) -> Head:
    """Read a shipped head by its name, or a head file by its path; CheckpointError if it is none."""
    path = find_head(str(name_or_path))
    if path.parent == SHIPPED_HEADS:
        check_weights(path.stem)
    tensors, about = read_tensors(path)
    try:
        if about.get("kind") != _KIND:
            raise ValueError(
                "it holds no head" if "net" not in about else "it is a model that colours photos"
            )
        classes = ClassNames.from_dict(about["classes"])
        layer = checked_layer(tensors["weight"], tensors["bias"], classes.num_classes)
        sizes = about["sizes"]
        if not sizes or any(type(size) is not int or not 1 <= size <= _MAX_SIZE for size in sizes):
            raise ValueError(f"photos read at {sizes}")
        if any(name.startswith("backbone.") for name in tensors):
            raise CheckpointError(
                f"{path} holds parts of a backbone, as earlier versions wrote them; learn it anew"
            )
        return Head(
            name=str(name_or_path),
            classes=classes,
            weights=Weights(*layer),
            backbone=str(about["backbone"]),
            backbone_checksum=str(about["backbone_checksum"]),
            sizes=tuple(sizes),
            facts=HeadFacts.from_dict(about["facts"]),
            tuned=tensors[_BACKBONE].tobytes() if _BACKBONE in tensors else b"",
        )
    except (KeyError, TypeError, ValueError, LabelError) as error:
        remedy = f"give a file that finetune wrote or one of {', '.join(shipped_heads())}"
        raise CheckpointError(f"{path} holds no head of ours ({first_line(error)}); {remedy}") from error


def is_head(name_or_path: str | Path) -> bool:
    """Return whether this is a shipped head's name or a head file."""
    path = Path(name_or_path)
    if path.suffix.lower() == ".onnx" or not path.is_file():  # a model
        return str(name_or_path) in shipped_heads()
    return read_tensors(path, header_only=True)[1].get("kind") == _KIND


def find_head(name_or_path: str) -> Path:
    """Return the file of a shipped head, or the path that was given; CheckpointError if there is neither."""
    if name_or_path in shipped_models() or name_or_path.lower().endswith(".onnx"):
        heads = ", ".join(shipped_heads())
        raise CheckpointError(f"needed a head, got the model {name_or_path}; shipped heads are {heads}")
    for candidate in (weights_path(name_or_path), Path(name_or_path)):
        if candidate.is_file():
            return candidate
    shipped = ", ".join(shipped_heads())
    raise CheckpointError(f"needed a head, but {name_or_path} is neither a head file nor one of: {shipped}")
