"""The last layer, solved exactly: pixels sampled from features, a ridge chosen, the head found."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from pixelwise.colour.palette import IGNORE
from pixelwise.errors import LabelError
from pixelwise.network.device import ONE_THREAD
from pixelwise.network.losses import class_counts, weights_of
from pixelwise.photos.crop_view import View
from pixelwise.photos.read_ahead import worked_ahead
from pixelwise.segmenting.objective import Maps, Pixels, features_at, grid
from pixelwise.segmenting.solve import Chosen, Moments, Solved, choose_ridge, solve

_SPARSE_FRAC = 0.1  # labelled, of the pixels of a crop; crops of flowers17 have 0.49 and more
_LEAST_A_CLASS = 20  # pixels of a crop, where its labels are sparse
_ENOUGH = 30_000  # pixels in all, where crops are few: more change little
_LEAST_A_CROP, _MOST_A_CROP = 240, 3000  # pixels: more of one crop are near each other and add little
_MOST = 100_000  # in all: with 1,500 features each 0.6 GB in single precision
_TO_CHOOSE = 6_000  # pixels by which the ridge is chosen: it matters less than by a factor of 3
_MOST_FOLDS = 3
_MANY = 12  # photos of which leaving out one third is enough
DEFAULT_RIDGE = 0.1
"""Where one photo alone leaves nothing to choose by."""


@dataclass(frozen=True, eq=False)
class LabelledCrop:
    """Features of one view of a photo, and the labels of what is seen in it."""

    photo: Hashable
    """Which photo it is of, the same for copies: these are left out together."""
    maps: Maps
    labels: UInt8[Tensor, "H W"]


def crops_of(
    photo: Hashable, labels: UInt8[Tensor, "H W"], views: Iterable[View], maps: Iterable[Maps]
) -> Iterator[LabelledCrop]:
    """Yield what is seen in some views of one photo; `maps` has the features of each view."""
    for view, own in zip(views, maps, strict=True):
        yield LabelledCrop(photo, own, view.cut(labels))


@dataclass(frozen=True, eq=False)
class PixelSample:
    """Labelled pixels of some photos."""

    features: Float[Tensor, "P D"]
    labels: UInt8[Tensor, " P"] | Float[Tensor, "P K"]
    """Classes, or probabilities of every class."""
    photos: Int64[Tensor, " P"]
    """The number of the photo that each pixel is of."""

    @staticmethod
    def joined(parts: list[PixelSample]) -> PixelSample:
        """Join samples; `parts` is emptied on the way, so that features are never twice in memory."""
        labels = torch.cat([one.labels for one in parts])
        photos = torch.cat([one.photos for one in parts])
        features = torch.empty(len(labels), parts[0].features.shape[1])
        stop = len(labels)
        while parts:
            part = parts.pop().features
            features[stop - len(part) : stop] = part
            stop -= len(part)
        return PixelSample(features, labels, photos)


@dataclass(frozen=True)
class ExactHead:
    """A head, and the scores by which its ridge was chosen (None: it was given)."""

    solved: Solved
    chosen: Chosen | None
    missing_classes: tuple[int, ...]
    """Classes that no pixel learned from has: the head cannot find them."""


def learn_exactly(
    crops: Iterable[LabelledCrop],
    num_crops: int,
    num_classes: int,
    *,
    ridge: float | None = None,
    rebalance: float = 0.0,
) -> ExactHead:
    """Return the best head for a sample of the labelled pixels of crops, which are not kept.

    `ridge` (None: chosen by photos left out) is on features scaled to deviation 1; `rebalance` is as in
    `losses.class_weights`.

    Raises:
        LabelError: no pixel has a label, all have the same, or a label is no class.
    """
    with ONE_THREAD:  # pixels are shared among threads already
        sample = sample_pixels(crops, pixels_a_crop(num_crops))
        _require_two_classes(sample.labels)
        counts = class_counts([sample.labels], num_classes)
        weights = weights_of(counts, rebalance) if rebalance else None
        solved, chosen = solve_sample(sample, num_classes, weights, ridge)
    return ExactHead(solved, chosen, tuple(int(one) for one in (counts == 0).nonzero()))


def _require_two_classes(labels: UInt8[Tensor, " P"]) -> None:
    found = labels.unique()
    if len(found) == 0:
        raise LabelError(
            "needed labelled pixels to learn from, got none: every pixel of the masks is ignored"
        )
    if len(found) == 1:
        raise LabelError(
            f"needed pixels of two classes at least to learn from, all are of class {int(found)}; "
            "draw what is to be found, or run pixelwise check-labels"
        )


def pixels_a_crop(num_crops: int) -> int:
    """Return about how many pixels to sample from each of so many crops."""
    wanted = min(_MOST_A_CROP, max(_LEAST_A_CROP, _ENOUGH // num_crops))
    return max(1, min(wanted, _MOST // num_crops))


def sample_pixels(crops: Iterable[LabelledCrop], num: int) -> PixelSample:
    """Sample about `num` labelled pixels of each crop; crops are asked for one by one and not kept."""
    numbers: dict[Hashable, int] = {}
    numbered = ((one, numbers.setdefault(one.photo, len(numbers))) for one in crops)

    def sample(crop_and_number: tuple[LabelledCrop, int]) -> PixelSample:
        crop, number = crop_and_number
        height, width = crop.labels.shape
        places = places_of(crop.labels, num)
        labels = crop.labels[places[:, 0], places[:, 1]]
        features = features_at(crop.maps, places, (height, width))
        return PixelSample(features, labels, torch.full((len(places),), number))

    return PixelSample.joined(list(worked_ahead(sample, numbered, num_threads=1)))


def places_of(labels: UInt8[Tensor, "H W"], num: int) -> Int64[Tensor, "P 2"]:
    """Return (row, column) of the labelled ones of about `num` pixels on an even grid.

    Where few are labelled, as by scribbles or points, a grid would miss them: then of about `num` of the
    labelled ones, evenly taken, and of some of each class that is there.
    """
    height, width = labels.shape
    known = labels != IGNORE
    if int(known.sum()) >= _SPARSE_FRAC * height * width:
        places = grid(height, width, max(1, round((height * width / num) ** 0.5)))
        return places[known[places[:, 0], places[:, 1]]]
    labelled = known.nonzero()
    chosen = torch.zeros(len(labelled), dtype=torch.bool)
    chosen[:: max(1, round(len(labelled) / num))] = True
    classes = labels[known]
    for one in classes.unique():
        (own,) = (classes == one).nonzero(as_tuple=True)
        chosen[own[:: -(-len(own) // _LEAST_A_CLASS)]] = True
    return labelled[chosen]


Choose = Callable[[Sequence[tuple[Pixels, Pixels]], Moments], Chosen]


def solve_sample(
    sample: PixelSample,
    num_classes: int,
    class_weights: Tensor | None,
    ridge: float | None,
    choose: Choose = choose_ridge,
) -> tuple[Solved, Chosen | None]:
    """Return the best head of a sample, and how its ridge was chosen if it is None."""
    pixels = Pixels(sample.features, sample.labels, num_classes, class_weights)
    moments, chosen = Moments.of(pixels), None
    if ridge is None:
        chosen = _best_ridge(sample, num_classes, class_weights, moments, choose)
        ridge = chosen.ridge if chosen else DEFAULT_RIDGE
    return solve(pixels, ridge, chosen.start if chosen else None, moments), chosen


def _best_ridge(
    sample: PixelSample, num_classes: int, class_weights: Tensor | None, moments: Moments, choose: Choose
) -> Chosen | None:
    """Return the ridge that does best on photos left out; None where there is one photo alone.

    Of many photos a third is left out once, of few each third in turn.
    """
    every = max(1, len(sample.labels) // _TO_CHOOSE)
    features, labels = sample.features[::every], sample.labels[::every]
    which, rank = torch.unique(sample.photos[::every], return_inverse=True)
    num_folds = min(_MOST_FOLDS, len(which))
    if num_folds < 2:
        return None
    folds = []
    for fold in range(num_folds if len(which) < _MANY else 1):
        out = rank % num_folds == fold
        learned, left_out = (
            Pixels(features[part], labels[part], num_classes, class_weights) for part in (~out, out)
        )
        folds.append((learned, left_out))
    return choose(folds, moments)
