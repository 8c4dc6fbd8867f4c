"""sRGB and CIE Lab in float, luminance, and colours brought back into gamut at constant luminance.

* sRGB: IEC 61966-2-1, values in [0, 1].
* linear: light, proportional to energy; sRGB's transfer curve undone.
* luminance: CIE Y of the linear colour, 0 for black to 1 for white; L is a function of it alone.
* Lab: CIE 1976, D65 white, 2 degree observer; L in [0, 100], a and b about -110 to 110.

Images are tensors of shape (..., 3, H, W): channels come first.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

_TO_XYZ = (  # from linear sRGB, as kornia has it. Source: ITU-R BT.709 primaries, D65 white
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
LUMINANCE_WEIGHTS = _TO_XYZ[1]  # share of linear red, green and blue; they add up to 1
_KNEE = 6 / 29  # where Lab's cube root becomes a straight line. Source: CIE 15:2004, 8.2.1.1


def srgb_to_lab(image: Tensor) -> Tensor:
    """Convert sRGB in [0, 1], (..., 3, H, W), to Lab."""
    import kornia.color  # a sixth of a second, which segmenting can spare

    return kornia.color.rgb_to_lab(image)


def lab_to_srgb(lab: Tensor) -> Tensor:
    """Convert Lab to sRGB, cut to [0, 1], which changes L where out of gamut."""
    import kornia.color

    return kornia.color.lab_to_rgb(lab)


def mean_grey(image: Tensor) -> Tensor:
    """Return the plain mean of red, green and blue, (..., 1, H, W): the handout's grey."""
    return image.mean(dim=-3, keepdim=True)


def lightness(image: Tensor) -> Tensor:
    """Return CIE lightness L in [0, 100] of sRGB in [0, 1], (..., 1, H, W); in half the time of Lab."""
    bands = zip(srgb_to_linear(image).unbind(-3), LUMINANCE_WEIGHTS, strict=True)
    red, green, blue = (band * weight for band, weight in bands)
    return luminance_to_lightness(red + green + blue).unsqueeze(-3)


def luminance_to_lightness(luminance: Tensor) -> Tensor:
    """Convert luminance in [0, 1] to CIE lightness L in [0, 100]."""
    return 116 * _cube_root(luminance) - 16


def lightness_to_luminance(values: Tensor) -> Tensor:
    """Convert CIE lightness L in [0, 100] to luminance in [0, 1]."""
    return _cube((values + 16) / 116)


def srgb_to_linear(values: Tensor) -> Tensor:
    """Convert sRGB values in [0, 1] to linear light. Source: IEC 61966-2-1."""
    return torch.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(values: Tensor) -> Tensor:
    """Convert linear light in [0, 1] to sRGB values. Source: IEC 61966-2-1."""
    curve = values.pow(1 / 2.4).mul_(1.055).sub_(0.055)
    return torch.where(values <= 0.0031308, values * 12.92, curve)


def recolour(luminance: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Return sRGB (3, ...) in [0, 1] of exactly this luminance and, where in gamut, these Lab a and b.

    A colour out of gamut moves in linear light toward the grey of its own luminance until it just fits. The
    three shapes broadcast.
    """
    root = _cube_root(luminance)
    x, z = _cube(root + a / 500) - luminance, _cube(root - b / 200) - luminance
    # Each row adds up to 1, so what is left beside the luminance vanishes for a grey.
    chroma = torch.stack([rx * x + rz * z for rx, _, rz in _from_white_xyz()])
    tiny = torch.finfo(chroma.dtype).tiny
    room_above = (1 - luminance) / chroma.amax(0).clamp_min_(tiny)
    room_below = luminance / chroma.amin(0).neg_().clamp_min_(tiny)
    kept = torch.minimum(room_above, room_below).clamp_(0, 1)
    return linear_to_srgb(chroma.mul_(kept).add_(luminance).clamp_(0, 1))


@cache
def _from_white_xyz() -> list[list[float]]:
    """Return the matrix from XYZ in units of white's to linear sRGB."""
    matrix = torch.tensor(_TO_XYZ, dtype=torch.float64)
    rows: list[list[float]] = (torch.linalg.inv(matrix) * matrix.sum(1)).tolist()
    return rows


def _cube_root(values: Tensor) -> Tensor:
    line = values / (3 * _KNEE**2) + 4 / 29
    return torch.where(values > _KNEE**3, values.clamp_min(0) ** (1 / 3), line)


def _cube(values: Tensor) -> Tensor:
    return torch.where(values > _KNEE, values**3, 3 * _KNEE**2 * (values - 4 / 29))
