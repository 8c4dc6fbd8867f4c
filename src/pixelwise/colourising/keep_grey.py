"""Parts of a photo that stay grey: paper around it with the writing on that, boxes, what is grey anyway."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import ndarray
from numpy.typing import NDArray

from pixelwise.colour.arrays import Bool, Float, Float32
from pixelwise.colour.palette import Palette, softmax
from pixelwise.colourising.known import KnownChroma, hint_chroma, light_map
from pixelwise.colourising.options import Area, Box, Hint
from pixelwise.errors import PhotoError
from pixelwise.photos.photo import Photo

_PAPER_SPREAD = 10.0  # of L around the paper's own
_SIDE_FRAC = 0.85  # of a side of the picture that has to be paper, on three sides at least
_WRITING_FRAC = 0.01  # of the picture: what is smaller and surrounded by paper is writing or a stain on it
_NEUTRAL = 10.0  # Lab units of chroma: what has less is taken for grey
# Shares of the narrowest box around a photo, turned as need be. A rectangular photo fills it with its hull,
# and half of it without its hollows, parts as light as the paper; an oval one fills less, but by itself.
_RECTANGULAR, _OVAL, _HALF = 0.88, 0.7, 0.5
_ON_THE_SIDE = 1e-6  # pixels: so near is what lies on it, whatever was rounded


def grey_areas(photo: Photo, areas: Sequence[Area], hints: Sequence[Hint] = ()) -> KnownChroma:
    """Return the paper and the boxes among `areas` as grey, or of the colours of hints that lie in them.

    A hint colours all of an area, several the part each that is nearest to it. PhotoError of a box outside.
    """
    light = light_map(photo)
    chroma, kept = np.zeros((2, *light.shape), np.float32), np.zeros(light.shape, np.float32)
    cells = {hint: hint.cell(photo.upright_size, light.shape) for hint in hints}
    notes = []
    for area in areas:
        if area == "likely":
            continue
        if area == "paper":
            share = paper(light).astype(np.float32)
            inside = [hint for hint in hints if share[cells[hint]] > 0]
            if not share.any():
                notes.append(f"{photo.path}: no paper was found to keep grey")
        else:
            share = _coverage(photo, area, light.shape)
            inside = [hint for hint in hints if area.holds(hint)]
        if inside:
            places = np.array([cells[hint] for hint in inside])[:, :, None, None]
            nearest = np.square(np.indices(light.shape) - places).sum(1).argmin(0)
            colours = np.stack([hint_chroma(hint) for hint in inside], axis=1)
            chroma[:, share > 0] = colours[:, nearest][:, share > 0]
        kept = np.maximum(kept, share)
    return KnownChroma(photo.as_stored(kept), photo.as_stored(chroma), tuple(notes))


def _coverage(photo: Photo, box: Box, map_size: tuple[int, ...]) -> Float32[ndarray, "h w"]:
    size = photo.upright_size
    if box.top >= size[0] or box.left >= size[1]:
        raise PhotoError(
            f"{photo.path}: needed a box to keep grey within its {size[0]} rows and {size[1]} columns, "
            f"got {box}"
        )
    overlaps = []
    spans = ((box.top, box.bottom), (box.left, box.right))
    for (first, after), num, side in zip(spans, map_size, size, strict=True):
        steps = np.arange(num)
        overlap = np.minimum(steps + 1, after * num / side) - np.maximum(steps, first * num / side)
        overlaps.append(overlap.clip(0, 1).astype(np.float32))
    return np.outer(*overlaps)


def likely_grey(photo: Photo, logits: Float[ndarray, "K h w"], palette: Palette) -> KnownChroma:
    """Return as grey what is more probably grey than not; in part where both are about as probable."""
    neutral = np.linalg.norm(palette.class_chroma, axis=1) < _NEUTRAL
    probability = softmax(logits)[neutral].sum(0)
    share = ((probability - 0.4) / 0.2).clip(0, 1)
    notes = () if share.any() else (f"{photo.path}: nothing was found that is likely grey",)
    return KnownChroma(share, np.zeros((2, *share.shape), np.float32), notes)


def paper(light: Float[ndarray, "h w"]) -> Bool[ndarray, "h w"]:
    """Return where a picture, in L, shows the mount, border or page that a photo is on, or writing on it.

    Paper is what is connected with the picture's edge and as light as most of it. It has to make up nearly
    all of three sides at least, and what is on it has to be rectangular or oval: a bird in a plain sky is no
    photo on paper. What is as light as the paper but lies within a rectangular photo belongs to the photo.
    """
    from scipy import ndimage  # plain colouring can spare it

    smooth = ndimage.median_filter(light, size=3)
    alike = np.abs(smooth - np.median(_rim(smooth))) < _PAPER_SPREAD
    alike[1:-1, 1:-1] = ndimage.binary_opening(alike)[1:-1, 1:-1]  # narrow passages into the photo are closed
    numbers, _ = ndimage.label(alike)
    of_rim = np.unique(_rim(numbers))
    sheet = np.isin(numbers, of_rim[of_rim > 0])
    sides = (sheet[0], sheet[-1], sheet[:, 0], sheet[:, -1])
    if sum(side.mean() > _SIDE_FRAC for side in sides) < 3:
        return np.zeros_like(sheet)
    numbers, num = ndimage.label(~sheet)
    sizes = np.bincount(numbers.ravel(), minlength=num + 1)
    photos = np.zeros_like(sheet)
    for number in range(1, num + 1):
        if sizes[number] < _WRITING_FRAC * sheet.size:
            continue
        outline = ndimage.binary_fill_holes(numbers == number)
        hull, whole = _hull_and_box(outline)
        if hull.sum() > _RECTANGULAR * whole.sum() and outline.sum() > _HALF * whole.sum():
            outline = whole
        elif outline.sum() < _OVAL * whole.sum():
            return np.zeros_like(sheet)
        photos |= outline
    return ~photos


def _rim(picture: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([picture[0], picture[-1], picture[1:-1, 0], picture[1:-1, -1]])


def _hull_and_box(outline: Bool[ndarray, "h w"]) -> tuple[Bool[ndarray, "h w"], Bool[ndarray, "h w"]]:
    """Return the convex hull of an outline's pixels, and the smallest rectangle around it, turned as need be.

    One of that one's sides lies along one of the hull's. Source: Freeman, Shapira, "Determining the
    minimum-area encasing rectangle for an arbitrary closed curve", CACM 18(7), 1975.
    """
    from scipy.spatial import ConvexHull

    padded = np.pad(outline, 1)
    touched = padded[1:, 1:] | padded[1:, :-1] | padded[:-1, 1:] | padded[:-1, :-1]
    hull = ConvexHull(np.argwhere(touched) - 0.5)  # of the pixels' corners: a line of pixels has an area, too
    corners, across = hull.points[hull.vertices], hull.equations[:, :2]  # each side's normal, of length 1
    along = across[:, ::-1] * (1, -1)
    best = np.prod([np.ptp(corners @ axes.T, axis=0) for axes in (across, along)], axis=0).argmin()
    normals = np.array([across[best], -across[best], along[best], -along[best]])
    box = np.column_stack((normals, -(corners @ normals.T).max(axis=0)))
    return _inside(hull.equations, outline.shape), _inside(box, outline.shape)


def _inside(sides: Float[ndarray, "S 3"], size: tuple[int, ...]) -> Bool[ndarray, "h w"]:
    """Return the pixels whose centres lie in a convex polygon: a row + b column + c <= 0 for each side."""
    rows, columns = np.ogrid[: size[0], : size[1]]
    inside = np.ones(size, bool)
    for across_rows, across_columns, offset in sides:
        inside &= across_rows * rows + across_columns * columns + offset <= _ON_THE_SIDE
    return inside
