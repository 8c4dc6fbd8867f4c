"""The base of networks that read grey photos through a frozen backbone."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pixelwise.colour.shapes import Grey
from pixelwise.errors import CheckpointError
from pixelwise.network.backbones import open_backbone
from pixelwise.network.backbones.backbone import Backbone, folded


class OnBackbone(nn.Module):
    """Layers on a backbone, which is neither trained nor saved; abstract.

    `state_dict` has the layers, and the checksum of the backbone that they were trained on.

    Raises:
        ConfigError: there is no such backbone.
        CheckpointError: the backbone's weights are not to be had, or others than the layers were trained on.
    """

    backbone_checksum: Tensor

    def __init__(self, backbone: str) -> None:
        super().__init__()
        self._name = backbone
        with torch.device("cpu"):  # it has numbers of its own, even where a network is built without any
            opened = open_backbone(backbone)
        self._outside = [folded(opened, "fp32")]  # in a list, so that it is no part of this module
        self._installed = _as_bytes(opened.checksum)
        self.register_buffer("backbone_checksum", self._installed.clone())
        self.register_load_state_dict_post_hook(_require_same_backbone)

    @property
    def backbone(self) -> Backbone:
        """The frozen network."""
        return self._outside[0]

    def look(self, x: Grey) -> tuple[Float[Tensor, "N _ _ _"], ...]:
        """Return the backbone's features of grey photos, read as equal red, green and blue: one map a level.

        Frozen weights record no gradient; one of the photo itself can be had.
        """
        backbone = self.backbone
        if backbone.centre.device != x.device:
            backbone.to(x.device)
        maps: tuple[Tensor, ...] = backbone(x.expand(-1, 3, -1, -1))
        return maps


def _as_bytes(checksum: str) -> Tensor:
    return torch.tensor(list(bytes.fromhex(checksum)), dtype=torch.uint8, device="cpu")


def _require_same_backbone(net: nn.Module, _keys: Any) -> None:
    """Refuse weights of layers that were trained on another backbone."""
    assert isinstance(net, OnBackbone)
    if not torch.equal(net.backbone_checksum.cpu(), net._installed):
        raise CheckpointError(
            f"this network was trained on other weights of {net._name} than are installed; "
            "install the version of them that it names, or train it again"
        )
