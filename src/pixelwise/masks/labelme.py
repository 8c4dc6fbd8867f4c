"""Labels in LabelMe's JSON, one file beside each photo: polygons, rectangles, circles and masks.

Classes are background and then the labels by the alphabet. Later shapes lie on top. LabelMe's word for pixels
without class is `__ignore__`, for background `_background_`. Source: github.com/wkentaro/labelme, examples.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8
from numpy import ndarray
from PIL.PngImagePlugin import PngImageFile

from pixelwise.classnames import BACKGROUND, ClassNames
from pixelwise.errors import LabelError
from pixelwise.labelspace import IGNORE
from pixelwise.masks.json_file import class_number, entries, numbers, read_json, short, text, whole_number
from pixelwise.masks.outlines import Points, check_image_size, inside_circle, inside_polygon, uncovered_label

_IGNORED, _BACKGROUND = "__ignore__", "_background_"


@dataclass(frozen=True, eq=False)
class Shape:
    """One shape in a LabelMe file."""

    label: str
    kind: str
    points: Points
    picture: str | None
    """Of a shape that is a mask: a PNG in base64."""


@dataclass(frozen=True, eq=False)
class LabelMeFile:
    """What was drawn on one photo."""

    path: Path
    height: int
    width: int
    shapes: tuple[Shape, ...]

    @property
    def names(self) -> set[str]:
        """The names of classes in it."""
        return {shape.label for shape in self.shapes} - {_IGNORED}

    def labels(self, classes: ClassNames) -> UInt8[ndarray, "H W"]:
        """Its labels.

        Raises:
            LabelError: a shape has no area or is damaged, or its label is not among the classes.
        """
        labels = np.full((self.height, self.width), uncovered_label(classes), np.uint8)
        for shape in self.shapes:
            value = IGNORE if shape.label == _IGNORED else class_number(classes, shape.label, self.path)
            labels[self._inside(shape)] = value
        return labels

    def _inside(self, shape: Shape) -> Bool[ndarray, "H W"]:
        where = f"{self.path}: {shape.label}"
        if shape.kind not in _KINDS:
            raise LabelError(
                f"{where}: needed a shape with an area ({', '.join(_KINDS)}), got a {shape.kind}; "
                "draw it as a polygon"
            )
        return _KINDS[shape.kind](shape, self.height, self.width, where)


def read_labelme(path: Path) -> LabelMeFile:
    """The shapes in a LabelMe file; whether they are whole is seen when they are filled in.

    Raises:
        DataError: there is no such file, or it is no JSON.
        LabelError: it is not LabelMe's kind of JSON.
    """
    values = read_json(path)
    shapes = tuple(_shape(shape, path) for shape in entries(values, "shapes", path))
    height, width = (whole_number(values, side, path) for side in ("imageHeight", "imageWidth"))
    check_image_size(height, width, path)
    return LabelMeFile(path, height, width, shapes)


def labelme_classes(files: Iterable[LabelMeFile]) -> ClassNames:
    """Background and the labels in these files.

    Raises:
        LabelError: there is no label, or more than 254.
    """
    return ClassNames((BACKGROUND, *sorted(set().union(*(file.names for file in files)) - {BACKGROUND})))


def _shape(values: Any, path: Path) -> Shape:
    label = text(values, "label", f"{path}: a shape")
    where = f"{path}: {label}"
    points = [numbers(point, where) for point in entries(values, "points", where)]
    if any(len(point) != 2 for point in points):
        raise LabelError(f"{where}: needed x and y for each point, got {short(points)}")
    kind, picture = values.get("shape_type") or "polygon", values.get("mask")
    return Shape(
        label=BACKGROUND if label == _BACKGROUND else label,
        kind=str(kind),
        points=np.array(points, float).reshape(-1, 2),
        picture=picture if isinstance(picture, str) else None,
    )


def _rectangle(shape: Shape, height: int, width: int, where: str) -> Bool[ndarray, "H W"]:
    if len(shape.points) == 4:  # as newer versions store it
        return inside_polygon(shape.points, height, width, where)
    (left, top), (right, bottom) = _two(shape, where)
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    return inside_polygon(corners, height, width, where)


def _circle(shape: Shape, height: int, width: int, where: str) -> Bool[ndarray, "H W"]:
    (x, y), (edge_x, edge_y) = _two(shape, where)
    return inside_circle(x, y, float(np.hypot(edge_x - x, edge_y - y)), height, width)


def _polygon(shape: Shape, height: int, width: int, where: str) -> Bool[ndarray, "H W"]:
    return inside_polygon(shape.points, height, width, where)


def _mask(shape: Shape, height: int, width: int, where: str) -> Bool[ndarray, "H W"]:
    """A picture laid on the photo, its upper left corner at the first point."""
    (left, top), _ = _two(shape, where).round().clip(-(2**31), 2**31).astype(int).tolist()
    try:
        with PngImageFile(io.BytesIO(base64.b64decode(shape.picture or ""))) as image:
            check_image_size(image.height, image.width, where)
            picture = np.asarray(image.convert("L")) > 0
    except LabelError:
        raise
    except Exception as error:  # whatever a damaged picture does to a library
        raise LabelError(f"{where}: needed a mask as PNG in base64, got something else ({error})") from error
    inside = np.zeros((height, width), bool)
    rows, columns = (
        slice(max(0, at), max(0, at + side)) for at, side in zip((top, left), picture.shape, strict=True)
    )
    shown = inside[rows, columns]
    shown[:] = picture[max(0, -top) :, max(0, -left) :][: shown.shape[0], : shown.shape[1]]
    return inside


def _two(shape: Shape, where: str) -> Points:
    if len(shape.points) != 2:
        raise LabelError(f"{where}: needed 2 points for a {shape.kind}, got {len(shape.points)}")
    return shape.points


_KINDS: dict[str, Callable[[Shape, int, int, str], Bool[ndarray, "H W"]]] = {
    "polygon": _polygon,
    "rectangle": _rectangle,
    "circle": _circle,
    "mask": _mask,
}
