"""A network that reads grey photos through a frozen backbone: a small decoder."""

from __future__ import annotations

from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixelwise.colour.arrays import Float
from pixelwise.errors import CheckpointError, ConfigError
from pixelwise.network.config import ColourNetConfig
from pixelwise.training.backbones import TorchBackbone, folded, open_torch_backbone
from pixelwise.training.shapes import Grey

_STRIDES = {4: 1.0, 8: 1.0, 16: 1.5, 32: 2.0}  # channels of the decoder at each stride, over its width


@final
class ColourNet(nn.Module):
    """Logits of every class at a quarter of the size of the grey photo that is read.

    The backbone's deepest maps of each stride, 4, 8, 16 and 32, are joined from the coarsest to the finest,
    as in a U-Net; a summary of the whole photo is added to the coarsest. The backbone is neither trained nor
    saved: `state_dict` has its checksum, and loading refuses another one with a CheckpointError.

    Source: R. Zhang, P. Isola, A. Efros, arXiv:1603.08511: colour by classes at a quarter of the size;
    O. Ronneberger, P. Fischer, T. Brox, arXiv:1505.04597: the decoder.
    """

    stride = 32  # divides height and width of the input
    out_stride = 4  # pixels of the input, down and across, that share one place of the logits
    backbone: TorchBackbone
    backbone_checksum: Tensor

    def __init__(self, config: ColourNetConfig) -> None:
        super().__init__()
        with torch.device("cpu"):  # it has numbers of its own, even where a network is built without any
            opened = open_torch_backbone(config.backbone)
            self._installed = torch.tensor(list(bytes.fromhex(opened.checksum)), dtype=torch.uint8)
        self.__dict__["backbone"] = folded(opened)  # and so it is no part of this module
        self.register_buffer("backbone_checksum", self._installed.clone())
        self.register_load_state_dict_post_hook(_require_same_backbone)
        self.config, self.saturation = config, config.saturation
        deepest = {level.stride: index for index, level in enumerate(self.backbone.levels)}
        if sorted(deepest) != sorted(_STRIDES) or self.backbone.multiple != self.stride:
            raise ConfigError(
                f"colournet needs a backbone with maps at strides 4, 8, 16 and 32, {self.backbone.name} has "
                f"them at {', '.join(map(str, sorted(deepest)))}; take efficientnet_lite0"
            )
        self.levels = [deepest[stride] for stride in _STRIDES]  # numbers of the backbone's, the finest first
        c = {stride: self.backbone.levels[index].channels for stride, index in deepest.items()}
        w = {stride: round(config.width * wider) for stride, wider in _STRIDES.items()}
        self.coarsest = nn.Sequential(nn.Conv2d(c[32], w[32], 1, bias=False), nn.BatchNorm2d(w[32]))
        self.summary = LinearApart(c[32], w[32])
        self.join16 = _joining(w[32] + c[16], w[16])
        self.join8 = _joining(w[16] + c[8], w[8])
        self.join4 = _joining(w[8] + c[4], w[4])
        self.dropout = nn.Dropout2d(config.dropout)
        self.classes = nn.Conv2d(w[4], config.num_colours, 1)

    def forward(self, x: Grey) -> Float[Tensor, "N K h w"]:
        """Return logits (N, K, H / 4, W / 4) of grey photos (N, 1, H, W), CIE L from 0 to 1."""
        maps = self.features(x)
        return self.forward_maps(*(maps[index] for index in self.levels))

    def features(self, x: Grey) -> tuple[Float[Tensor, "N _ _ _"], ...]:
        """Return the backbone's features of photos, grey in all three channels: one map a level."""
        if self.backbone.centre.device != x.device:
            self.backbone.to(x.device)
        return self.backbone(x.expand(-1, 3, -1, -1))

    def forward_maps(self, *maps: Float[Tensor, "N _C _h _w"]) -> Float[Tensor, "N K h w"]:
        """Return the logits from those maps of photos that `levels` names."""
        *finer_maps, coarsest = maps
        y = F.relu(self.coarsest(coarsest) + self.summary(coarsest.mean((2, 3)))[:, :, None, None])
        for join, finer in zip((self.join16, self.join8, self.join4), reversed(finer_maps), strict=True):
            y = join(torch.cat((F.interpolate(y, finer.shape[-2:]), finer), dim=1))
        return self.classes(self.dropout(y))


def _require_same_backbone(net: nn.Module, _keys: Any) -> None:
    assert isinstance(net, ColourNet)
    if not torch.equal(net.backbone_checksum.cpu(), net._installed):
        raise CheckpointError(
            f"this network was trained on other weights of {net.backbone.name} than are installed; "
            "install the version of them that it names, or train it again"
        )


class LinearApart(nn.Linear):
    """A linear layer that, outside training, adds up each photo's numbers in the same order.

    A matrix product does not: a photo's colours would depend on the others in its batch.
    """

    def forward(self, input: Float[Tensor, "N C"]) -> Float[Tensor, "N width"]:
        """Return the layer's output."""
        if self.training:
            return super().forward(input)
        return (input[:, None] * self.weight).sum(-1) + self.bias


def _joining(num_in: int, num_out: int) -> nn.Sequential:
    conv = nn.Conv2d(num_in, num_out, 3, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(num_out), nn.ReLU())


def chroma_of(images: Float[Tensor, "N 3 H W"], coarser: int = 1) -> Float[Tensor, "N 2 h w"]:
    """Return Lab's a and b of the mean sRGB colour of each place of the logits, or of so many together."""
    from kornia.color import rgb_to_lab  # a sixth of a second, which colouring can spare

    return rgb_to_lab(F.avg_pool2d(images, ColourNet.out_stride * coarser))[:, 1:]
