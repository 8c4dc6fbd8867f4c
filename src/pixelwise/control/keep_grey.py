"""What of a photo stays as it is: paper around it and writing on that, boxes, what is grey anyway."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from numpy import ndarray
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from pixelwise.control.hints import hint_chroma, light_map
from pixelwise.control.options import Area, Box, Hint
from pixelwise.control.told import Told
from pixelwise.errors import PhotoError
from pixelwise.labelspace import Palette
from pixelwise.photos.photo import Photo

__all__ = ["Area", "Box", "grey_areas", "likely_grey", "paper"]

_PAPER_SPREAD = 10.0  # of L around the paper's own
_SIDE_FRAC = 0.85  # of a side of the picture that has to be paper, on three sides at least
_WRITING_FRAC = 0.01  # of the picture: what is smaller and surrounded by paper is writing or a stain on it
_NEUTRAL = 10.0  # Lab units of chroma: what has less is taken for grey
_RECTANGULAR, _OVAL, _HALF = 0.88, 0.7, 0.5
"""Shares of the narrowest box around a photo, turned as need be. A rectangular photo fills it with its hull,
and half of it without its hollows, parts as light as the paper; an oval one fills less, but by itself."""

Mask = NDArray[np.bool_]
Share = NDArray[np.float32]


def grey_areas(photo: Photo, areas: Sequence[Area], hints: Sequence[Hint] = ()) -> Told:
    """The paper and the boxes among `areas`, told to be grey; or of the colours of hints that lie in them.

    A hint colours all of an area, several the part each that is nearest to it. What is likely grey the photo
    does not say: see `likely_grey`.

    Raises:
        PhotoError: a box lies outside the photo; the file is damaged or cut short.
    """
    light = light_map(photo).numpy()
    size, map_size = photo.upright_size, (light.shape[0], light.shape[1])
    chroma = np.zeros((2, *map_size), np.float32)
    kept = np.zeros(map_size, np.float32)
    notes = []
    for area in areas:
        if area == "likely":
            continue
        share, note = _share(photo, area, light)
        inside = [
            hint
            for hint in hints
            if (share[hint.cell(size, map_size)] > 0 if area == "paper" else area.holds(hint))
        ]
        if inside:
            chroma[:, share > 0] = _of_nearest(inside, size, map_size)[:, share > 0]
        kept = np.maximum(kept, share)
        notes += [note] if note else []
    told = photo.as_stored(torch.from_numpy(kept)), photo.as_stored(torch.from_numpy(chroma))
    return Told(*told, notes=tuple(notes))


def _share(photo: Photo, area: Literal["paper"] | Box, light: Float[ndarray, "h w"]) -> tuple[Share, str]:
    """How much of each cell of a map an area covers, and a note for the user where it is next to none."""
    if area == "paper":
        sheet = paper(light)
        note = "" if sheet.any() else f"{photo.path}: no paper was found to keep grey"
        return sheet.astype(np.float32), note
    (height, width), map_size = photo.upright_size, (light.shape[0], light.shape[1])
    if area.top >= height or area.left >= width:
        raise PhotoError(
            f"{photo.path}: needed a box to keep grey within its {height} rows and {width} columns, "
            f"got {area.text}"
        )
    share = _coverage(area, (height, width), map_size)
    thin = share.max() < 0.5
    cell = math.ceil(max(height / map_size[0], width / map_size[1]))
    note = (
        f"{photo.path}: the box {area.text} is kept grey in part, colours change over {cell} pixels or more"
    )
    return share, note if thin else ""


def _coverage(box: Box, size: tuple[int, int], map_size: tuple[int, int]) -> Float32[ndarray, "h w"]:
    """Return how much of each cell of a map lies in a box, 0 to 1, where the photo has `size`."""
    down, across = (
        _overlap(first * num / whole, after * num / whole, num)
        for first, after, num, whole in zip(
            (box.top, box.left), (box.bottom, box.right), map_size, size, strict=True
        )
    )
    return np.outer(down, across)


def _overlap(first: float, after: float, num: int) -> Float32[ndarray, " num"]:
    """How much of each of `num` unit steps lies between two places."""
    steps = np.arange(num)
    return (np.minimum(steps + 1, after) - np.maximum(steps, first)).clip(0, 1).astype(np.float32)


def _of_nearest(
    hints: Sequence[Hint], size: tuple[int, int], map_size: tuple[int, int]
) -> Float32[ndarray, "2 h w"]:
    """The chroma of the hint that is nearest to each cell."""
    cells = np.array([hint.cell(size, map_size) for hint in hints])
    away = np.indices(map_size)[None] - cells[:, :, None, None]
    colours = torch.stack([hint_chroma(hint) for hint in hints], dim=1).numpy()
    nearest: Float32[ndarray, "2 h w"] = colours[:, np.square(away).sum(1).argmin(0)]
    return nearest


def likely_grey(photo: Photo, logits: Float[Tensor, "K h w"], palette: Palette) -> Told:
    """What a network says is grey by more chances than not, told to be grey; where it is even, in part."""
    neutral = palette.class_chroma.norm(dim=1) < _NEUTRAL
    chance = logits.softmax(0)[neutral].sum(0)
    share = ((chance - 0.4) / 0.2).clamp(0, 1)
    notes = () if share.any() else (f"{photo.path}: nothing was found that is likely grey",)
    return Told(share, torch.zeros(2, *share.shape), notes)


def paper(light: Float[ndarray, "h w"]) -> Bool[ndarray, "h w"]:
    """Where a picture, in L, shows the mount, border or page that a photo is on, or writing on it.

    Paper is what is connected with the picture's edge and as light as most of it. It has to make up nearly
    all of three sides at least, and what is on it has to be rectangular or oval: a bird in a plain sky is no
    photo on paper. What is as light as the paper but lies within a rectangular photo belongs to the photo.
    """
    smooth = ndimage.median_filter(light, size=3)
    alike = np.abs(smooth - np.median(_rim(smooth))) < _PAPER_SPREAD
    alike[1:-1, 1:-1] = ndimage.binary_opening(alike)[1:-1, 1:-1]  # narrow passages into the photo are closed
    numbers, _ = ndimage.label(alike)
    of_rim = np.unique(_rim(numbers))
    sheet = np.isin(numbers, of_rim[of_rim > 0])
    sides = (sheet[0], sheet[-1], sheet[:, 0], sheet[:, -1])
    if sum(side.mean() > _SIDE_FRAC for side in sides) < 3:
        return np.zeros_like(sheet)
    return _without_photos(sheet)


def _rim(picture: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([picture[0], picture[-1], picture[1:-1, 0], picture[1:-1, -1]])


def _without_photos(sheet: Mask) -> Mask:
    """A sheet of paper, and all but the photos that lie on it; nothing, if what lies there is no photo."""
    numbers, num = ndimage.label(~sheet)
    sizes = np.bincount(numbers.ravel(), minlength=num + 1)
    covered = np.zeros_like(sheet)
    for number in range(1, num + 1):
        if sizes[number] < _WRITING_FRAC * sheet.size:
            continue
        outline = ndimage.binary_fill_holes(numbers == number)
        points = np.argwhere(outline)[:, ::-1].astype(np.int32)
        box = cv2.minAreaRect(points)
        hull, whole = (_filled(corners, sheet) for corners in (cv2.convexHull(points), cv2.boxPoints(box)))
        if hull.sum() > _RECTANGULAR * whole.sum() and outline.sum() > _HALF * whole.sum():
            outline = whole
        elif outline.sum() < _OVAL * whole.sum():
            return np.zeros_like(sheet)
        covered |= outline
    return ~covered


def _filled(corners: NDArray[Any], like: Mask) -> Mask:
    """A polygon of x, y, filled."""
    polygon = corners.round().astype(np.int32)
    filled: Mask = cv2.fillConvexPoly(np.zeros(like.shape, np.uint8), polygon, 1) > 0
    return filled
