"""Outlines drawn in COCO's or LabelMe's tools, filled: labels of each photo.

In COCO's file classes are background and then the categories by their ids. What comes later lies on top;
crowds, which are outlined without care, are ignored where nothing else is. LabelMe writes one file beside
each photo; classes are background and then the labels by the alphabet, `__ignore__` means no class. What no
outline covers is background, or without class where the classes given have none of that name.

Source: https://cocodataset.org/#format-data; github.com/wkentaro/labelme, examples.
"""

from __future__ import annotations

import base64
import io
import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray
from PIL import Image
from PIL.PngImagePlugin import PngImageFile
from pycocotools import mask as coco_mask

from pixelwise.colour.arrays import Bool, UInt8
from pixelwise.colour.palette import IGNORE
from pixelwise.errors import LabelError, shortened
from pixelwise.labels.class_names import BACKGROUND, ClassNames
from pixelwise.labels.json_file import check_numbers, get, read_json
from pixelwise.network.config import MAX_MEGAPIXELS

_logger = logging.getLogger(__name__)
_CORNERS = 3  # of a polygon, at least
Size = tuple[int, int]  # height and width


@dataclass(frozen=True, eq=False)
class Shape:
    """One outline; it is checked when it is filled."""

    name: str | None  # its class; None for pixels without class
    fill: Callable[[Size, str], Bool[ndarray, "H W"]]  # where it is in an image; errors begin with the text


@dataclass(frozen=True, eq=False)
class OutlinedPhoto:
    """All outlines of one photo, the uppermost last."""

    file: Path  # the JSON file
    name: str  # the photo's file name as COCO has it, perhaps with folders before it; empty for LabelMe
    size: Size
    shapes: tuple[Shape, ...]

    def labels(self, classes: ClassNames) -> UInt8[ndarray, "H W"]:
        """Fill the outlines; LabelError where one is damaged or its class is none of `classes`."""
        labels = np.full(self.size, uncovered_label(classes), np.uint8)
        for shape in self.shapes:
            label = IGNORE if shape.name is None else _index(classes, shape.name, self.file)
            where = f"{self.file}: {self.name or shape.name or '__ignore__'}"
            labels[shape.fill(self.size, where)] = label
        return labels


def uncovered_label(classes: ClassNames) -> int:
    """Return the label of pixels that no outline covers."""
    return classes.names.index(BACKGROUND) if BACKGROUND in classes.names else IGNORE


def read_coco(path: Path, classes: ClassNames | None = None) -> tuple[ClassNames, tuple[OutlinedPhoto, ...]]:
    """Read a COCO file: its classes, unless they are given, and its photos.

    DataError where it is no JSON; LabelError where it is not COCO's kind of JSON, or a category is not among
    the classes.
    """
    values = read_json(path)
    names: dict[int, str] = {}
    for category in get(values, "categories", list, path):
        name = get(category, "name", str, f"{path}: a category")
        number = get(category, "id", int, f"{path}: a category")
        names[number] = BACKGROUND if name.lower() == BACKGROUND else name
    if classes is None:
        called = (names[number] for number in sorted(names))
        try:
            classes = ClassNames((BACKGROUND, *(name for name in called if name != BACKGROUND)))
        except LabelError as error:
            raise LabelError(f"{path}: {error}; these are its categories") from error
    images = get(values, "images", list, path)
    shapes: dict[int, list[Shape]] = {get(image, "id", int, f"{path}: an image"): [] for image in images}
    if len(shapes) < len(images):
        raise LabelError(f"{path}: needed a different id for each image, got one twice")
    for annotation in get(values, "annotations", list, path):
        where = f"{path}: an annotation"
        image_id = get(annotation, "image_id", int, where)
        category = get(annotation, "category_id", int, where)
        if image_id not in shapes or category not in names:
            missing = f"image {image_id}" if image_id not in shapes else f"category {category}"
            raise LabelError(f"{where}: it is of {missing}, which the file does not have")
        _index(classes, names[category], path)
        is_crowd = annotation.get("iscrowd") == 1
        fill = partial(_fill_coco, annotation.get("segmentation"))
        shapes[image_id].append(Shape(None if is_crowd else names[category], fill))
    photos = []
    for image in images:
        name = get(image, "file_name", str, f"{path}: an image")
        size = _size(image, "height", "width", f"{path}: {name}")
        crowds_first = sorted(shapes[int(image["id"])], key=lambda shape: shape.name is not None)
        photos.append(OutlinedPhoto(path, name, size, tuple(crowds_first)))
    return classes, tuple(photos)


