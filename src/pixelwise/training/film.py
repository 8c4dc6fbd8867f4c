"""Colour pictures as grey film shows them, so that what learns from them knows old photographs."""

from __future__ import annotations

import torch
import torchvision.transforms.v2.functional as tv
from jaxtyping import Float
from torch import Tensor

from pixelwise.colour.spaces import LUMINANCE_WEIGHTS, luminance_to_lightness, srgb_to_linear

_EXPOSURE = 0.3  # L^g, with the logarithm of g up to this either way: from 0.74 to 1.35
_MOST_BLUE = 8.0  # times as much as the eye sees; early emulsions saw blue and hardly any red
_MOST_FADED = (0.2, 0.25)  # of the range from black to white: how far black rises, how far white falls
_MOST_GRAIN = 0.06  # standard deviation, of the same
_MOST_BLURRED = 1.2  # pixels, standard deviation


def photographed(
    images: Float[Tensor, "N 3 H W"],
    film_frac: float,
    randomness: torch.Generator,
    num_whole: int | None = None,
    part: slice = slice(None),
) -> Float[Tensor, "N 1 H W"]:
    """Return L over 100 of colour pictures, sRGB in [0, 1], at exposures that vary; some as if on old film.

    Old film, on a share of the pictures, is more or less blind to red and quick to see blue, as
    orthochromatic emulsions were; it has faded, grains show, and some of it is out of focus. Of a `part` of
    `num_whole` pictures each comes out as it would among all.
    """
    num = len(images) if num_whole is None else num_whole

    def drawn() -> Tensor:
        return torch.rand(num, generator=randomness)[part].to(images.device)

    old = drawn() < film_frac
    seen = torch.tensor(LUMINANCE_WEIGHTS, device=images.device).repeat(len(images), 1)
    red, blue = drawn(), _MOST_BLUE ** drawn()
    seen[old, 0] *= red[old]
    seen[old, 2] *= blue[old]
    seen /= seen.sum(1, keepdim=True)
    luminance = torch.einsum("nchw,nc->nhw", srgb_to_linear(images), seen)[:, None]
    grey = (luminance_to_lightness(luminance) / 100).clamp(0, 1)
    exposure = torch.exp(_EXPOSURE * (2 * drawn() - 1))
    grey = grey ** exposure[:, None, None, None]
    if film_frac:
        blur = float(torch.rand(1, generator=randomness)) * _MOST_BLURRED + 0.1
        grey = torch.where(_each(old & (drawn() < 0.5)), tv.gaussian_blur(grey, [5, 5], [blur, blur]), grey)
        low, high = (_each(most * drawn() * old) for most in _MOST_FADED)
        grey = low + (1 - high - low) * grey
        noise = torch.randn((num, *grey.shape[1:]), generator=randomness)[part].to(grey.device)
        grey = grey + noise * _each(_MOST_GRAIN * drawn() * old)
    return grey.clamp_(0, 1)


def _each(values: Tensor) -> Tensor:
    return values[:, None, None, None]
