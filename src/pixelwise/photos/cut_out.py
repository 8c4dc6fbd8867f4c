"""Strips of a photo, clear where its first class is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pixelwise.photos.overlay import LabelRows
from pixelwise.photos.paint import Strip, numbered


def cut_out(strips: Iterator[Strip], labels: LabelRows, alpha: bool) -> Iterator[Strip]:
    """The strips of a photo in red, green, blue and alpha: clear where class 0 is, too.

    `alpha` says whether the strips' last band is one.
    """
    for row, strip in numbered(strips):
        num, width = strip.shape[:2]
        cut = np.empty((num, width, 4), strip.dtype)
        cut[..., :3] = strip[..., :3] if strip.shape[-1] >= 3 else strip[..., :1]
        cut[..., 3] = strip[..., -1] if alpha else np.iinfo(strip.dtype).max
        cut[..., 3] *= labels(row, num) > 0
        yield cut
