"""Colours as in another photo: its shares of the classes are followed, by lightness."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from pixelwise.colour.palette import Palette
from pixelwise.colour.spaces import srgb_to_lab
from pixelwise.errors import ConfigError, PhotoError
from pixelwise.network.config import MAX_MEGAPIXELS
from pixelwise.photos.crop_view import shrunk_size
from pixelwise.photos.photo import open_photo
from pixelwise.photos.tone import has_own_colours

_SHORT_SIDE = 128
_BANDS = (15.0, 50.0, 85.0)  # of L: where each band is alone; between, two share a pixel
_POOLED = 0.05  # of the photo's pixels: a band with so few follows the whole reference as much as itself
_MIN_SHARE = 1e-4  # of a class: what is in no pixel of a small photo may be in another
_NUM_STEPS = 30  # of scaling; the shares are met to a hundredth after ten


@dataclass(frozen=True)
class Reference:
    """Frequencies of the classes in a photo in colour, by lightness."""

    shares: Float[Tensor, "B K"]  # shares of the classes in each band of L; they add up to 1 in a band

    @staticmethod
    def read(path: Path, palette: Palette, max_megapixels: float = MAX_MEGAPIXELS) -> Reference:
        """Read a reference photo; ConfigError where it cannot be read or has no colours of its own."""
        try:
            photo = open_photo(path, max_megapixels)
            small = photo.thumbnail(*shrunk_size(photo.height, photo.width, _SHORT_SIDE))
        except PhotoError as error:
            raise ConfigError(f"the reference photo cannot be read: {error}") from error
        if not has_own_colours(small):
            raise ConfigError(f"needed a reference photo in colour, got {path}, which is grey or of one tone")
        lab = srgb_to_lab(small.float() / 255)
        return Reference(_shares(palette.soft_probs(lab[1:]), _bands(lab[0]), _POOLED))


def follow(
    logits: Float[Tensor, "K h w"], light: Float[Tensor, "h w"], reference: Reference, strength: float = 1.0
) -> Float[Tensor, "K h w"]:
    """Return logits whose mean probabilities in each band of L are the reference's; `light` is CIE L.

    A class gains or loses the same everywhere in a band, by iterative proportional fitting. With `strength` 0
    logits stay as they are, with 1 the means are met.
    Source: Deming, Stephan 1940, On a least squares adjustment; Saerens, Latinne, Decaestecker 2002 for
    probabilities of classes whose shares have changed.
    """
    bands = _bands(light)
    gains = torch.zeros_like(reference.shares)
    for _ in range(_NUM_STEPS):
        shares = _shares((logits + _at_pixels(gains, bands)).softmax(0), bands)
        gains += ((reference.shares + _MIN_SHARE) / (shares + _MIN_SHARE)).log()
    return logits + strength * _at_pixels(gains, bands)


def _at_pixels(gains: Float[Tensor, "B K"], bands: Float[Tensor, "B h w"]) -> Float[Tensor, "K h w"]:
    return torch.einsum("bk,bhw->khw", gains, bands)


def _bands(light: Float[Tensor, "h w"]) -> Float[Tensor, "B h w"]:
    middles = torch.tensor(_BANDS)[:, None, None]
    above = ((light - middles[:-1]) / (middles[1:] - middles[:-1])).clamp(0, 1)
    all_above = torch.ones_like(light)[None]
    return torch.cat([all_above, above]) - torch.cat([above, 0 * all_above])


def _shares(
    probs: Float[Tensor, "K h w"], bands: Float[Tensor, "B h w"], pooled: float = 0
) -> Float[Tensor, "B K"]:
    """Return mean probabilities in each band, the whole photo's mixed in where a band has few pixels."""
    few = pooled * bands[0].numel() + 1e-6
    sums = torch.einsum("khw,bhw->bk", probs, bands) + few * probs.mean((1, 2))
    return sums / (bands.sum((1, 2)) + few)[:, None]
