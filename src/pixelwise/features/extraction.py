"""From a photo to the maps of a frozen network: at which size, whole or in tiles, in which precision."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from pixelwise.backbones import Backbone
from pixelwise.config import Precision
from pixelwise.features.tiling import Maps, split, stitch
from pixelwise.photos.photo import Photo, open_photo
from pixelwise.photos.view import WHOLE, View, read_view, reading_size
from pixelwise.processor import compute_in

READING = "thumbnail-1"
"""The name of the way in which photos are read here; another way of reading would need another name."""
_WHOLE_PIXELS = 1_500_000
CPU = torch.device("cpu")


@dataclass(frozen=True)
class PhotoLook:
    """A photo, and what is seen of it."""

    photo: Path
    view: View = WHOLE


def read_photo(
    photo: Photo | Path, short_side: int, multiple: int, view: View = WHOLE
) -> UInt8[Tensor, "3 H W"]:
    """A photo, or a view of it, as a network reads it: upright, sRGB codes, sides divisible by `multiple`.

    Raises:
        PhotoError: it is no photo, damaged or cut short.
    """
    if isinstance(photo, Path):
        photo = open_photo(photo)
    height, width = photo.upright_size
    size = reading_size(height * view.height, width * view.width, short_side, multiple)
    return read_view(photo, view, *size).contiguous()


@torch.no_grad()
def extract(
    image: UInt8[Tensor, "3 H W"],
    backbone: Backbone,
    dtype: torch.dtype = torch.bfloat16,
    device: torch.device = CPU,
) -> Maps:
    """A network's maps (C, h, w) of one picture, level by level, on the CPU, as `dtype`.

    Pictures are looked at one by one: so a photo's maps depend on this photo alone, and on the CPU many at
    once take no less time each. A large one goes in tiles where the network says how wide their margins have
    to be. fp32 is computed in fp32, bf16 as `computed_in` says.

    Raises:
        ShapeError: the network's `multiple` does not divide height and width.
    """
    net = backbone.to(device)
    precision = computed_in(dtype, device)

    def look(part: Tensor) -> Maps:
        floats = (part[None].to(device).float() / 255).contiguous(memory_format=torch.channels_last)
        with compute_in(precision, device):
            maps = net(floats)
        return tuple(one[0].to("cpu", dtype).contiguous() for one in maps)

    if backbone.margin is None:
        return look(image)
    tiles = split(*image.shape[1:], step=backbone.multiple, margin=backbone.margin, max_pixels=_WHOLE_PIXELS)
    return stitch(image, tiles, [level.stride for level in backbone.levels], look)


def computed_in(dtype: torch.dtype, device: torch.device) -> Precision:
    """The precision in which maps that are kept as `dtype` are computed on a device.

    By what the processor has, not by timing it: a busy moment would give a photo other features than the
    day before.
    """
    if dtype == torch.float32:
        return "fp32"
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    has_bf16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16" if has_bf16 else "fp32"
