"""Labels in COCO's JSON: polygons and run lengths for each thing in a photo.

Classes are background and then the categories by their ids. What comes later in the file lies on top; crowds,
which are outlined without care, are ignored where nothing else is. What no annotation covers is background,
or without class where the classes given have none of that name. Source: https://cocodataset.org/#format-data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8
from numpy import ndarray

from pixelwise.classnames import BACKGROUND, ClassNames
from pixelwise.errors import LabelError
from pixelwise.labelspace import IGNORE
from pixelwise.masks.json_file import class_number, entries, numbers, read_json, short, text, whole_number
from pixelwise.masks.outlines import (
    check_image_size,
    inside_polygon,
    inside_runs,
    uncovered_label,
    unpack_runs,
)


@dataclass(frozen=True, eq=False)
class CocoImage:
    """One photo in a COCO file."""

    file_name: str
    """As the file has it, perhaps with folders before it."""
    height: int
    width: int
    things: tuple[tuple[int, bool, Any], ...]
    """Class, whether it is a crowd, and outline of each thing in it."""
    uncovered: int
    """The label where there is no thing."""
    where: str
    """What messages call it."""

    def labels(self) -> UInt8[ndarray, "H W"]:
        """Its labels.

        Raises:
            LabelError: an outline is damaged.
        """
        labels = np.full((self.height, self.width), self.uncovered, np.uint8)
        for is_crowd in (True, False):
            for label, crowd, outline in self.things:
                if crowd == is_crowd:
                    labels[self._inside(outline)] = IGNORE if crowd else label
        return labels

    def _inside(self, outline: Any) -> Bool[ndarray, "H W"]:
        if isinstance(outline, Mapping):
            return self._inside_runs(outline)
        if not isinstance(outline, list):
            raise LabelError(f"{self.where}: needed polygons or run lengths, got {short(outline)}")
        inside = np.zeros((self.height, self.width), bool)
        for polygon in outline:
            flat = numbers(polygon, self.where)
            if len(flat) % 2:
                raise LabelError(f"{self.where}: needed x and y for each point, got {len(flat)} numbers")
            inside |= inside_polygon(np.array(flat).reshape(-1, 2), self.height, self.width, self.where)
        return inside

    def _inside_runs(self, outline: Mapping[str, Any]) -> Bool[ndarray, "H W"]:
        if (size := outline.get("size")) != [self.height, self.width]:
            needed = f"[{self.height}, {self.width}]"
            raise LabelError(
                f"{self.where}: needed run lengths of the image's size {needed}, got {short(size)}"
            )
        counts = outline.get("counts")
        if isinstance(counts, str):
            lengths = unpack_runs(counts, self.where)
        else:
            lengths = [_whole(length, self.where) for length in numbers(counts, self.where)]
        return inside_runs(lengths, self.height, self.width, self.where)


@dataclass(frozen=True, eq=False)
class CocoFile:
    """The classes and the photos of a COCO file."""

    classes: ClassNames
    images: tuple[CocoImage, ...]


def read_coco(path: Path, classes: ClassNames | None = None) -> CocoFile:
    """What a COCO file says; outlines are looked at when an image's labels are asked for.

    Classes, where they are given, are found by the categories' names.

    Raises:
        DataError: there is no such file, or it is no JSON.
        LabelError: it is not COCO's kind of JSON, or a category is not among the classes.
    """
    values = read_json(path)
    names = {
        whole_number(category, "id", f"{path}: a category"): text(category, "name", f"{path}: a category")
        for category in entries(values, "categories", path)
    }
    classes = classes or _classes(names, path)
    things: dict[int, list[tuple[int, bool, Any]]] = {}
    images = entries(values, "images", path)
    for image in images:
        things.setdefault(whole_number(image, "id", f"{path}: an image"), [])
    if len(things) < len(images):
        raise LabelError(f"{path}: needed a different id for each image, got one twice")
    for annotation in entries(values, "annotations", path):
        where = f"{path}: an annotation"
        image_id = whole_number(annotation, "image_id", where)
        category = whole_number(annotation, "category_id", where)
        if image_id not in things or category not in names:
            missing = f"image {image_id}" if image_id not in things else f"category {category}"
            raise LabelError(f"{where}: it is of {missing}, which the file does not have")
        crowd = annotation.get("iscrowd") in (1, True)
        label = class_number(classes, _class_name(names[category]), path)
        things[image_id].append((label, crowd, annotation.get("segmentation")))
    beside = uncovered_label(classes)
    return CocoFile(classes, tuple(_image(image, things[int(image["id"])], beside, path) for image in images))


def _image(image: Any, things: list[tuple[int, bool, Any]], uncovered: int, path: Path) -> CocoImage:
    file_name = text(image, "file_name", f"{path}: an image")
    where = f"{path}: {file_name}"
    height, width = (whole_number(image, side, where) for side in ("height", "width"))
    check_image_size(height, width, where)
    return CocoImage(file_name, height, width, tuple(things), uncovered, where)


def _classes(names: Mapping[int, str], path: Path) -> ClassNames:
    called = [_class_name(names[number]) for number in sorted(names)]
    try:
        return ClassNames((BACKGROUND, *(name for name in called if name != BACKGROUND)))
    except LabelError as error:
        raise LabelError(f"{path}: {error}; these are its categories") from error


def _class_name(category: str) -> str:
    return BACKGROUND if category.lower() == BACKGROUND else category


def _whole(value: float, where: str) -> int:
    if not value.is_integer():
        raise LabelError(f"{where}: needed whole run lengths, got {value:g}")
    return int(value)
