"""Whether a photo has colours of its own, or is grey or toned, as old prints are."""

from __future__ import annotations

import torch
from jaxtyping import UInt8
from torch import Tensor

from pixelwise.colour import srgb_to_lab

_LIGHTNESSES = 20  # steps of L: a tone is a function of it
_NOTICEABLE = 3.0  # Lab units: above what noise and stains make of a toned photo, below most photos in colour


def has_own_colours(small: UInt8[Tensor, "3 h w"]) -> bool:
    """Whether the colours of a small picture, sRGB codes, are more than a tone."""
    return spread_of_chroma(small) > _NOTICEABLE


def is_grey(small: UInt8[Tensor, "3 h w"]) -> bool:
    """Whether a small picture, sRGB codes, has no chroma to speak of, be it colours or a tone."""
    ab = srgb_to_lab(small.float() / 255)[1:]
    return float(ab.square().sum(0).mean().sqrt()) < _NOTICEABLE


def spread_of_chroma(small: UInt8[Tensor, "3 h w"]) -> float:
    """How far chroma spreads where lightness is equal, in Lab units.

    Toning makes a and b functions of L, whatever its hues, so their means at each L are taken away first.
    What is left of a tone that has faded unevenly lies near one line in the plane of a and b. So the spread
    is the geometric mean of the standard deviations along and across: nothing, where either is nothing.
    """
    light, *ab = srgb_to_lab(small.float() / 255).flatten(1)
    step = (light * (_LIGHTNESSES / 100)).long().clamp(0, _LIGHTNESSES - 1)
    counts = torch.bincount(step, minlength=_LIGHTNESSES).clamp_min(1)
    means = torch.stack([torch.bincount(step, axis, _LIGHTNESSES) / counts for axis in ab])
    left = torch.stack(ab) - means[:, step]
    covariance = (left @ left.T / left.shape[1]).double()
    return float(torch.linalg.det(covariance).clamp_min(0)) ** 0.25
