"""Which photos to label next: those that leave a head least in doubt about all photos together.

The last layer is taken as Gaussian about the best head, with the inverse of the loss's curvature there as its
covariance. How far a pixel's logits vary under it says how much is not known there. The photo to label is the
one after which logits vary least, on average over the pixels of all candidates. The curvature of logistic
regression needs no labels but only how sure the head is, so that photos are chosen one after another before
any of them is labelled, and near copies of a chosen one bring nothing any more.

Of what was tried, entropy, margin, distance and others, this brought most: `benchmarks/suggest.py`.

Source: D. Cohn, Z. Ghahramani, M. Jordan 1996, Active learning with statistical models, arXiv:cs/9603104; of
the last layer alone: E. Daxberger et al. 2021, Laplace redux, arXiv:2106.14806.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from pixelwise.backbones import Backbone
from pixelwise.config import Device
from pixelwise.errors import ConfigError
from pixelwise.features import FeatureCache, PhotoMaps
from pixelwise.finetune.last_layer import DEFAULT_RIDGE
from pixelwise.head import Maps, Weights, features_at
from pixelwise.heads import Head
from pixelwise.processor import choose_device
from pixelwise.progress import progress

_SIDE = 9  # pixels looked at in a photo, each way: with 5, half of what is gained over entropy is lost
_DIRECTIONS = 256  # of all features: with 64 a seventh of the gain is lost
_MOST_IN_BASIS = 250  # photos that the directions are found by
_DOUBT = 0.1  # p (1 - p) where no head says it
_LEAST_DOUBT = 1e-3  # a head may be wrong where it is sure
_AT_ONCE = 128  # photos


@dataclass(frozen=True)
class Suggestion:
    """A photo to label, and what it is worth."""

    photo: Path
    gain: float
    """Share of all doubt there is now that its labels take away beyond those of the photos before it."""


def suggest(
    photos: Sequence[Path],
    known: Sequence[Path],
    backbone: Backbone,
    head: Head | None = None,
    *,
    num: int = 10,
    sizes: Sequence[int] | None = None,
    cache: FeatureCache | None = None,
    device: Device = "auto",
) -> tuple[Suggestion, ...]:
    """`num` of the photos in the order in which to label them; `known` are those that are labelled.

    Without a head, features alone decide: that is how to choose the first photos. What is needed of the known
    ones, the curvature, is computed again from their features, so that a head's file does not grow by it.

    Raises:
        CheckpointError: the head was learned on another backbone.
        ConfigError: `num` is not positive, or there is no photo.
        PhotoError: a photo cannot be read.
    """
    if num < 1 or not photos:
        raise ConfigError(
            f"needed photos to choose from and at least 1 to choose, got {len(photos)} and {num}"
        )
    if head:
        backbone = head.dress(backbone)
    wanted = [*known, *photos]
    with progress("looking at photos", len(wanted)) as advance:
        features = (cache or FeatureCache()).maps(
            wanted,
            backbone,
            head.sizes if head else sizes,
            device=choose_device(device),
            advance=advance,
        )
    points, doubts = _project(features, head.weights if head else None)
    split = len(known)
    chosen = choose(
        points[split:], doubts[split:], points[:split], doubts[:split], ridge=_ridge(head), num=num
    )
    return tuple(Suggestion(photos[index], gain) for index, gain in chosen)


def choose(
    points: Float[Tensor, "M n R"],
    doubts: Float[Tensor, "M n"],
    known: Float[Tensor, "T n R"],
    known_doubts: Float[Tensor, "T n"],
    *,
    ridge: float,
    num: int,
) -> list[tuple[int, float]]:
    """At most `num` photos in the order in which to label them, with the share of doubt each takes away.

    `points` are features of pixels of M candidates, `known` of T labelled photos, scaled to deviation 1;
    `doubts` are p (1 - p) of each pixel. `ridge` is per pixel learned from, as in `head.solve`.
    """
    num = min(num, len(points))
    total = (len(known) + num) * points.shape[1]
    rows = known.flatten(0, 1)
    curvature = (rows * known_doubts.flatten()[:, None]).T @ rows + ridge * total * torch.eye(rows.shape[1])
    covariance = torch.linalg.inv(curvature)
    every = points.flatten(0, 1)
    spread = every.T @ every / len(every)  # the mean variance of logits is the trace of covariance @ spread
    now = float((covariance * spread).sum())
    weights = doubts.sqrt()[..., None]
    chosen: list[tuple[int, float]] = []
    for _ in range(num):
        parts = zip(points.split(_AT_ONCE), weights.split(_AT_ONCE), strict=True)
        gains = torch.cat([_gains(part * weight, covariance, spread) for part, weight in parts])
        gains[[index for index, _ in chosen]] = -1
        best = int(gains.argmax())
        chosen.append((best, float(gains[best]) / now))
        covariance = _learned(points[best] * weights[best], covariance)
    return chosen


def _gains(
    scaled: Float[Tensor, "M n R"], covariance: Float[Tensor, "R R"], spread: Float[Tensor, "R R"]
) -> Float[Tensor, " M"]:
    """By how much each photo's labels would make the mean variance smaller."""
    seen = scaled @ covariance
    inside = seen @ scaled.mT + torch.eye(scaled.shape[1])
    return torch.linalg.solve(inside, seen @ spread @ seen.mT).diagonal(dim1=1, dim2=2).sum(1)


