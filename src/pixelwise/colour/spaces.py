"""sRGB and CIE Lab in float, luminance, and colours brought back into gamut at constant luminance.

* sRGB: IEC 61966-2-1, values in [0, 1].
* linear: light, proportional to energy; sRGB's transfer curve undone.
* luminance: CIE Y of the linear colour, 0 for black to 1 for white; L is a function of it alone.
* Lab: CIE 1976, D65 white, 2 degree observer; L in [0, 100], a and b about -110 to 110.

Images are arrays of shape (..., 3, H, W): channels come first. Results are in the precision of the input,
float32 or float64.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from pixelwise.colour.arrays import Float

_TO_XYZ = np.array(  # from linear sRGB. Source: ITU-R BT.709 primaries, D65 white
    (
        (0.412453, 0.357580, 0.180423),
        (0.212671, 0.715160, 0.072169),
        (0.019334, 0.119193, 0.950227),
    )
)
_WHITE = (0.95047, 1.0, 1.08883)  # XYZ of D65, 2 degree observer. Source: CIE 15:2004
LUMINANCE_WEIGHTS = tuple(map(float, _TO_XYZ[1]))  # share of linear red, green and blue; they add up to 1
_KNEE = 6 / 29  # where Lab's cube root becomes a straight line. Source: CIE 15:2004, 8.2.1.1


def srgb_to_lab(image: Float[ndarray, "*batch 3 H W"]) -> Float[ndarray, "*batch 3 H W"]:
    """Convert sRGB in [0, 1] to Lab."""
    linear = srgb_to_linear(image)
    matrix = (_TO_XYZ / np.array(_WHITE)[:, None]).astype(image.dtype)
    x, y, z = np.moveaxis(_cube_root(np.einsum("ij,...jhw->...ihw", matrix, linear)), -3, 0)
    return np.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), axis=-3)


def lab_to_srgb(lab: Float[ndarray, "*batch 3 H W"]) -> Float[ndarray, "*batch 3 H W"]:
    """Convert Lab to sRGB, cut to [0, 1], which changes L where a colour is out of gamut."""
    light, a, b = np.moveaxis(lab, -3, 0)
    y = (light + 16) / 116
    xyz = np.stack((y + a / 500, y, y - b / 200), axis=-3)
    matrix = (np.linalg.inv(_TO_XYZ) * _WHITE).astype(lab.dtype)
    linear = np.einsum("ij,...jhw->...ihw", matrix, _cube(xyz))
    return linear_to_srgb(linear.clip(0, 1))


def lightness(image: Float[ndarray, "*batch 3 H W"]) -> Float[ndarray, "*batch 1 H W"]:
    """Return CIE lightness L in [0, 100] of sRGB in [0, 1]; in half the time of Lab."""
    bands = np.moveaxis(srgb_to_linear(image), -3, 0)
    red, green, blue = (band * weight for band, weight in zip(bands, LUMINANCE_WEIGHTS, strict=True))
    return np.expand_dims(luminance_to_lightness(red + green + blue), -3)


def luminance_to_lightness(luminance: Float[ndarray, "*shape"]) -> Float[ndarray, "*shape"]:
    """Convert luminance in [0, 1] to CIE lightness L in [0, 100]."""
    return 116 * _cube_root(luminance) - 16


def lightness_to_luminance(values: Float[ndarray, "*shape"]) -> Float[ndarray, "*shape"]:
    """Convert CIE lightness L in [0, 100] to luminance in [0, 1]."""
    return _cube((values + 16) / 116)


def srgb_to_linear(values: Float[ndarray, "*shape"]) -> Float[ndarray, "*shape"]:
    """Convert sRGB values in [0, 1] to linear light. Source: IEC 61966-2-1."""
    curve = ((values.clip(0) + 0.055) / 1.055) ** 2.4
    return np.where(values <= 0.04045, values / 12.92, curve)


def linear_to_srgb(values: Float[ndarray, "*shape"]) -> Float[ndarray, "*shape"]:
    """Convert linear light in [0, 1] to sRGB values. Source: IEC 61966-2-1."""
    curve = np.maximum(values, 0.0031308) ** (1 / 2.4)
    curve *= 1.055
    curve -= 0.055
    return np.minimum(curve, values * 12.92, out=curve)  # a fifth of the time of np.where


def recolour(
    luminance: Float[ndarray, "*#shape"], a: Float[ndarray, "*#shape"], b: Float[ndarray, "*#shape"]
) -> Float[ndarray, " 3 *shape"]:
    """Return sRGB in [0, 1] of exactly this luminance and, where in gamut, these Lab a and b.

    A colour out of gamut moves in linear light toward the grey of its own luminance until it just fits. The
    three shapes broadcast.
    """
    root = _cube_root(luminance)
    x, z = _cube(root + a / 500) - luminance, _cube(root - b / 200) - luminance
    # Each row adds up to 1, so what is left beside the luminance vanishes for a grey.
    chroma = np.stack([rx * x + rz * z for rx, _, rz in _FROM_WHITE_XYZ])
    tiny = np.finfo(chroma.dtype).tiny
    room_above = (1 - luminance) / chroma.max(0).clip(tiny)
    room_below = luminance / (-chroma.min(0)).clip(tiny)
    chroma *= np.minimum(room_above, room_below).clip(0, 1)
    chroma += luminance
    return linear_to_srgb(chroma.clip(0, 1, out=chroma))


_FROM_WHITE_XYZ = (np.linalg.inv(_TO_XYZ) * _TO_XYZ.sum(1)).tolist()
"""The matrix from XYZ in units of white's to linear sRGB."""


def _cube_root(values: Float[ndarray, "*shape"]) -> Float[ndarray, "*shape"]:
    line = values / (3 * _KNEE**2) + 4 / 29
    return np.minimum(line, np.cbrt(np.maximum(values, _KNEE**3)))  # whose tangent the line is


def _cube(values: Float[ndarray, "*shape"]) -> Float[ndarray, "*shape"]:
    above = np.maximum(values, _KNEE)
    return above * above * above + 3 * _KNEE**2 * (values - above)
