"""Large pictures in tiles that overlap, so that a network's features stay those of the whole picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jaxtyping import Float, Shaped
from torch import Tensor

Maps = Sequence[Float[Tensor, "_C _h _w"]]
"""The features of one photo: maps of several sizes, each over the whole photo."""


@dataclass(frozen=True)
class Span:
    """A tile's rows or columns: those whose features it gives, and those that the network reads for them."""

    start: int
    stop: int
    seen_start: int
    seen_stop: int

    def at(self, stride: int, origin: int = 0) -> slice:
        """Return its place in a map at `stride` that begins at the picture's row or column `origin`."""
        return slice((self.start - origin) // stride, (self.stop - origin) // stride)


@dataclass(frozen=True)
class Tile:
    """A rectangle of a picture."""

    rows: Span
    columns: Span

    def crop(self, image: Shaped[Tensor, "3 H W"]) -> Shaped[Tensor, "3 h w"]:
        """Return what the network reads of a picture for this tile."""
        rows, columns = self.rows, self.columns
        return image[:, rows.seen_start : rows.seen_stop, columns.seen_start : columns.seen_stop]


def split(
    height: int, width: int, *, step: int, margin: int, max_pixels: int, margins: float = 4
) -> list[Tile]:
    """Return tiles that cover a picture once, each read with `margin` pixels around it; fewest pixels in all.

    Every border lies at a multiple of `step`, or at the picture's own. No tile reads more than `max_pixels`,
    or a square of so many `margins`, whichever is larger: with less, most of what is read would be margins.
    """
    limit = max(max_pixels, int(margins * margin) ** 2, (2 * margin + step) ** 2)
    if height * width <= limit:
        return [Tile(Span(0, height, 0, height), Span(0, width, 0, width))]
    cuts = [[_cut(side, num, step, margin) for num in range(1, side // step + 1)] for side in (height, width)]
    best, fewest = None, float("inf")
    for rows, longest, total in cuts[0]:
        # the first that fits has the fewest margins
        fits = next((columns for columns in cuts[1] if longest * columns[1] <= limit), None)
        if fits is not None and total * fits[2] < fewest:
            best, fewest = (rows, fits[0]), total * fits[2]
    assert best is not None  # tiles of one step fit
    return [Tile(row, column) for row in best[0] for column in best[1]]


def _cut(side: int, num: int, step: int, margin: int) -> tuple[list[Span], int, int]:
    """Return a side of a picture in `num` spans of nearly one length, the longest one read, and their sum."""
    length = -(-side // (num * step)) * step
    spans = [
        Span(start, min(start + length, side), max(0, start - margin), min(start + length + margin, side))
        for start in range(0, side, length)
    ]
    lengths = [span.seen_stop - span.seen_start for span in spans]
    return spans, max(lengths), sum(lengths)


def stitch(
    image: Shaped[Tensor, "3 H W"],
    tiles: Sequence[Tile],
    strides: Sequence[int],
    forward: Callable[[Tensor], Maps],
) -> Maps:
    """Return the maps of the whole picture, one at each of `strides`, from those of each tile."""
    if len(tiles) == 1:
        return forward(image)
    whole: list[Tensor] = []
    for tile in tiles:
        maps = forward(tile.crop(image))
        if not whole:
            height, width = image.shape[1:]
            for level, stride in zip(maps, strides, strict=True):
                whole.append(level.new_empty(len(level), height // stride, width // stride))
        rows, columns = tile.rows, tile.columns
        for target, level, stride in zip(whole, maps, strides, strict=True):
            own = level[:, rows.at(stride, rows.seen_start), columns.at(stride, columns.seen_start)]
            target[:, rows.at(stride), columns.at(stride)] = own
    return tuple(whole)
