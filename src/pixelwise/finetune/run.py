"""From masks to a head, in one visible flow: draw, look, learn, score, certify, write."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from pixelwise.backbones import Backbone, open_backbone
from pixelwise.config import Device, FinetuneConfig
from pixelwise.data import load_labelled
from pixelwise.data.labelled import LabelledPhoto
from pixelwise.features import FeatureCache, PhotoLook, PhotoMaps
from pixelwise.finetune.last_layer import Learned, Look, learn_exactly
from pixelwise.finetune.score import count
from pixelwise.finetune.shots import draw, looks, num_looks
from pixelwise.frozen import Certificate, certified
from pixelwise.head import Weights
from pixelwise.heads import Head, photo_mark, write_head
from pixelwise.photos.view import View
from pixelwise.processor import choose_device
from pixelwise.progress import progress
from pixelwise.scores import SegmentationScores


@dataclass(frozen=True, kw_only=True)
class FinetuneResult:
    """What was learned, how good it is, and that nothing else changed."""

    head: Head
    source: str
    num_images: int
    """Photos learned from."""
    digests: tuple[str, ...]
    """SHA-256 of each of them."""
    num_looks: int
    """Looks at them, whole and closer."""
    learned: Learned
    before: SegmentationScores
    """Of the last layer as it is before it learns: random, of torch's own making."""
    after: SegmentationScores
    scored_on: str
    """The part of the data that both scores are of."""
    extract_seconds: float
    solve_seconds: float
    seconds: float
    certificate: Certificate

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "classes": list(self.head.classes.names),
            "num_learned": self.head.weights.num_learned,
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "extract_seconds": self.extract_seconds,
            "solve_seconds": self.solve_seconds,
            "seconds": self.seconds,
        } | self.facts()

    def facts(self) -> dict[str, Any]:
        """What a head's file says of its learning; nothing that differs from run to run."""
        solved, chosen = self.learned.solved, self.learned.chosen
        return {
            "source": self.source,
            "num_images": self.num_images,
            "photos": [photo_mark(digest) for digest in self.digests],
            "num_looks": self.num_looks,
            "ridge": solved.ridge,
            "ridge_scores": {f"{ridge:g}": score for ridge, score in chosen.scores.items()} if chosen else {},
            "loss": solved.loss,
            "gradient_norm": solved.gradient_norm,
            "num_steps": solved.num_steps,
            "scored_on": self.scored_on,
            "num_scored": self.after.num_images,
            "scores": self.after.intervals(),
            "certificate": self.certificate.to_dict(),
        }


def finetune(
    config: FinetuneConfig,
    out: Path,
    data_dir: Path | None = None,
    device: Device = "auto",
    cache: FeatureCache | None = None,
) -> FinetuneResult:
    """Learn the last layer from labelled photos, and write it as a head to `out`.

    Raises:
        ConfigError: an option that cannot work, such as more shots than there are photos.
        DataError: the photos or their masks are missing or do not belong together.
        FrozenError: the backbone changed, which is a fault of ours.
        OutputError: the head cannot be written.
    """
    start_s = time.perf_counter()
    labelled = load_labelled(config.source, data_dir, config.seed)
    shots = draw(labelled.train, config.shots, config.seed)
    part, scored = labelled.held_out()
    backbone = open_backbone(config.backbone, Path(config.weights) if config.weights else None)
    sizes = config.sizes or backbone.sizes
    with certified(backbone) as watch:
        extract_start_s = time.perf_counter()
        views = [looks(photo.stem, config.looks or num_looks(len(shots))) for photo in shots]
        seen, to_score = _features(shots, views, scored, backbone, sizes, cache or FeatureCache(), device)
        solve_start_s = time.perf_counter()
        learned = _learn(config, shots, views, seen, labelled.classes.num_classes)
        solved_s = time.perf_counter()
    assert watch.certificate is not None
    weights = learned.solved.weights
    both = count([untaught(weights, config.seed), weights], scored, to_score)
    before, after = (SegmentationScores.of(one, labelled.classes, config.seed) for one in both)
    result = FinetuneResult(
        head=Head(
            name=str(out),
            classes=labelled.classes,
            weights=weights,
            backbone=backbone.name,
            backbone_checksum=backbone.checksum,
            sizes=tuple(sizes),
        ),
        source=labelled.name,
        num_images=len(shots),
        digests=tuple(dict.fromkeys(one.digest for one in seen)),
        num_looks=sum(len(one) for one in views),
        learned=learned,
        before=before,
        after=after,
        scored_on=part,
        extract_seconds=solve_start_s - extract_start_s,
        solve_seconds=solved_s - solve_start_s,
        seconds=time.perf_counter() - start_s,
        certificate=watch.certificate,
    )
    write_head(out, replace(result.head, facts=result.facts()))
    return result


def untaught(weights: Weights, seed: int) -> Weights:
    """A last layer as it is before it learns, drawn as torch draws that of a new 1x1 convolution."""
    num_classes, num_features = weights.weight.shape
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layer = torch.nn.Conv2d(num_features, num_classes, 1)
    assert layer.bias is not None
    return Weights(layer.weight.detach()[..., 0, 0], layer.bias.detach())


def _features(
    shots: Sequence[LabelledPhoto],
    views: Sequence[tuple[View, ...]],
    scored: Sequence[LabelledPhoto],
    backbone: Backbone,
    sizes: Sequence[int],
    cache: FeatureCache,
    device: Device,
) -> tuple[list[PhotoMaps], list[PhotoMaps]]:
    """Features of every look at the shots, and of the photos to score on."""
    wanted = [PhotoLook(shot.photo, view) for shot, seen in zip(shots, views, strict=True) for view in seen]
    num_shown = len(wanted)
    wanted += [PhotoLook(photo.photo) for photo in scored]
    with progress("looking at photos", len(wanted)) as advance:
        features = cache.maps(wanted, backbone, sizes, device=choose_device(device), advance=advance)
    return features[:num_shown], features[num_shown:]


def _learn(
    config: FinetuneConfig,
    shots: Sequence[LabelledPhoto],
    views: Sequence[tuple[View, ...]],
    features: Sequence[PhotoMaps],
    num_classes: int,
) -> Learned:
    sources = iter(features)
    seen = []
    for number, (shot, its_views) in enumerate(zip(shots, views, strict=True)):
        labels = shot.read_labels()
        seen += [Look(number, next(sources).read(), view.cut(labels)) for view in its_views]
    return learn_exactly(
        seen, num_classes, ridge=config.ridge, rebalance=config.rebalance, whole=config.loss == "whole"
    )
