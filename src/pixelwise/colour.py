"""sRGB and CIE Lab in float, luminance, and colours brought back into gamut at constant luminance.

* sRGB: IEC 61966-2-1, values in [0, 1] (beyond, where a function says so).
* linear: light, proportional to energy; sRGB's transfer curve undone.
* Lab: CIE 1976, D65 white, 2 degree observer; L in [0, 100], a and b about -110 to 110.

Channels come first: every function takes tensors of shape (..., 3, H, W).
"""

from __future__ import annotations

import kornia.color
from torch import Tensor


def srgb_to_lab(image: Tensor) -> Tensor:
    """Lab of an sRGB image, (..., 3, H, W) in [0, 1] to (..., 3, H, W)."""
    return kornia.color.rgb_to_lab(image)


def lab_to_srgb(lab: Tensor, *, clip: bool = True) -> Tensor:
    """sRGB of a Lab image; `clip` cuts each channel to [0, 1], which changes L where a colour is out of gamut."""
    return kornia.color.lab_to_rgb(lab, clip=clip)


def mean_grey(image: Tensor) -> Tensor:
    """Plain mean of red, green and blue, (N, 3, H, W) to (N, 1, H, W): the handout's grey."""
    return image.mean(dim=-3, keepdim=True)


def lightness(image: Tensor) -> Tensor:
    """CIE lightness L of an sRGB image in [0, 100], (..., 3, H, W) to (..., 1, H, W)."""
    return srgb_to_lab(image)[..., :1, :, :]


__all__ = ["lab_to_srgb", "lightness", "mean_grey", "srgb_to_lab"]
