"""What learns under each policy: the head alone, the last stage of the backbone with it, or everything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from pixelwise.errors import ConfigError
from pixelwise.network.backbones.backbone import Backbone
from pixelwise.network.frozen import names_below
from pixelwise.segmenting.objective import Weights

Thawed = Literal["stage", "full"]
BACKBONE, LAST_LAYER = "backbone", ("heads", "bias")
"""What the parameters of a `Learner` are called below."""


def learned_names(backbone: Backbone, policy: Thawed) -> tuple[str, ...]:
    """Return the names of the backbone's parameters that learn along with the head.

    Raises:
        ConfigError: the backbone does not say what its last stage is.
    """
    if policy == "full":
        return tuple(name for name, _ in backbone.named_parameters())
    if not backbone.last_stage:
        raise ConfigError(
            f"the policy stage needs to know the last stage of {backbone.name}, and it is not known; "
            "choose last-layer or full"
        )
    return names_below(backbone, *backbone.last_stage)


class Learner(nn.Module):
    """A backbone and a linear head on its levels at all sizes, as one network."""

    def __init__(self, backbone: Backbone, num_sizes: int, num_classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.heads = nn.ModuleList(
            nn.Conv2d(level.channels, num_classes, 1, bias=False)
            for _ in range(num_sizes)
            for level in backbone.levels
        )
        self.bias = nn.Parameter(torch.zeros(num_classes, 1, 1))

    def forward(self, images: Sequence[Float[Tensor, "N 3 _ _"]]) -> Float[Tensor, "N K H W"]:
        """Return the logits of photos given at every size, sRGB in [0, 1]; at the last of these sizes."""
        size = images[-1].shape[-2:]
        maps = [one for image in images for one in self.backbone(image)]
        total: Tensor = self.bias
        for head, one in zip(self.heads, maps, strict=True):
            total = total + F.interpolate(head(one).float(), size, mode="bilinear", align_corners=False)
        return total

    def weights(self) -> Weights:
        """Return a copy of the last layer as one linear head, on the CPU."""
        weight = torch.cat([head.weight.detach()[..., 0, 0] for head in self._linear()], dim=1)
        return Weights(weight.cpu(), self.bias.detach().flatten().clone().cpu())

    @torch.no_grad()
    def load_head(self, weights: Weights) -> None:
        """Make a linear head the last layer."""
        layers = self._linear()
        parts = weights.weight.split([head.in_channels for head in layers], dim=1)
        for head, part in zip(layers, parts, strict=True):
            head.weight.copy_(part[..., None, None])
        self.bias.copy_(weights.bias[:, None, None])

    def _linear(self) -> list[nn.Conv2d]:
        return [head for head in self.heads if isinstance(head, nn.Conv2d)]
