"""What learns under each policy: the head alone, the last stage of the backbone with it, or everything."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from pixelwise.backbones import Backbone

Thawed = Literal["stage", "full"]


def learned_names(backbone: Backbone, policy: Thawed) -> tuple[str, ...]:
    """Parameters of the backbone that learn along with the head, by name.

    The last stage is what the last level alone depends on; where a backbone has one level, it is the last
    part of its network that has parameters.
    """
    names = [name for name, _ in backbone.named_parameters()]
    if policy == "full":
        return tuple(names)
    if len(backbone.levels) == 1:
        last = names[-1].split(".")[1]
        return tuple(name for name in names if name.startswith(f"net.{last}."))
    thawed = copy.deepcopy(backbone).requires_grad_(True)
    side = 2 * backbone.multiple
    *earlier, _ = thawed(torch.zeros(1, 3, side, side))
    parameters = dict(thawed.named_parameters())
    loss = torch.stack([one.sum() for one in earlier]).sum()
    gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    return tuple(name for name, gradient in zip(parameters, gradients, strict=True) if gradient is None)


class Learner(nn.Module):
    """A backbone and a linear head on its levels at all sizes, as one network: for policies that thaw it."""

    def __init__(self, backbone: Backbone, num_sizes: int, num_classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.heads = nn.ModuleList(
            nn.Conv2d(level.channels, num_classes, 1, bias=False)
            for _ in range(num_sizes)
            for level in backbone.levels
        )
        self.bias = nn.Parameter(torch.zeros(num_classes, 1, 1))

    def forward(self, readings: Sequence[Float[Tensor, "N 3 _ _"]]) -> Float[Tensor, "N K H W"]:
        """Logits of the same photos read at every size, at the last of these sizes."""
        size = readings[-1].shape[-2:]
        maps = [one for reading in readings for one in self.backbone(reading)]
        total: Tensor = self.bias
        for head, one in zip(self.heads, maps, strict=True):
            total = total + F.interpolate(head(one).float(), size, mode="bilinear", align_corners=False)
        return total


def names_in_learner(backbone: Backbone, policy: Thawed, learner: Learner) -> tuple[str, ...]:
    """Parameters of a `Learner` that learn."""
    inside = {f"backbone.{name}" for name in learned_names(backbone, policy)}
    names = (name for name, _ in learner.named_parameters())
    return tuple(name for name in names if name in inside or not name.startswith("backbone."))
