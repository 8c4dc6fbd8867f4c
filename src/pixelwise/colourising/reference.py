"""Colours as in another photo: its shares of the classes are followed, by lightness.

Without classes the mean and the covariance of its a and b are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy import ndarray

from pixelwise.colour.arrays import Float
from pixelwise.colour.palette import Palette, softmax
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
_LEAST_VARIANCE = 1.0  # of a and b: what hardly differs is not torn apart
_NUM_STEPS = 30  # of scaling; the shares are met to a hundredth after ten

Moments = tuple[Float[ndarray, "B 2"], Float[ndarray, "B 2 2"]]
"""Mean and covariance of a and b in each band of L."""


@dataclass(frozen=True)
class Reference:
    """The colours of a photo, by lightness: frequencies of the classes, mean and covariance of a and b."""

    shares: Float[ndarray, "B K"]  # of the classes, if any, in each band of L; they add up to 1 in a band
    moments: Moments

    @staticmethod
    def read(path: Path, palette: Palette | None, max_megapixels: float = MAX_MEGAPIXELS) -> Reference:
        """Read a reference photo; ConfigError where it cannot be read or has no colours of its own."""
        try:
            photo = open_photo(path, max_megapixels)
            small = photo.thumbnail(*shrunk_size(photo.height, photo.width, _SHORT_SIDE))
        except PhotoError as error:
            raise ConfigError(f"the reference photo cannot be read: {error}") from error
        if not has_own_colours(small):
            raise ConfigError(f"needed a reference photo in colour, got {path}, which is grey or of one tone")
        lab = srgb_to_lab(small / np.float32(255))
        bands = _bands(lab[0])
        probs = lab[:0] if palette is None else palette.soft_probs(lab[1:])
        return Reference(_means(probs, bands, _POOLED), _moments(lab[1:], bands, _POOLED))


def follow(
    logits: Float[ndarray, "K h w"], light: Float[ndarray, "h w"], reference: Reference, strength: float = 1.0
) -> Float[ndarray, "K h w"]:
    """Return logits whose mean probabilities in each band of L are the reference's; `light` is CIE L.

    A class gains or loses the same everywhere in a band, by iterative proportional fitting. With `strength` 0
    logits stay as they are, with 1 the means are met.
    Source: Deming, Stephan 1940, On a least squares adjustment; Saerens, Latinne, Decaestecker 2002 for
    probabilities of classes whose shares have changed.
    """
    bands = _bands(light)
    gains = np.zeros_like(reference.shares)
    for _ in range(_NUM_STEPS):
        shares = _means(softmax(logits + _at_pixels(gains, bands)), bands)
        gains += np.log((reference.shares + _MIN_SHARE) / (shares + _MIN_SHARE))
    return logits + np.float32(strength) * _at_pixels(gains, bands)


def follow_chroma(
    chroma: Float[ndarray, "2 h w"], light: Float[ndarray, "h w"], reference: Reference, strength: float = 1.0
) -> Float[ndarray, "2 h w"]:
    """Return a and b whose mean and covariance in each band of L are the reference's; `light` is CIE L.

    Of the linear maps that do so, each band takes the one that moves colours least. `strength` is as in
    `follow`. Source: Pitie, Kokaram 2007, The linear Monge-Kantorovitch linear colour mapping for
    example-based colour transfer.
    """
    bands, followed = _bands(light), np.zeros_like(chroma)
    own, wanted = _moments(chroma, bands), reference.moments
    for band, mean, covariance, to_mean, to_covariance in zip(bands, *own, *wanted, strict=True):
        root = _root(covariance)
        matrix = np.linalg.solve(root, _root(root @ to_covariance @ root)) @ np.linalg.inv(root)
        moved = np.einsum("de,ehw->dhw", matrix, chroma - mean[:, None, None]) + to_mean[:, None, None]
        followed += (band * moved).astype(chroma.dtype)
    return chroma + np.float32(strength) * (followed - chroma)


def _root(covariance: Float[ndarray, "2 2"]) -> Float[ndarray, "2 2"]:
    variances, axes = np.linalg.eigh(covariance)
    return (axes * np.sqrt(variances.clip(0))) @ axes.T


def _moments(chroma: Float[ndarray, "2 h w"], bands: Float[ndarray, "B h w"], pooled: float = 0) -> Moments:
    means = _means(chroma, bands, pooled)
    products = np.einsum("dhw,ehw->dehw", chroma, chroma).reshape(4, *chroma.shape[1:])
    squares = _means(products, bands, pooled).reshape(-1, 2, 2)
    own = np.einsum("bd,be->bde", means, means)
    return means, squares - own + _LEAST_VARIANCE * np.eye(2, dtype=np.float32)


def _at_pixels(gains: Float[ndarray, "B K"], bands: Float[ndarray, "B h w"]) -> Float[ndarray, "K h w"]:
    return np.einsum("bk,bhw->khw", gains, bands)


def _bands(light: Float[ndarray, "h w"]) -> Float[ndarray, "B h w"]:
    own = np.eye(len(_BANDS))
    return np.stack([np.interp(light, _BANDS, each) for each in own]).astype(np.float32)


def _means(
    values: Float[ndarray, "K h w"], bands: Float[ndarray, "B h w"], pooled: float = 0
) -> Float[ndarray, "B K"]:
    """Return the means in each band, the whole photo's mixed in where a band has few pixels."""
    few = pooled * bands[0].size + 1e-6
    sums = np.einsum("khw,bhw->bk", values, bands, optimize=True) + few * values.mean((1, 2))
    return np.asarray(sums / (bands.sum((1, 2)) + few)[:, None], np.float32)
