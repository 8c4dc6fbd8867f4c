"""Cutting things out of one picture from Python."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from numpy import ndarray
from PIL import Image

from pixelwise import page
from pixelwise.api.images import ImageLike, joined, photo_from, pil_of, png_of, thumbnail
from pixelwise.api.kept import Stamp, kept_backbone, stamp
from pixelwise.classnames import BACKGROUND, ClassNames
from pixelwise.head import Enlarged
from pixelwise.heads import Head, open_head
from pixelwise.photos.overlay import Tint, overlay
from pixelwise.photos.paint import Strip
from pixelwise.photos.photo import Photo
from pixelwise.processor import ONE_THREAD
from pixelwise.segmenting import Look

DEFAULT_HEAD = "flower"


def segment(image: ImageLike, head: str | os.PathLike[str] | Head = DEFAULT_HEAD) -> Segmentation:
    """The class of every pixel of a picture.

    Args:
        image: a path, a PIL image, an array (H, W[, 3 or 4]) or a tensor ([C,] H, W), in sRGB.
        head: a shipped head's name, a head file, or one that was learned (`Segmenter().fit(...).head_`).

    Raises:
        CheckpointError: there is no such head, or it belongs to other weights of its backbone.
        PhotoError: the picture cannot be read.
        ShapeError: an array has another shape than pictures have.

    Examples:
        >>> import numpy as np
        >>> found = segment(np.zeros((48, 64, 3), np.uint8))
        >>> found.labels.shape, found.classes.names
        ((48, 64), ('background', 'flower'))
    """
    look = look_for(head) if isinstance(head, Head) else _opened(str(head), stamp(str(head)))
    photo = photo_from(image)
    (word,) = look(photo)
    return Segmentation(photo, word, look.heads[0].classes)


def look_for(head: Head) -> Look:
    """What looks at pictures for a head.

    Raises:
        CheckpointError: the head belongs to other weights of its backbone.
    """
    return Look([head], kept_backbone(head.backbone))


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What a head says of one picture; all of it as the picture is displayed.

    `numpy.asarray(found)` has the classes (H, W), uint8; a notebook shows them laid over the picture.
    """

    photo: Photo = field(repr=False)
    word: Enlarged = field(repr=False)
    classes: ClassNames

    @cached_property
    def labels(self) -> UInt8[ndarray, "H W"]:
        """The likeliest class of each pixel, a place in `classes.names`."""
        with ONE_THREAD:
            found: UInt8[ndarray, "H W"] = self.photo.upright(self.word.labels(0, self.photo.height)).numpy()
        return found

    def probs(self) -> Float32[ndarray, "K H W"]:
        """How likely each class is at each pixel; they add up to 1."""
        with ONE_THREAD:
            probs = self.photo.upright(self.word.probs(0, self.photo.height))
        found: Float32[ndarray, "K H W"] = probs.contiguous().numpy()
        return found

    def mask(self, name: str) -> Bool[ndarray, "H W"]:
        """Where a class is.

        Raises:
            LabelError: there is no class of this name.
        """
        where: Bool[ndarray, "H W"] = self.labels == self.classes.index(name)
        return where

    def cut_out(self, name: str) -> Image.Image:
        """The picture in RGBA, clear where the class is not.

        Raises:
            LabelError: there is no class of this name.
        """
        picture = pil_of(joined(list(self.photo.strips()), self.photo)).convert("RGB")
        picture.putalpha(Image.fromarray(self.mask(name).astype(np.uint8) * 255))
        return picture

    def overlay(self, opacity: float = 0.5) -> Image.Image:
        """The picture with classes laid over it; a class 0 that is called background stays clear."""
        tint = Tint(self.classes.colours, opacity, first_is_clear=self.classes.names[0] == BACKGROUND)
        size = self.photo.height, self.photo.width
        strips: list[Strip] = list(overlay(self.photo.strips(), self._rows, size, self.photo.alpha, tint))
        return pil_of(joined(strips, self.photo))

    def _rows(self, first: int, num: int) -> UInt8[ndarray, "num W"]:
        rows: UInt8[ndarray, "num W"] = self.word.labels(first, num).numpy()
        return rows

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> ndarray:
        return np.array(self.labels, dtype=dtype, copy=copy)

    def _repr_png_(self) -> bytes:
        return png_of(self._shown())

    def _repr_html_(self) -> str:
        shares = np.bincount(self.labels.ravel(), minlength=self.classes.num_classes) / self.labels.size
        told = ", ".join(
            f"{name} {100 * share:.0f} %" for name, share in zip(self.classes.names, shares, strict=True)
        )
        return page.beside({told: np.asarray(self._shown())})

    def _shown(self) -> Image.Image:
        return thumbnail(self.overlay().convert("RGB"))


@functools.lru_cache(maxsize=4)
def _opened(name_or_path: str, _written: Stamp) -> Look:
    """What looks for a head, kept for the next picture until its file is written anew."""
    return look_for(open_head(Path(name_or_path) if os.sep in name_or_path else name_or_path))
