"""Maps of numbers in colours from dark blue to bright yellow."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy import ndarray

from pixelwise.colour.arrays import Float, UInt8
from pixelwise.colour.spaces import lab_to_srgb
from pixelwise.photos.resize import resize

_STOPS = ((16, 22, -46), (42, 4, -26), (68, -6, 14), (94, -10, 76))  # Lab: equal steps of L look equal


def heat(values: Float[ndarray, "h w"], size: tuple[int, int]) -> UInt8[ndarray, "H W 3"]:
    """Return a map from its lowest value, dark blue, to its highest, yellow, enlarged to (height, width)."""
    even = (values - values.min()) / max(float(np.ptp(values)), 1e-6)
    return _table()[np.rint(255 * resize(even, size)).astype(np.uint8)]


@cache
def _table() -> UInt8[ndarray, "256 3"]:
    places = np.linspace(0, len(_STOPS) - 1, 256)
    lab = np.array([np.interp(places, range(len(_STOPS)), stops) for stops in zip(*_STOPS, strict=True)])
    return np.rint(255 * lab_to_srgb(lab[:, None])[:, 0].T).astype(np.uint8)
