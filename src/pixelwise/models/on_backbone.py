"""What networks have in common that look at grey photos through a frozen backbone."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pixelwise.backbones import Backbone, folded, open_backbone
from pixelwise.errors import CheckpointError
from pixelwise.shapes import Grey


class OnBackbone(nn.Module):
    """A network's layers on a backbone, which neither learns nor is saved; abstract.

    The backbone is shown a grey photo as one whose red, green and blue are equal. `state_dict` has the
    layers, and the checksum of the backbone that they learned with.

    Raises:
        ConfigError: there is no such backbone.
        CheckpointError: the backbone's weights are not to be had, or others than the layers learned with.
    """

    backbone_checksum: Tensor

    def __init__(self, backbone: str) -> None:
        super().__init__()
        self._name = backbone
        with torch.device("cpu"):  # it has numbers of its own, even where a network is built without any
            opened = open_backbone(backbone)
        self._outside = [folded(opened, "fp32")]  # in a list, so that it is no part of this module
        self._seen_by = opened.checksum
        self.register_buffer("backbone_checksum", _as_bytes(opened.checksum))
        self.register_load_state_dict_post_hook(_require_same_backbone)

    @property
    def backbone(self) -> Backbone:
        """What looks."""
        return self._outside[0]

    def look(self, x: Grey) -> tuple[Float[Tensor, "N _ _ _"], ...]:
        """What the backbone sees in grey photos: one map for each of its levels.

        Frozen weights record no gradient; what asks for that of the photo itself gets it.
        """
        backbone = self.backbone
        if backbone.centre.device != x.device:
            backbone.to(x.device)
        maps: tuple[Tensor, ...] = backbone(x.expand(-1, 3, -1, -1))
        return maps


def _as_bytes(checksum: str) -> Tensor:
    return torch.tensor(list(bytes.fromhex(checksum)), dtype=torch.uint8, device="cpu")


def _require_same_backbone(net: nn.Module, _keys: Any) -> None:
    """Refuse weights of layers that learned from what another backbone saw."""
    assert isinstance(net, OnBackbone)
    known, needed = net.backbone_checksum.cpu(), _as_bytes(net._seen_by)
    if not torch.equal(known, needed):
        raise CheckpointError(
            f"this network learned with other weights of {net._name} than are installed; "
            "install the version of them that it names, or train it again"
        )
