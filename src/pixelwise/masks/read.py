"""Masks to labels, at their own size or another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from pixelwise.errors import LabelError, ShapeError
from pixelwise.masks.legend import Legend, legend_of
from pixelwise.masks.raw import RawMask, read_raw


def read_mask(path: Path, legend: Legend | None = None) -> UInt8[ndarray, "H W"]:
    """The labels in a picture of a mask, as it is displayed.

    Without a legend the mask's own numbers count, as if it were alone; `legend_of` sees all of a folder.

    Raises:
        DataError: there is no such file, it is damaged or no picture.
        LabelError: a value is not in the legend, or the file's format smears values.
    """
    mask = read_exact(path)
    return (legend or legend_of([mask.values])).labels(mask)


def read_exact(path: Path) -> RawMask:
    """The mask in a picture that keeps values as they are.

    Raises:
        DataError: there is no such file, it is damaged or no picture.
        LabelError: the file's format smears values, or they are of no kind that a mask has.
    """
    mask = read_raw(path)
    if mask.smeared:
        raise LabelError(
            f"{path}: needed exact values, got {mask.smeared}, which smears them; save the mask as PNG, "
            "from the program that it was drawn in"
        )
    return mask


def resize_mask(labels: UInt8[ndarray, "H W"], height: int, width: int) -> UInt8[ndarray, "h w"]:
    """The labels at another size; each pixel takes the one that its centre falls on.

    Raises:
        ShapeError: a side is shorter than a pixel.
    """
    if min(height, width, *labels.shape) < 1:
        raise ShapeError(f"needed sides of at least 1 pixel, got {labels.shape} to {(height, width)}")
    rows, columns = (
        (2 * np.arange(new) + 1) * old // (2 * new)
        for new, old in zip((height, width), labels.shape, strict=True)
    )
    return labels[rows[:, None], columns]
