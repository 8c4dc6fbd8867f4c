"""The best head for labelled photos: pixels sampled from features that are kept, and solved for."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
from numpy import ndarray
from threadpoolctl import threadpool_limits

from pixelwise.colour.arrays import Float32, Float64, Int64, UInt8
from pixelwise.colour.palette import IGNORE
from pixelwise.errors import LabelError
from pixelwise.labels.confusion import class_counts, weights_of
from pixelwise.labels.labelled import LabelledPhoto
from pixelwise.network.config import FinetuneConfig
from pixelwise.photos.crop_view import View
from pixelwise.segmenting.extraction import CropView
from pixelwise.segmenting.feature_cache import PhotoMaps
from pixelwise.segmenting.linear_head import Pixels, features_at, grid
from pixelwise.segmenting.solve import MIDDLE, SolvedHead, Whitening, choose_ridge, solve_at_ridge

_SMALLEST = 0.5  # of a photo's height and width, in a crop
_VIEWS = 60  # of all photos together; above, more photos help more than more views
_MOST_VIEWS = 5  # of one photo
_SPARSE_FRAC = 0.1  # labelled, of the pixels of a crop; crops of flowers17 have 0.49 and more
_LEAST_A_CLASS = 20  # pixels of a crop, where its labels are sparse
_ENOUGH = 30_000  # pixels in all, where crops are few: more change little
_LEAST_A_CROP, _MOST_A_CROP = 240, 3000  # pixels: more of one crop are near each other and add little
_MOST = 100_000  # in all: with 1,500 features each 0.6 GB in single precision
_TO_CHOOSE = 6_000  # pixels by which the ridge is chosen: it matters less than by a factor of 3
_MOST_FOLDS = 3
_THREADS = 2  # one view in each
_MANY = 12  # photos of which leaving out one third is enough
DEFAULT_RIDGE = 0.1  # where one photo alone leaves nothing to choose by


@dataclass(frozen=True, eq=False)
class SampledView:
    """Labelled pixels of a view of a photo, whose features are yet to be read."""

    read: Callable[[Float32[ndarray, "p D"]], None]  # puts the features into an array
    labels: UInt8[ndarray, " p"] | Float32[ndarray, "p K"]
    photo: int  # its number


@dataclass(frozen=True, eq=False)
class PixelSample:
    """Labelled pixels of some photos."""

    features: Float32[ndarray, "P D"]
    labels: UInt8[ndarray, " P"] | Float32[ndarray, "P K"]  # classes, or probabilities of every class
    photos: Int64[ndarray, " P"]  # the number of the photo that each pixel is of

    @staticmethod
    def read(views: Sequence[SampledView], num_features: int) -> PixelSample:
        """Read the features of all views, each into its own rows of one array."""
        labels = np.concatenate([view.labels for view in views])
        nums = [len(view.labels) for view in views]
        features = np.empty((len(labels), num_features), np.float32)
        rows = np.split(features, np.cumsum(nums)[:-1])
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(lambda view, own: view.read(own), views, rows))  # raises what a view raised
        return PixelSample(features, labels, np.repeat([view.photo for view in views], nums))


def views_of(photos: Sequence[Path], num: int) -> list[CropView]:
    """Return each photo whole, and `num` - 1 random crops, drawn by its name, so that a cache finds them.

    A `num` of 0 is 1 to 5, more the fewer photos there are.
    """
    num = num or max(1, min(_MOST_VIEWS, _VIEWS // len(photos)))
    views = []
    for photo in photos:
        rng = random.Random(photo.stem)
        views += [CropView(photo), *(CropView(photo, random_crop(rng)) for _ in range(num - 1))]
    return views


def random_crop(rng: random.Random) -> View:
    """Draw a crop of half a photo's height and width or more, mirrored half of the time."""
    share = rng.uniform(_SMALLEST, 1)
    top, left = rng.uniform(0, 1 - share), rng.uniform(0, 1 - share)
    return View(top, left, share, share, mirrored=rng.random() < 0.5)


def solve_from_views(
    config: FinetuneConfig, num_classes: int, shots: Sequence[LabelledPhoto], features: Sequence[PhotoMaps]
) -> SolvedHead:
    """Return the best head for a sample of the labelled pixels of photos, from the features of their views.

    DataError or LabelError where labels cannot be read, are none or all the same, or one is no class.
    """
    sample = sample_pixels(shots, features)
    _require_two_classes(sample.labels)
    counts = class_counts([sample.labels], num_classes)
    weights = weights_of(counts, config.rebalance) if config.rebalance else None
    solved = solve_choosing_ridge(sample, num_classes, weights, config.ridge)
    return replace(solved, missing_classes=tuple(np.flatnonzero(counts == 0).tolist()))