def _learned(scaled: Float[Tensor, "n R"], covariance: Float[Tensor, "R R"]) -> Float[Tensor, "R R"]:
    """The covariance once a photo is labelled. Source: Woodbury's identity."""
    seen = scaled @ covariance
    inside = seen @ scaled.T + torch.eye(len(scaled))
    return covariance - seen.T @ torch.linalg.solve(inside, seen)


def _project(features: Sequence[PhotoMaps], head: Weights | None) -> tuple[Tensor, Tensor]:
    """A few pixels of each photo (N, n, R), along the directions in which they differ most; doubts (N, n)."""
    every = -(-len(features) // _MOST_IN_BASIS)
    basis = Basis.of(torch.cat([lattice(one.read()) for one in features[::every]]))
    points, doubts = [], []
    for one in features:
        pixels = lattice(one.read())
        points.append(basis.project(pixels))
        doubts.append(doubt(pixels, head))
    return torch.stack(points), torch.stack(doubts)


@dataclass(frozen=True, eq=False)
class Basis:
    """The directions in which features vary most."""

    mean: Float[Tensor, " D"]
    directions: Float[Tensor, "D R"]
    """Of features scaled to deviation 1, with that scaling in them."""

    @staticmethod
    def of(pixels: Float[Tensor, "P D"], num: int = _DIRECTIONS) -> Basis:
        """Those of some pixels."""
        mean, scale = pixels.mean(0), pixels.std(0, correction=0).clamp_min(1e-3)
        rows = (pixels - mean) / scale
        _, vectors = torch.linalg.eigh(rows.T @ rows)
        return Basis(mean, vectors[:, -num:] / scale[:, None])

    def project(self, pixels: Float[Tensor, "*any D"]) -> Float[Tensor, "*any R"]:
        """Features along the directions."""
        return (pixels - self.mean) @ self.directions


def lattice(maps: Maps) -> Float[Tensor, "n D"]:
    """Features of a few pixels spread evenly over a photo."""
    height, width = maps[0].shape[1:]
    rows, columns = (((2 * torch.arange(_SIDE) + 1) * side) // (2 * _SIDE) for side in (height, width))
    return features_at(maps, torch.cartesian_prod(rows, columns), (height, width))


def doubt(pixels: Float[Tensor, "*any D"], head: Weights | None) -> Float[Tensor, "*any"]:
    """How far each pixel is from certain: p (1 - p) of two classes, half of what Gini's index is of more."""
    if head is None:
        return torch.full(pixels.shape[:-1], _DOUBT)
    probs = (pixels @ head.weight.T + head.bias).softmax(-1)
    return ((1 - probs.square().sum(-1)) / 2).clamp_min(_LEAST_DOUBT)


def _ridge(head: Head | None) -> float:
    found = head.facts.get("ridge") if head else None
    return found if isinstance(found, float) and found > 0 else DEFAULT_RIDGE
