"""The true classes of a photo's colours, and guesses from the colours of other photos."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from scipy.spatial import KDTree
from torch import Tensor

from pixelwise.colour.palette import Palette
from pixelwise.colour.spaces import lab_to_srgb
from pixelwise.evaluate.calibration import TOP, ClassScores, class_scores
from pixelwise.evaluate.pictures import log_shares

_LIGHTNESSES = 32  # steps of L; finer ones hold too few pixels of a small set


@dataclass(frozen=True, eq=False)
class Truth:
    """The true lightness and classes of a photo, at the size of a network's logits."""

    lightness: Float[Tensor, "h w"]
    """L, 0 to 100: the mean over the pixels of each area."""
    labels: Int64[Tensor, "h w"]
    """The class of the mean colour over those pixels."""

    @staticmethod
    def of(lab: Float[Tensor, "3 H W"], palette: Palette, size: tuple[int, int]) -> Truth:
        """Shrink a picture in Lab to `size` (height, width) by means over areas, and return its classes."""
        small = F.interpolate(lab[None], size, mode="area")[0]
        if palette.space == "ab":
            _, nearest = KDTree(palette.colours.numpy()).query(small[1:].flatten(1).T.double().numpy())
            labels = torch.from_numpy(nearest).long().view(size)
        else:
            labels = palette.encode((lab_to_srgb(small) * 255).round().byte()).long()
        return Truth(small[0], labels)

    def scores(self, logits: Float[Tensor, "K h w"]) -> ClassScores:
        """Score logits."""
        return class_scores(logits.flatten(1).T.contiguous(), self.labels.flatten())

    def scores_of_colour(self, ab: Float[Tensor, " 2"], palette: Palette) -> ClassScores | None:
        """Score one colour everywhere: classes are ranked by their distance, and have no probabilities.

        None where classes are not of chroma alone.
        """
        if palette.space != "ab":
            return None
        distances = (palette.colours.float() - ab).square().sum(1)
        rank = distances.argsort(stable=True).argsort()[self.labels]
        top1, top5 = (float((rank < top).float().mean()) for top in (1, TOP))
        return ClassScores(top1=top1, top5=top5, cross_entropy=math.nan, entropy=math.nan)

    def by_lightness(self, num_classes: int) -> Int64[Tensor, "32 K"]:
        """Count pixels by step of lightness and class."""
        joint = _step(self.lightness) * num_classes + self.labels
        counts = torch.bincount(joint.flatten(), minlength=_LIGHTNESSES * num_classes)
        return counts.view(_LIGHTNESSES, num_classes)

    def prior(self, by_lightness: Int64[Tensor, "32 K"]) -> Float[Tensor, "K h w"]:
        """Return logarithms of the classes' shares among the counted pixels of the same lightness."""
        return log_shares(by_lightness)[_step(self.lightness)].movedim(-1, 0)


def _step(lightness: Tensor) -> Tensor:
    return (lightness * (_LIGHTNESSES / 100)).long().clamp(0, _LIGHTNESSES - 1)
