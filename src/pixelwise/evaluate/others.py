"""What the colours of other photos tell of one: their mean, and which classes go with which lightness."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, Int64
from scipy.spatial import KDTree
from torch import Tensor

from pixelwise.colour import lab_to_srgb
from pixelwise.evaluate.pictures import log_shares
from pixelwise.labelspace import Palette
from pixelwise.scores.probs import TOP, ClassScores, class_scores

_LIGHTNESSES = 32  # steps of L; finer ones hold too few pixels of a small set


@dataclass(frozen=True, eq=False)
class Truth:
    """What a network should have said of a photo, at the size of its logits."""

    lightness: Float[Tensor, "h w"]
    """L, 0 to 100: the mean over the pixels that each covers."""
    labels: Int64[Tensor, "h w"]
    """The class of the mean colour over those pixels."""

    @staticmethod
    def of(lab: Float[Tensor, "3 H W"], palette: Palette, size: tuple[int, int]) -> Truth:
        """Of a picture in Lab, shrunk to `size` (height, width) by means of a and b, and of L, over areas."""
        small = F.interpolate(lab[None], size, mode="area")[0]
        if palette.space == "ab":
            _, nearest = KDTree(palette.colours.numpy()).query(small[1:].flatten(1).T.double().numpy())
            labels = torch.from_numpy(nearest).long().view(size)
        else:
            labels = palette.encode((lab_to_srgb(small) * 255).round().byte()).long()
        return Truth(small[0], labels)

    def scores(self, logits: Float[Tensor, "K h w"]) -> ClassScores:
        """How right logits are."""
        return class_scores(logits.flatten(1).T.contiguous(), self.labels.flatten())

    def scores_of_colour(self, ab: Float[Tensor, " 2"], palette: Palette) -> ClassScores | None:
        """How right one colour everywhere is, which ranks classes by distance and gives no probabilities.

        None where classes are not of chroma alone.
        """
        if palette.space != "ab":
            return None
        distances = (palette.colours.float() - ab).square().sum(1)
        rank = distances.argsort(stable=True).argsort()[self.labels]
        top1, top5 = (float((rank < top).float().mean()) for top in (1, TOP))
        return ClassScores(top1=top1, top5=top5, cross_entropy=math.nan, entropy=math.nan)


@dataclass(frozen=True, eq=False)
class Seen:
    """What was seen of some photos, as sums: add those of others, and take away a photo's own."""

    num_photos: int
    ab: Float64[Tensor, " 2"]
    """Mean a and b of each photo, summed."""
    by_lightness: Int64[Tensor, "32 K"]
    """How many pixels of each lightness have each class."""

    @staticmethod
    def nothing(num_classes: int) -> Seen:
        """Of no photo."""
        counts = torch.zeros(_LIGHTNESSES, num_classes, dtype=torch.int64)
        return Seen(0, torch.zeros(2, dtype=torch.float64), counts)

    @staticmethod
    def of(lab: Float[Tensor, "3 H W"], truth: Truth, num_classes: int) -> Seen:
        """Of one photo."""
        joint = _step(truth.lightness) * num_classes + truth.labels
        counts = torch.bincount(joint.flatten(), minlength=_LIGHTNESSES * num_classes)
        return Seen(1, lab[1:].double().mean((1, 2)), counts.view(_LIGHTNESSES, num_classes))

    def __add__(self, other: Seen) -> Seen:
        return Seen(
            self.num_photos + other.num_photos, self.ab + other.ab, self.by_lightness + other.by_lightness
        )

    def __sub__(self, other: Seen) -> Seen:
        return Seen(
            self.num_photos - other.num_photos, self.ab - other.ab, self.by_lightness - other.by_lightness
        )

    @property
    def mean_ab(self) -> Float[Tensor, " 2"]:
        """The mean colour, each photo counting the same."""
        return (self.ab / self.num_photos).float()

    def logits(self, lightness: Float[Tensor, "h w"]) -> Float[Tensor, "K h w"]:
        """Logarithms of the shares that classes have among pixels so light."""
        return log_shares(self.by_lightness)[_step(lightness)].movedim(-1, 0)


def _step(lightness: Tensor) -> Tensor:
    return (lightness * (_LIGHTNESSES / 100)).long().clamp(0, _LIGHTNESSES - 1)
