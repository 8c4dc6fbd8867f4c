"""Tests of whether a photo has colours of its own, or is grey or toned, as old prints are."""

from __future__ import annotations

import math

import numpy as np
from numpy import ndarray

from pixelwise.colour.arrays import Float32, UInt8
from pixelwise.colour.spaces import srgb_to_lab
from pixelwise.photos.resize import pool

_LIGHTNESSES = 20  # steps of L: a tone is a function of it
_NOTICEABLE = 3.0  # Lab units: above what noise and stains make of a toned photo, below most photos in colour
_SEPIA_SIDE = 32  # areas across and down, in whose means there is no noise
_SEPIA_WITHIN = 2.0  # Lab units that its chroma leaves the tone, in the root mean square; see `is_sepia`
_SEPIA_AGAINST = 0.5  # Lab units of chroma opposite to the tone's hue, the same: noise around grey
_SEPIA_HUES = (30.0, 100.0)  # degrees in the plane of a and b, from brown to yellow
_FEWEST_AREAS = 64  # fewer have hardly two of one lightness


def has_own_colours(small: UInt8[ndarray, "3 h w"]) -> bool:
    """Return whether the colours of a small picture, sRGB codes, are more than a tone.

    Toning makes a and b functions of L, so their means at each L are taken away first. What is left of a tone
    that has faded unevenly lies near one line in the plane of a and b. So the geometric mean of the standard
    deviations along and across that line decides.
    """
    left = _beside_tone(srgb_to_lab(small / np.float32(255)).reshape(3, -1))
    covariance = (left @ left.T / left.shape[1]).astype(np.float64)
    return max(0.0, float(np.linalg.det(covariance))) ** 0.25 > _NOTICEABLE


def is_grey(small: UInt8[ndarray, "3 h w"]) -> bool:
    """Return whether a small picture, sRGB codes, has neither colours nor a tone."""
    ab = srgb_to_lab(small / np.float32(255))[1:]
    return _root_mean_square(ab) < _NOTICEABLE


def is_sepia(small: UInt8[ndarray, "3 h w"]) -> bool:
    """Return whether the colours of a small picture, sRGB codes, are one brown or yellow tone.

    At equal lightness chroma is the same all over, but for 2 units of Lab, and nothing has the opposite hue.
    Other tones are not found, since skies and seas are as even as cyanotypes.
    """
    side = min(_SEPIA_SIDE, *small.shape[1:])
    if side**2 < _FEWEST_AREAS:
        return False
    areas = pool(small.astype(np.float32), (side, side)) / np.float32(255)
    lab = srgb_to_lab(areas).reshape(3, -1)
    mean = lab[1:].mean(1)
    a, b = mean.tolist()
    low, high = _SEPIA_HUES
    if not low < math.degrees(math.atan2(b, a)) < high:
        return False
    against = (mean @ lab[1:] / math.hypot(a, b)).clip(max=0)
    return (
        _root_mean_square(against[None]) < _SEPIA_AGAINST
        and _root_mean_square(_beside_tone(lab)) < _SEPIA_WITHIN
    )


def _root_mean_square(vectors: Float32[ndarray, " axes *points"]) -> float:
    return float(np.sqrt(np.square(vectors).sum(0).mean()))


def _beside_tone(lab: Float32[ndarray, "3 P"]) -> Float32[ndarray, "2 P"]:
    """Return a and b without their means at each lightness."""
    light, *ab = lab
    step = (light * (_LIGHTNESSES / 100)).astype(np.intp).clip(0, _LIGHTNESSES - 1)
    counts = np.bincount(step, minlength=_LIGHTNESSES).clip(1)
    means = np.stack([np.bincount(step, axis, _LIGHTNESSES) / counts for axis in ab])
    return lab[1:] - means[:, step].astype(np.float32)
