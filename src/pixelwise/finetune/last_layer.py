"""The last layer, learned exactly: pixels gathered from cached features, a ridge chosen, the head solved."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from pixelwise.errors import LabelError
from pixelwise.head import (
    ROWS_A_FEATURE,
    Chosen,
    Maps,
    Moments,
    Objective,
    Pixels,
    Solved,
    Weights,
    WholePhotos,
    choose_ridge,
    features_at,
    grid,
    over_all,
    solve,
)
from pixelwise.labelspace import IGNORE
from pixelwise.losses import class_counts, weights_of
from pixelwise.photos.ahead import worked_ahead
from pixelwise.processes import ALONE, Processes

_SPARSE_FRAC = 0.1  # labelled, of the pixels of a look; looks at flowers17 have 0.49 and more
_LEAST_A_CLASS = 20  # pixels of a look, where its labels are sparse
_ENOUGH = 30_000  # pixels in all, where looks are few: more change little
_LEAST_A_LOOK, _MOST_A_LOOK = 240, 3000  # pixels: more of one look are near each other and tell little
_MOST = 100_000  # in all: with 1,500 features each 0.6 GB in single precision
NUM_PIXELS_TO_CHOOSE = 6_000
"""Pixels by which the ridge is chosen: it matters less than by a factor of 3."""
_MOST_FOLDS = 3
_MANY = 12  # photos of which a third tells enough


@dataclass(frozen=True, eq=False)
class Look:
    """Features of one look at a photo, and the labels of what is seen in it."""

    photo: int
    """Which photo it is of: looks at one photo are left out together."""
    maps: Maps
    labels: UInt8[Tensor, "H W"]


@dataclass(frozen=True, eq=False)
class Gathered:
    """Labelled pixels of some looks."""

    features: Float[Tensor, "P D"]
    labels: UInt8[Tensor, " P"] | Float[Tensor, "P K"]
    """Classes, or probabilities of every class."""
    photos: Int64[Tensor, " P"]
    """Which photo each pixel is of."""

    def every(self, step: int, group: Processes = ALONE) -> Gathered:
        """Each `step`-th of all processes' pixels, in the order of one that had them all."""
        before = sum(group.each(len(self.labels))[: group.rank])
        own = slice(-before % step, None, step)
        parts = (self.features[own], self.labels[own], self.photos[own])
        if group.num == 1:
            return Gathered(*parts)
        return Gathered(*(torch.cat(group.each(part.clone())) for part in parts))

    def pixels(self, num_classes: int, class_weights: Tensor | None) -> Pixels:
        """All of them."""
        return Pixels(self.features, self.labels, num_classes, class_weights)


