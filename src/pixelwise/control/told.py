"""What is known of a photo's chroma, and how much: it is laid over what a network guesses."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from pixelwise.labelspace import Palette

_SIGMA = 5.0  # in a and b: how far a colour's chances spread over classes. Source: Zhang et al. 2016, 2.2


@dataclass(frozen=True)
class Told:
    """Chroma that was told, not guessed; temperature and saturation leave it alone.

    Rows and columns are as the photo's file has them, at any size.
    """

    share: Float[Tensor, "h w"]
    """How much of each pixel's chroma is told, 0 to 1; the rest is left to guess."""
    chroma: Float[Tensor, "2 h w"]
    """Lab a and b; of no meaning where the share is 0."""
    notes: tuple[str, ...] = ()
    """What a user should know of how it was taken."""

    def over(self, below: Told | None) -> Told:
        """What was told, and where it leaves something open, what else was."""
        if below is None:
            return self
        upper, lower = _of_one_size(self, below)
        left = (1 - upper.share) * lower.share
        share = upper.share + left
        mean = (upper.share * upper.chroma + left * lower.chroma) / share.clamp_min(1e-9)
        return Told(share, mean, self.notes + below.notes)

    def over_guess(self, chroma: Float[Tensor, "2 h w"]) -> Float[Tensor, "2 H W"]:
        """Guessed Lab a and b with what was told laid over, at the larger of the two sizes."""
        guessed = Told(torch.ones_like(chroma[0]), chroma)
        return self.over(guessed).chroma

    def share_at(self, size: tuple[int, int]) -> Float[Tensor, "h w"]:
        """How much is told of each cell of a map of another size."""
        return _resized(self.share[None], size)[0]

    def over_chances(self, chances: Float[Tensor, "K h w"], palette: Palette) -> Float[Tensor, "K h w"]:
        """Chances of the classes, those of what was told laid over, at the size of the chances."""
        size = chances.shape[1], chances.shape[2]
        told = soft_chances(_resized(self.chroma, size), palette)
        return chances + self.share_at(size) * (told - chances)


def soft_chances(chroma: Float[Tensor, "2 h w"], palette: Palette) -> Float[Tensor, "K h w"]:
    """Chances of the classes that stand for these Lab a and b: the nearer a class, the more.

    Source: Zhang, Isola, Efros 2016, arXiv:1603.08511, 2.2: soft encoding with a Gaussian.
    """
    distance = torch.cdist(palette.class_chroma, chroma.flatten(1).T)
    return (-(distance**2) / (2 * _SIGMA**2)).softmax(0).view(-1, *chroma.shape[1:])


def _of_one_size(*both: Told) -> tuple[Told, ...]:
    height, width = (max(one.share.shape[axis] for one in both) for axis in (0, 1))
    return tuple(
        replace(
            one,
            share=_resized(one.share[None], (height, width))[0],
            chroma=_resized(one.chroma, (height, width)),
        )
        for one in both
    )


def _resized(planes: Float[Tensor, "C h w"], size: tuple[int, ...]) -> Float[Tensor, "C H W"]:
    """Planes at another size; what is made larger never leaves the range of its values."""
    if planes.shape[1:] == size:
        return planes
    return F.interpolate(planes[None], size, mode="bilinear", antialias=True)[0]
