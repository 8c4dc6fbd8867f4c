"""Known chroma of a photo, laid over a network's guess."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from pixelwise.labelspace import Palette


@dataclass(frozen=True)
class KnownChroma:
    """Chroma that is known, not guessed; temperature and saturation leave it alone.

    Rows and columns are as the photo's file has them, at any size.
    """

    share: Float[Tensor, "h w"]
    """Share of each pixel's chroma that is known, 0 to 1; the rest is left to guess."""
    chroma: Float[Tensor, "2 h w"]
    """Lab a and b; of no meaning where the share is 0."""
    notes: tuple[str, ...] = ()
    """Remarks for the user on how it was taken."""

    def over(self, below: KnownChroma | None) -> KnownChroma:
        """Lay this over other known chroma, at the larger of the two sizes."""
        if below is None:
            return self
        size = tuple(max(sides) for sides in zip(self.share.shape, below.share.shape, strict=True))
        share, chroma = self._resized(size)
        below_share, below_chroma = below._resized(size)
        rest = (1 - share) * below_share
        total = share + rest
        mean = (share * chroma + rest * below_chroma) / total.clamp_min(1e-9)
        return KnownChroma(total, mean, self.notes + below.notes)

    def over_guess(self, chroma: Float[Tensor, "2 h w"]) -> Float[Tensor, "2 H W"]:
        """Lay this over guessed Lab a and b, at the larger of the two sizes."""
        return self.over(KnownChroma(torch.ones_like(chroma[0]), chroma)).chroma

    def share_at(self, size: tuple[int, ...]) -> Float[Tensor, "h w"]:
        """Return the known share of each cell of a map of another size."""
        return _resize(self.share[None], size)[0]

    def over_probs(self, probs: Float[Tensor, "K h w"], palette: Palette) -> Float[Tensor, "K h w"]:
        """Lay this over probabilities of the classes, at their size."""
        size = probs.shape[1:]
        known = palette.soft_probs(_resize(self.chroma, size))
        return probs + self.share_at(size) * (known - probs)

    def _resized(self, size: tuple[int, ...]) -> tuple[Float[Tensor, "H W"], Float[Tensor, "2 H W"]]:
        return self.share_at(size), _resize(self.chroma, size)


def _resize(planes: Float[Tensor, "C h w"], size: tuple[int, ...]) -> Float[Tensor, "C H W"]:
    """Resize planes; enlarged ones never leave the range of their values."""
    if planes.shape[1:] == size:
        return planes
    return F.interpolate(planes[None], size, mode="bilinear", antialias=True)[0]