def pixels_a_look(num_looks: int) -> int:
    """About how many pixels are gathered from each of so many looks."""
    wanted = min(_MOST_A_LOOK, max(_LEAST_A_LOOK, _ENOUGH // num_looks))
    return max(1, min(wanted, _MOST // num_looks))


def gather(looks: Iterable[Look], a_look: int) -> Gathered:
    """About `a_look` pixels of each look, as `places_of` finds them.

    Looks are asked for one by one, while pixels of the one before are read, and not kept.
    """
    gathered = list(worked_ahead(lambda look: _gather_from(look, a_look), iter(looks), num_threads=1))
    labels, photos = (torch.cat([getattr(one, name) for one in gathered]) for name in ("labels", "photos"))
    features = [one.features for one in gathered]
    gathered.clear()
    return Gathered(_joined(features), labels, photos)


def _gather_from(look: Look, a_look: int) -> Gathered:
    height, width = look.labels.shape
    places = places_of(look.labels, a_look)
    labels = look.labels[places[:, 0], places[:, 1]]
    features = features_at(look.maps, places, (height, width))
    return Gathered(features, labels, torch.full((len(places),), look.photo))


def places_of(labels: UInt8[Tensor, "H W"], a_look: int) -> Int64[Tensor, "P 2"]:
    """(row, column) of the labelled ones of about `a_look` pixels on an even grid.

    Where few are labelled, as by scribbles or points, a grid would miss them: then of about `a_look` of the
    labelled ones, evenly taken, and of some of each class that is there.
    """
    height, width = labels.shape
    known = labels != IGNORE
    if int(known.sum()) >= _SPARSE_FRAC * height * width:
        places = grid(height, width, max(1, round((height * width / a_look) ** 0.5)))
        return places[known[places[:, 0], places[:, 1]]]
    labelled = known.nonzero()
    chosen = torch.zeros(len(labelled), dtype=torch.bool)
    chosen[:: max(1, round(len(labelled) / a_look))] = True
    classes = labels[known]
    for one in classes.unique():
        (own,) = (classes == one).nonzero(as_tuple=True)
        chosen[own[:: -(-len(own) // _LEAST_A_CLASS)]] = True
    return labelled[chosen]


def _joined(parts: list[Float[Tensor, "_P D"]]) -> Float[Tensor, "P D"]:
    """All rows, one part after the other, each let go when it is copied: never twice in memory."""
    joined = torch.empty(sum(len(part) for part in parts), parts[0].shape[1])
    stop = len(joined)
    while parts:
        part = parts.pop()
        joined[stop - len(part) : stop] = part
        stop -= len(part)
    return joined


def folds_of(num_photos: int) -> tuple[int, int]:
    """Into how many parts photos are dealt to choose the ridge by, and how many are left out in turn.

    Of many photos a third is left out once, of few each third in turn; one photo alone leaves nothing.
    """
    num_folds = min(_MOST_FOLDS, num_photos)
    if num_folds < 2:
        return 1, 0
    return num_folds, num_folds if num_photos < _MANY else 1


def best_ridge(
    gathered: Gathered,
    num_classes: int,
    class_weights: Tensor | None,
    moments: Moments,
    choose: Callable[[list[tuple[Pixels, Pixels]], Moments], Chosen] = choose_ridge,
) -> Chosen | None:
    """The ridge that does best on photos left out, as `choose` says; None where there is one photo alone."""
    every = max(1, len(gathered.labels) // NUM_PIXELS_TO_CHOOSE)
    features, labels, photos = (
        part[::every] for part in (gathered.features, gathered.labels, gathered.photos)
    )
    which, rank = torch.unique(photos, return_inverse=True)
    num_folds, num_left_out = folds_of(len(which))
    if num_left_out == 0:
        return None
    folds = []
    for fold in range(num_left_out):
        out = rank % num_folds == fold
        learned, left_out = (
            Pixels(features[part], labels[part], num_classes, class_weights) for part in (~out, out)
        )
        folds.append((learned, left_out))
    return choose(folds, moments)


@dataclass(frozen=True)
class Learned:
    """A head, and the scores by which its ridge was chosen (None: it was given)."""

    solved: Solved
    chosen: Chosen | None
    unseen: tuple[int, ...]
    """Classes that no pixel learned from has: the head cannot find them."""


DEFAULT_RIDGE = 0.1
"""Where one photo alone leaves nothing to choose by."""


def learn_exactly(
    looks: Callable[[], Iterable[Look]],
    num_looks: int,
    num_classes: int,
    *,
    ridge: float | None = None,
    rebalance: float = 0.0,
    whole: bool = False,
    group: Processes = ALONE,
) -> Learned:
    """The best head for some looks at photos, which `looks` gives anew each time.

    `ridge` (None: chosen by photos left out) is on features scaled to deviation 1. With `whole`, every
    labelled pixel of every look counts, through the enlargement, and all looks are held; without, a sample
    of pixels does, and looks are not kept. `rebalance` is as in `losses.class_weights`. Of a `group` of
    processes each calls this with its own of `num_looks` looks, one at least, in the order of one process
    that had them all; each gets that one's head.

    Raises:
        LabelError: no pixel has a label, all have the same, or a label is no class.
        ProcessLostError: another process of the group is gone.
    """
    gathered = group.all_or_none(lambda: gather(looks(), pixels_a_look(num_looks)))
    labels = torch.cat(group.each(gathered.labels))
    _require_two_classes(labels)
    # A sample may miss a class that whole photos have.
    counts = class_counts((look.labels for look in looks()) if whole else [gathered.labels], num_classes)
    group.add_up(counts)
    weights = weights_of(counts, rebalance) if rebalance else None
    moments, chosen = _scaled(gathered, len(labels), num_classes, weights, group, choose=ridge is None)
    if ridge is None:
        ridge = chosen.ridge if chosen else DEFAULT_RIDGE

    def solved_over(own: Objective | None, start: Weights | None) -> Solved:
        return over_all(
            own,
            len(moments.mean),
            num_classes,
            group,
            lambda objective: solve(objective, ridge, start, moments),
        )

    own = gathered.pixels(num_classes, weights) if _any_known([gathered.labels]) else None
    solved = solved_over(own, chosen.start if chosen else None)
    if whole:
        seen = list(looks())
        maps, drawn = [look.maps for look in seen], [look.labels for look in seen]
        photos = WholePhotos(maps, drawn, num_classes, weights) if _any_known(drawn) else None
        solved = solved_over(photos, solved.weights)
    return Learned(solved, chosen, tuple(int(one) for one in (counts == 0).nonzero()))


def _any_known(labels: Iterable[UInt8[Tensor, "..."]]) -> bool:
    return any(bool((one != IGNORE).any()) for one in labels)


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


def _scaled(
    gathered: Gathered,
    num_pixels: int,
    num_classes: int,
    class_weights: Tensor | None,
    group: Processes,
    *,
    choose: bool,
) -> tuple[Moments, Chosen | None]:
    """How all processes' features lie, and where asked the ridge that does best: of a sample of them."""
    num_features = gathered.features.shape[1]
    moments = Moments.of_rows(
        gathered.every(max(1, num_pixels // (ROWS_A_FEATURE * num_features)), group).features
    )
    if not choose:
        return moments, None
    some = gathered.every(max(1, num_pixels // NUM_PIXELS_TO_CHOOSE), group)
    return moments, group.by_first(lambda: best_ridge(some, num_classes, class_weights, moments))