def read_labelme(path: Path) -> OutlinedPhoto:
    """Read a LabelMe file; DataError if it is no JSON, LabelError if it is of another kind.

    Points, lines and the like have no area: they are left out, with a warning.
    """
    values = read_json(path)
    shapes = []
    for shape in get(values, "shapes", list, path):
        label = get(shape, "label", str, f"{path}: a shape")
        if without_area := _kind_without_area(shape):
            _logger.warning("%s: left out %s of %s, which has no area", path, without_area, label)
            continue
        name = {"__ignore__": None, "_background_": BACKGROUND}.get(label, label)
        shapes.append(Shape(name, partial(_fill_labelme, shape)))
    return OutlinedPhoto(path, "", _size(values, "imageHeight", "imageWidth", path), tuple(shapes))


def _kind_without_area(shape: Any) -> str:
    """Return what a shape of LabelMe's is that no pixel can lie in; nothing for others."""
    kind, points = shape.get("shape_type") or "polygon", shape.get("points")
    if kind in ("point", "points", "line", "linestrip"):
        return f"a {kind}"
    is_short = kind in ("polygon", "rotation") and isinstance(points, list) and len(points) < _CORNERS
    return f"a {kind} of {len(points)} points" if is_short else ""


def labelme_classes(photos: Iterable[OutlinedPhoto]) -> ClassNames:
    """Return background and the labels of all shapes by the alphabet; LabelError if there are none."""
    names = {shape.name for photo in photos for shape in photo.shapes if shape.name}
    return ClassNames((BACKGROUND, *sorted(names - {BACKGROUND})))


