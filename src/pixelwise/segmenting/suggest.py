"""Which photos to label next: those that leave a head least uncertain about all photos together.

The last layer is taken as Gaussian about the best head, with the inverse of the loss's curvature there as its
covariance. The photo to label is the one after which the variance of logits is least, on average over the
pixels of all candidates. The curvature needs no labels but only how sure the head is, so that photos are
chosen one after another before any is labelled, and near copies of a chosen one add nothing.

Source: D. Cohn, Z. Ghahramani, M. Jordan 1996, Active learning with statistical models, arXiv:cs/9603104; of
the last layer alone: E. Daxberger et al. 2021, Laplace redux, arXiv:2106.14806.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy import ndarray

from pixelwise.colour.arrays import Float, Float32
from pixelwise.colour.palette import softmax
from pixelwise.errors import ConfigError, DataError
from pixelwise.labels.labelled import LabelledPhotos, file_checksums
from pixelwise.labels.sources import load_labelled
from pixelwise.network.backbone import Backbone
from pixelwise.network.linear import Maps
from pixelwise.photos.find import Failure, find_photos, is_folder
from pixelwise.segmenting.exact import DEFAULT_RIDGE
from pixelwise.segmenting.feature_cache import FeatureCache
from pixelwise.segmenting.heads import Head
from pixelwise.segmenting.linear_head import Weights, features_at

_SIDE = 9  # pixels sampled in a photo, each way: with 5, half of what is gained over entropy is lost
_DIRECTIONS = 256  # of all features: with 64 a seventh of the gain is lost
_MOST_IN_BASIS = 250  # photos that the directions are found by
_DOUBT = 0.1  # p (1 - p) where no head says it
_LEAST_DOUBT = 1e-3  # a head may be wrong where it is sure
_AT_ONCE = 128  # photos


@dataclass(frozen=True)
class Suggestion:
    """A photo to label, and the share of all doubt that its labels take away beyond those before it."""

    photo: Path
    gain: float


def candidates(
    source: str, head: Head | None = None, data_dir: Path | None = None, seed: int = 0
) -> tuple[list[Path], list[Path], list[Failure]]:
    """Return a source's photos without labels, those that were learned from, and what cannot be found.

    Of a folder, all photos below it are without labels, and the head's own source has those learned from.
    ConfigError where there is no such source; DataError where the source is missing, damaged or empty.
    """
    if not is_folder(source):
        labelled = load_labelled(source, data_dir, seed)
        return list(labelled.unlabelled), _learned_from(labelled, head), []
    known: list[Path] = []
    found, failures = find_photos([source], recursive=True)
    if head and head.facts.source:
        with contextlib.suppress(ConfigError, DataError):  # it may be on another machine
            known = _learned_from(load_labelled(head.facts.source, data_dir, seed), head)
    return [photo.path for photo in found], known, failures


def _learned_from(labelled: LabelledPhotos, head: Head | None) -> list[Path]:
    """Return the photos that the head saw, of whatever part, or those of the part to learn from."""
    train = [shot.photo for shot in labelled.train]
    if head is None:
        return train
    sums = file_checksums(shot.photo for shot in labelled.labelled)
    return [photo for photo, digest in sums.items() if head.knows(digest)] or train


def suggest(
    photos: Sequence[Path],
    known: Sequence[Path],
    backbone: Backbone,
    head: Head | None = None,
    *,
    num: int = 10,
    sizes: Sequence[int] | None = None,
    cache: FeatureCache | None = None,
) -> tuple[Suggestion, ...]:
    """Return `num` of the photos in the order in which to label them; `known` are those that are labelled.

    Without a head, features alone decide: that is how to choose the first photos.

    Raises:
        CheckpointError: the head was learned on another backbone.
        ConfigError: `num` is not positive, or there is no photo.
        PhotoError: a photo cannot be read.
    """
    if num < 1 or not photos:
        needed = "photos to choose from and at least 1 to choose"
        raise ConfigError(f"needed {needed}, got {len(photos)} and {num}")
    if head:
        backbone, sizes = head.apply_weights(backbone), head.sizes
    wanted = [*known, *photos]
    features = (cache or FeatureCache()).maps(wanted, backbone, sizes)
    every = -(-len(features) // _MOST_IN_BASIS)
    mean, directions = _main_directions(
        np.concatenate([_lattice(photo.read()) for photo in features[::every]])
    )
    points, doubts = [], []
    for photo in features:
        pixels = _lattice(photo.read())
        points.append((pixels - mean) @ directions)
        doubts.append(doubt(pixels, head.weights if head else None))
    known_points, new_points = np.split(np.stack(points), [len(known)])
    known_doubts, new_doubts = np.split(np.stack(doubts), [len(known)])
    ridge = (head and head.facts.ridge) or DEFAULT_RIDGE
    chosen = choose(new_points, new_doubts, known_points, known_doubts, ridge=ridge, num=num)
    return tuple(Suggestion(photos[index], gain) for index, gain in chosen)


def choose(
    points: Float[ndarray, "M n R"],
    doubts: Float[ndarray, "M n"],
    known: Float[ndarray, "T n R"],
    known_doubts: Float[ndarray, "T n"],
    *,
    ridge: float,
    num: int,
) -> list[tuple[int, float]]:
    """Return at most `num` photos in the order in which to label them, with the doubt that each settles.

    `points` are features of pixels of M candidates, `known` of T labelled photos, scaled to deviation 1;
    `doubts` are p (1 - p) of each pixel. `ridge` is per pixel learned from, as in `solve`.

    Source: Woodbury's identity, for what a photo's labels take off the covariance and off the mean variance.
    """
    # in single precision a small ridge would be lost in the inverse
    points, doubts = points.astype(np.float64), doubts.astype(np.float64)
    known, known_doubts = known.astype(np.float64), known_doubts.astype(np.float64)
    num = min(num, len(points))
    total = (len(known) + num) * points.shape[1]
    rows, identity = known.reshape(-1, known.shape[2]), np.eye(points.shape[2])
    curvature = (rows * known_doubts.reshape(-1, 1)).T @ rows + ridge * total * identity
    covariance = np.linalg.inv(curvature)
    every = points.reshape(-1, points.shape[2])
    spread = every.T @ every / len(every)  # the mean variance of logits is the trace of covariance @ spread
    now = float((covariance * spread).sum())
    scaled, identity = points * np.sqrt(doubts)[..., None], np.eye(points.shape[1])
    chosen: list[tuple[int, float]] = []
    for _ in range(num):
        gains = []
        for start in range(0, len(scaled), _AT_ONCE):
            part = scaled[start : start + _AT_ONCE]
            seen = part @ covariance
            inside, less = seen @ part.swapaxes(1, 2) + identity, seen @ spread @ seen.swapaxes(1, 2)
            gains.append(np.trace(np.linalg.solve(inside, less), axis1=1, axis2=2))
        gain = np.concatenate(gains)
        gain[[index for index, _ in chosen]] = -1
        best = int(gain.argmax())
        chosen.append((best, float(gain[best]) / now))
        seen = scaled[best] @ covariance
        covariance = covariance - seen.T @ np.linalg.solve(seen @ scaled[best].T + identity, seen)
    return chosen


def _main_directions(
    pixels: Float32[ndarray, "P D"],
) -> tuple[Float32[ndarray, " D"], Float32[ndarray, "D R"]]:
    """Return the mean of features, and the directions in which they, scaled to deviation 1, vary most."""
    mean, scale = pixels.mean(0), pixels.std(0).clip(1e-3)
    rows = (pixels - mean) / scale
    _, vectors = np.linalg.eigh(rows.T @ rows)
    return mean, vectors[:, -_DIRECTIONS:] / scale[:, None]


def _lattice(maps: Maps) -> Float32[ndarray, "n D"]:
    """Return the features of a few pixels spread evenly over a photo."""
    height, width = maps[0].shape[1:]
    rows, columns = (((2 * np.arange(_SIDE) + 1) * side) // (2 * _SIDE) for side in (height, width))
    places = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
    return features_at(maps, places, (height, width))


def doubt(pixels: Float32[ndarray, "*any D"], head: Weights | None) -> Float32[ndarray, "*any"]:
    """Return how far each pixel is from certain: p (1 - p) of two classes, half of Gini's index of more."""
    if head is None:
        return np.full(pixels.shape[:-1], _DOUBT, np.float32)
    probs = softmax(pixels @ head.weight.T + head.bias, axis=-1)
    return ((1 - np.square(probs).sum(-1)) / 2).clip(_LEAST_DOUBT)
