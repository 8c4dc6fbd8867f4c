"""Outlines and run lengths filled in: which pixels of an image lie inside."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray
from pycocotools import mask as coco_mask

from pixelwise.classnames import BACKGROUND, ClassNames
from pixelwise.errors import LabelError
from pixelwise.labelspace import IGNORE
from pixelwise.photos.formats import MAX_MEGAPIXELS

_FARTHEST = 1e12  # pixels; beyond this, differences of coordinates lose whole pixels and then overflow
_MOST_WINDINGS = 1000  # times around the image; real outlines stay below a hundredth of it

Points = Float64[ndarray, "_ 2"]
"""(x, y) in pixels; the first pixel's upper left corner is (0, 0), its centre (0.5, 0.5)."""


def check_image_size(height: int, width: int, where: object) -> None:
    """Make sure that an image of this size may be filled.

    Raises:
        LabelError: it has no pixel, or more than 500 megapixels.
    """
    if min(height, width) < 1 or height * width > MAX_MEGAPIXELS * 1e6:
        needed = f"1 pixel to {MAX_MEGAPIXELS:g} megapixels"
        raise LabelError(f"{where}: needed an image of {needed}, got {width} x {height}")


def uncovered_label(classes: ClassNames) -> int:
    """What pixels are that no outline covers: background if there is such a class, else without class."""
    return classes.names.index(BACKGROUND) if BACKGROUND in classes.names else IGNORE


def inside_polygon(points: Points, height: int, width: int, where: object) -> Bool[ndarray, "H W"]:
    """The pixels inside a polygon, as COCO's own tools count them; what is outside the image is cut off.

    Raises:
        LabelError: it has fewer than three points, or winds on without end.
    """
    if len(points) < 3:
        raise LabelError(f"{where}: needed an outline of at least 3 points, got {len(points)}")
    # COCO's tools take memory for every pixel along the outline, also outside; the room left around the image
    # keeps their rounding as it would be.
    room = height + width
    cut = _cut(points.clip(-_FARTHEST, _FARTHEST), (-room, -room), (width + room, height + room))
    if len(cut) < 3:
        return np.zeros((height, width), bool)
    length = np.abs(np.diff(cut, axis=0, append=cut[:1])).max(axis=1).sum()
    if length > _MOST_WINDINGS * room:
        raise LabelError(f"{where}: needed an outline, got one of {length:.0f} pixels in {width} x {height}")
    (runs,) = coco_mask.frPyObjects([cut.ravel().tolist()], height, width)
    return inside_runs(unpack_runs(runs["counts"].decode(), where), height, width, where)


def inside_circle(x: float, y: float, radius: float, height: int, width: int) -> Bool[ndarray, "H W"]:
    """The pixels whose centres lie in a circle."""
    away_x, away_y = (
        np.minimum(np.abs(np.arange(side) + 0.5 - centre), _FARTHEST)
        for side, centre in ((width, x), (height, y))
    )
    return away_y[:, None] ** 2 + away_x**2 <= min(radius, _FARTHEST) ** 2


def inside_runs(lengths: list[int], height: int, width: int, where: object) -> Bool[ndarray, "H W"]:
    """The pixels of COCO's run lengths: column by column, outside and inside in turn, outside first.

    pycocotools is not asked: where the lengths do not add up, it gives memory that nobody wrote.

    Raises:
        LabelError: a length is negative, or they do not add up to the image.
    """
    if min(lengths, default=0) < 0 or sum(lengths) != height * width:
        raise LabelError(f"{where}: needed run lengths that add up to {width} x {height}, got {sum(lengths)}")
    turns = np.arange(len(lengths)) % 2 == 1
    return np.repeat(turns, np.array(lengths, np.int64)).reshape(width, height).T


def unpack_runs(packed: str, where: object) -> list[int]:
    """COCO's compressed run lengths, from the fourth on stored as differences to the one before the last.

    Five bits to a character, the lowest first; a sixth says that more follow. Source: cocoapi, maskApi.c.

    Raises:
        LabelError: a character is not one of theirs, or the last number is cut off.
    """
    lengths: list[int] = []
    number = place = 0
    for character in packed:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or place > 60:
            raise LabelError(f"{where}: needed compressed run lengths, got {character!r} among them")
        number |= (bits & 31) << place
        place += 5
        if bits & 32:
            continue
        if bits & 16:  # the sign of a number of `place` bits
            number -= 1 << place
        lengths.append(number + (lengths[-2] if len(lengths) > 2 else 0))
        number = place = 0
    if place:
        raise LabelError(f"{where}: needed compressed run lengths, got some that are cut off")
    return lengths


def _cut(points: Points, low: tuple[float, float], high: tuple[float, float]) -> Points:
    """The polygon inside a rectangle. Source: Sutherland and Hodgman 1974, doi:10.1145/360767.360802."""
    for axis in (0, 1):
        for limit, sign in ((low[axis], 1), (high[axis], -1)):
            away = sign * (points[:, axis] - limit)
            if len(points) and away.min() < 0:
                points = _cut_once(points, away)
    return points


def _cut_once(points: Points, away: Float64[ndarray, " _"]) -> Points:
    """The polygon without what lies at negative distances from a line."""
    before, away_before = np.roll(points, 1, axis=0), np.roll(away, 1)
    crosses = (away < 0) != (away_before < 0)
    share = np.divide(away_before, away_before - away, out=np.zeros_like(away), where=crosses)
    crossings = before + share[:, None] * (points - before)
    both = np.stack([crossings, points], axis=1).reshape(-1, 2)
    return both[np.stack([crosses, away >= 0], axis=1).ravel()]
