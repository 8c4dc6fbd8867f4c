"""The features of photos by a frozen network: sizes, tiles, precision."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from pixelwise.errors import FrozenError, is_of_memory
from pixelwise.network.backbones.backbone import Backbone, folded
from pixelwise.network.config import Precision
from pixelwise.network.device import compute_in, give_back_memory
from pixelwise.photos.crop_view import WHOLE, View, read_view, reading_size
from pixelwise.photos.photo import Photo, open_photo
from pixelwise.segmenting.tiling import Maps, split, stitch

READING = "thumbnail-2"
"""The name of the way in which photos are read here; another way of reading would need another name."""
_MARGINS = (4, 3, 2.25)  # sides of the smallest tiles, and of those tried where memory lacks
_logger = logging.getLogger(__name__)
CPU = torch.device("cpu")


@dataclass(frozen=True)
class CropView:
    """A photo, and the view of it that is read."""

    photo: Path
    view: View = WHOLE


def read_photo(
    photo: Photo | Path, short_side: int, multiple: int, view: View = WHOLE
) -> UInt8[Tensor, "3 H W"]:
    """Return a photo, or a view of it, as a network reads it: upright, sRGB, sides divisible by `multiple`.

    Raises:
        PhotoError: it is no photo, damaged or cut short.
    """
    if isinstance(photo, Path):
        photo = open_photo(photo)
    height, width = photo.upright_size
    size = reading_size(height * view.height, width * view.width, short_side, multiple)
    return torch.from_numpy(np.ascontiguousarray(read_view(photo, view, *size)))


@final
class Extractor(nn.Module):
    """A copy of a backbone, its batch norms folded, that computes the features of pictures."""

    def __init__(
        self,
        backbone: Backbone,
        dtype: torch.dtype = torch.bfloat16,
        device: torch.device = CPU,
        max_pixels: int = 1_500_000,
    ) -> None:
        """Copy a backbone; pictures of more than `max_pixels` are read in tiles.

        Raises:
            FrozenError: a part is in training mode, in which a photo's features depend on other photos.
        """
        super().__init__()
        if thawed := [name for name, part in backbone.named_modules() if part.training]:
            raise FrozenError(
                f"needed a backbone in evaluation mode, but {thawed[0] or backbone.name} of {backbone.name} "
                "is in training mode; freeze it before features are computed"
            )
        self.dtype, self.device, self.max_pixels = dtype, device, max_pixels
        self.precision = computed_in(dtype, device)
        self._num_halvings = 0
        self.backbone = folded(backbone, self.precision).to(device)

    @torch.no_grad()
    def forward(self, image: UInt8[Tensor, "3 H W"]) -> Maps:
        """Return the network's maps (C, h, w) of one picture, level by level, on the CPU, as `dtype`.

        One picture at a time: so its maps depend on nothing else, and on the CPU a batch takes no less time
        each. A large one goes in tiles, if the network says how wide their margins have to be; where memory
        does not suffice, in smaller ones from then on, with a warning.
        """
        if self.backbone.margin is None:
            return self._forward(image)
        strides = [level.stride for level in self.backbone.levels]
        while True:
            halvings = self._num_halvings
            tiles = split(
                *image.shape[1:],
                step=self.backbone.multiple,
                margin=self.backbone.margin,
                max_pixels=self.max_pixels >> halvings,
                margins=_MARGINS[halvings],
            )
            try:
                return stitch(image, tiles, strides, self._forward)
            except (MemoryError, RuntimeError) as error:
                if not is_of_memory(error) or halvings + 1 == len(_MARGINS):
                    raise
            give_back_memory()  # a try that failed leaves it in pieces that no tile fits in
            self._num_halvings = halvings + 1
            _logger.warning("needed more memory than there is: photos are read in smaller tiles")

    def _forward(self, part: UInt8[Tensor, "3 H W"]) -> Maps:
        floats = (part[None].to(self.device).float() / 255).contiguous(memory_format=torch.channels_last)
        with compute_in(self.precision, self.device):
            maps = self.backbone(floats)
        return tuple(level[0].to("cpu", self.dtype).contiguous() for level in maps)


def computed_in(dtype: torch.dtype, device: torch.device) -> Precision:
    """Return the precision in which maps that are kept as `dtype` are computed on a device.

    It follows from what the processor has, not from timing it: a busy moment would change a photo's features.
    """
    if dtype == torch.float32:
        return "fp32"
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    has_bf16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16" if has_bf16 else "fp32"