def _require_two_classes(labels: UInt8[ndarray, " P"]) -> None:
    found = np.unique(labels)
    if not len(found):
        got = "none: every pixel of the masks is ignored"
        raise LabelError(f"needed labelled pixels to learn from, got {got}")
    if len(found) == 1:
        raise LabelError(
            f"needed pixels of two classes at least to learn from, all are of class {found[0]}; "
            "draw what is to be found, or run pixelwise check-labels"
        )


def sample_pixels(shots: Sequence[LabelledPhoto], features: Sequence[PhotoMaps]) -> PixelSample:
    """Sample labelled pixels of each view, fewer of each the more there are; two are in memory at once."""
    wanted = min(_MOST_A_CROP, max(_LEAST_A_CROP, _ENOUGH // len(features)))
    num = max(1, min(wanted, _MOST // len(features)))
    # copies have one number: they are left out together
    numbers = {digest: number for number, digest in enumerate(dict.fromkeys(one.digest for one in features))}
    num_views = len(features) // len(shots)

    def sample(shot: LabelledPhoto, first: int) -> list[SampledView]:
        labels, views = shot.read_labels(), []
        for source in features[first : first + num_views]:
            cut = source.crop.view.cut(labels)
            places = places_of(cut, num)
            read = partial(_read_features, source, places, cut.shape)
            views.append(SampledView(read, cut[places[:, 0], places[:, 1]], numbers[source.digest]))
        return views

    with ThreadPoolExecutor(_THREADS) as pool:
        views = list(chain.from_iterable(pool.map(sample, shots, range(0, len(features), num_views))))
    return PixelSample.read(views, sum(features[0].channels))


def _read_features(
    source: PhotoMaps, places: Int64[ndarray, "p 2"], size: tuple[int, int], out: Float32[ndarray, "p D"]
) -> None:
    codes, scale = source.read_codes()
    features_at(codes, places, size, out)
    out *= scale


def places_of(labels: UInt8[ndarray, "H W"], num: int) -> Int64[ndarray, "P 2"]:
    """Return (row, column) of the labelled ones of about `num` pixels on an even grid.

    Where few are labelled, as by scribbles or points, a grid would miss them: then of about `num` of the
    labelled ones, evenly taken, and of some of each class that is there.
    """
    height, width = labels.shape
    known = labels != IGNORE
    if known.sum() >= _SPARSE_FRAC * height * width:
        places = grid(height, width, max(1, round((height * width / num) ** 0.5)))
        return places[known[places[:, 0], places[:, 1]]]
    labelled = np.argwhere(known)
    chosen = np.zeros(len(labelled), bool)
    chosen[:: max(1, round(len(labelled) / num))] = True
    classes = labels[known]
    for label in np.unique(classes):
        own = np.flatnonzero(classes == label)
        chosen[own[:: -(-len(own) // _LEAST_A_CLASS)]] = True
    return labelled[chosen]


def solve_choosing_ridge(
    sample: PixelSample,
    num_classes: int,
    class_weights: Float64[ndarray, " K"] | None,
    ridge: float | None,
    *,
    by_loss: bool = False,
) -> SolvedHead:
    """Return the best head of a sample.

    A ridge of None is chosen by photos left out (`choose_ridge`): of many photos a third is left out once, of
    few each third in turn.
    """
    pixels = Pixels(sample.features, sample.labels, num_classes, class_weights)
    every = max(1, len(sample.labels) // _TO_CHOOSE)
    features, labels = sample.features[::every], sample.labels[::every]
    which, rank = np.unique(sample.photos[::every], return_inverse=True)
    num_folds = min(_MOST_FOLDS, len(which))
    folds = []
    if ridge is None and num_folds > 1:
        for fold in range(num_folds if len(which) < _MANY else 1):
            out = rank % num_folds == fold
            learned = Pixels(features[~out], labels[~out], num_classes, class_weights)
            folds.append((learned, Pixels(features[out], labels[out], num_classes, class_weights)))
    with threadpool_limits(1, "blas"):  # two threads share the pixels: more would wait and spin beside them
        if not folds:
            return solve_at_ridge(pixels, DEFAULT_RIDGE if ridge is None else ridge)
        whitening = Whitening.of(sample.features, MIDDLE)
        chosen = choose_ridge(folds, whitening, by_loss=by_loss)
        solved = solve_at_ridge(pixels, chosen.ridge, chosen.start, whitening)
    return replace(solved, ridge_scores=chosen.scores)