def unpack_runs(packed: str, where: object) -> list[int]:
    """Unpack COCO's compressed run lengths, from the fourth on differences to the one before the last.

    Five bits to a character, the lowest first; a sixth says that more follow. Source: cocoapi, maskApi.c.
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


def _fill_coco(outline: Any, size: Size, where: str) -> Bool[ndarray, "H W"]:
    if isinstance(outline, list):
        return _fill_polygons([_points(polygon, size, where) for polygon in outline], size, where)
    if not isinstance(outline, dict):
        raise LabelError(f"{where}: needed polygons or run lengths, got {shortened(outline)}")
    if (given := outline.get("size")) != [*size]:
        raise LabelError(f"{where}: needed run lengths of the image's size {[*size]}, got {shortened(given)}")
    counts = outline.get("counts")
    lengths = unpack_runs(counts, where) if isinstance(counts, str) else check_numbers(counts, where)
    return _fill_runs(lengths, size, where)


def _fill_labelme(shape: Any, size: Size, where: str) -> Bool[ndarray, "H W"]:
    points = [_points(point, size, where) for point in get(shape, "points", list, where)]
    if any(len(point) != 2 for point in points):
        raise LabelError(f"{where}: needed x and y for each point, got {shortened(points)}")
    match shape.get("shape_type") or "polygon", points:
        # newer versions give all four corners of a rectangle
        case ("polygon" | "rotation", _) | ("rectangle", [_, _, _, _]):
            return _fill_polygons([[value for point in points for value in point]], size, where)
        case "rectangle", [[x, y], [end_x, end_y]]:
            return _fill_polygons([[x, y, end_x, y, end_x, end_y, x, end_y]], size, where)
        case "circle", [[x, y], on_edge]:  # pixels whose centres lie in it
            rows, columns = np.ogrid[: size[0], : size[1]]
            return np.asarray(np.hypot(rows + 0.5 - y, columns + 0.5 - x) <= math.dist((x, y), on_edge))
        case "mask", [[left, top], _]:
            return _fill_picture(shape.get("mask"), (round(left), round(top)), size, where)
        case kind, _:
            raise LabelError(
                f"{where}: needed a polygon, or 2 points of a rectangle, circle or mask, got a {kind} of "
                f"{len(points)}; draw it as a polygon"
            )


def _fill_picture(packed: Any, corner: tuple[int, int], size: Size, where: str) -> Bool[ndarray, "H W"]:
    """Fill what is not black in a PNG in base64 that lies at a corner, x and y."""
    filled = Image.new("L", size[::-1])
    try:
        picture = PngImageFile(io.BytesIO(base64.b64decode(packed)))
        if picture.height > size[0] or picture.width > size[1]:
            raise ValueError(f"{picture.width} x {picture.height} is larger than the image")
        filled.paste(picture.convert("L"), corner)
    except Exception as error:  # whatever a damaged picture does to a library
        raise LabelError(f"{where}: needed a mask as PNG in base64, got something else ({error})") from error
    return np.asarray(filled) > 0


def _fill_runs(lengths: Sequence[float], size: Size, where: str) -> Bool[ndarray, "H W"]:
    """Fill COCO's run lengths: column by column, outside and inside in turn, outside first."""
    # pycocotools is not asked: where the lengths do not add up, it gives memory that nobody wrote
    height, width = size
    if broken := [length for length in lengths if int(length) != length]:
        raise LabelError(f"{where}: needed whole run lengths, got {broken[0]:g}")
    if min(lengths, default=0) < 0 or sum(lengths) != height * width:
        needed = f"run lengths that add up to {width} x {height}"
        raise LabelError(f"{where}: needed {needed}, got {sum(lengths):.0f}")
    is_inside = np.arange(len(lengths)) % 2 == 1
    return np.repeat(is_inside, np.array(lengths, np.int64)).reshape(width, height).T


def _fill_polygons(polygons: list[list[float]], size: Size, where: str) -> Bool[ndarray, "H W"]:
    """Fill polygons, each x, y, x, y, ..., as COCO's own tools do."""
    for flat in polygons:
        if len(flat) % 2 or len(flat) < 6:
            raise LabelError(f"{where}: needed x and y of at least 3 points, got {len(flat)} numbers")
    if not polygons:
        return np.zeros(size, bool)
    runs = coco_mask.merge(coco_mask.frPyObjects(polygons, *size))
    return _fill_runs(unpack_runs(runs["counts"].decode(), where), size, where)


def _points(values: Any, size: Size, where: str) -> list[float]:
    """Return x, y, ... as floats; LabelError where they are no numbers, or far outside the image."""
    numbers = check_numbers(values, where)
    room = sum(size)  # COCO's tools take memory for every pixel along an outline, also outside the image
    if far := [number for number in numbers if not -room <= number <= 2 * room]:
        raise LabelError(f"{where}: needed an outline in the image or near it, got a point at {far[0]:g}")
    return numbers


def _size(values: Any, height: str, width: str, where: object) -> Size:
    size = get(values, height, int, where), get(values, width, int, where)
    if min(size) < 1 or size[0] * size[1] > MAX_MEGAPIXELS * 1e6:
        needed = f"1 pixel to {MAX_MEGAPIXELS:g} megapixels"
        raise LabelError(f"{where}: needed an image of {needed}, got {size[1]} x {size[0]}")
    return size


def _index(classes: ClassNames, name: str, path: Path) -> int:
    try:
        return classes.index(name)
    except LabelError as error:
        raise LabelError(f"{path}: {error}") from error
