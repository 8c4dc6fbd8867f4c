"""A large picture in tiles that overlap, so that what a network says of it stays the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jaxtyping import Shaped
from torch import Tensor


@dataclass(frozen=True)
class Span:
    """A tile's rows or columns: what it answers for, and what the network sees to answer rightly."""

    start: int
    stop: int
    seen_start: int
    seen_stop: int

    def own(self, stride: int) -> slice:
        """Its own rows or columns of a map at `stride`, counted from the picture's first."""
        return slice(self.start // stride, self.stop // stride)

    def own_of_seen(self, stride: int) -> slice:
        """The same, counted from the first one seen."""
        return slice((self.start - self.seen_start) // stride, (self.stop - self.seen_start) // stride)


@dataclass(frozen=True)
class Tile:
    """A rectangle of a picture."""

    rows: Span
    columns: Span

    @property
    def num_seen(self) -> int:
        """Pixels that the network sees of it."""
        return (self.rows.seen_stop - self.rows.seen_start) * (
            self.columns.seen_stop - self.columns.seen_start
        )


def split(
    height: int, width: int, *, step: int, margin: int, max_pixels: int, margins: float = 4
) -> list[Tile]:
    """Tiles that cover a picture once, each seen with `margin` pixels around it; the fewest pixels in all.

    Every border lies at a multiple of `step`, or at the picture's own. None sees more than `max_pixels`, or
    more than a square of so many `margins`, whichever is larger: in smaller ones than four the network would
    see little but margins, and every pixel many times over.
    """
    limit = max(max_pixels, int(margins * margin) ** 2, (2 * margin + step) ** 2)
    if height * width <= limit:
        return [Tile(Span(0, height, 0, height), Span(0, width, 0, width))]
    rows, columns = (
        [_Cut(side, n, step, margin) for n in range(1, side // step + 1)] for side in (height, width)
    )
    fitting = (
        (cut, next((other for other in columns if cut.longest * other.longest <= limit), None))
        for cut in rows
    )
    best = min(((r, c) for r, c in fitting if c), key=lambda pair: pair[0].total * pair[1].total)
    return [Tile(row, column) for row in best[0].spans for column in best[1].spans]


class _Cut:
    """One side of a picture in `num` spans of nearly one length."""

    def __init__(self, side: int, num: int, step: int, margin: int) -> None:
        length = -(-side // (num * step)) * step
        self.spans = [
            Span(start, min(start + length, side), max(0, start - margin), min(start + length + margin, side))
            for start in range(0, side, length)
        ]
        lengths = [span.seen_stop - span.seen_start for span in self.spans]
        self.longest, self.total = max(lengths), sum(lengths)


Maps = tuple[Shaped[Tensor, "_C _h _w"], ...]
"""One picture's maps, one for each level of a network."""


def stitch(
    image: Shaped[Tensor, "3 H W"],
    tiles: Sequence[Tile],
    strides: Sequence[int],
    look: Callable[[Tensor], Maps],
) -> Maps:
    """The maps of the whole picture, one at each of `strides`, from what `look` says of each tile."""
    if len(tiles) == 1:
        return look(image)
    whole: list[Tensor] = []
    for tile in tiles:
        rows, columns = tile.rows, tile.columns
        seen = look(image[:, rows.seen_start : rows.seen_stop, columns.seen_start : columns.seen_stop])
        if not whole:
            height, width = image.shape[1:]
            whole = [
                one.new_empty(len(one), height // stride, width // stride)
                for one, stride in zip(seen, strides, strict=True)
            ]
        for target, one, stride in zip(whole, seen, strides, strict=True):
            own = one[:, rows.own_of_seen(stride), columns.own_of_seen(stride)]
            target[:, rows.own(stride), columns.own(stride)] = own
    return tuple(whole)
