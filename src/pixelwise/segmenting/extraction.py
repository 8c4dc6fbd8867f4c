"""The features of photos by a frozen network: sizes, precision, and tiles that equal the whole."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor, nn

from pixelwise.errors import FrozenError, is_of_memory
from pixelwise.network.backbones.backbone import Backbone, folded
from pixelwise.network.config import Precision
from pixelwise.network.device import compute_in, give_back_memory
from pixelwise.photos.crop_view import WHOLE, View, read_view, reading_size
from pixelwise.photos.photo import Photo, open_photo

READING = "thumbnail-2"  # the name of the way in which photos are read here; another would need another name
_MARGINS = (4, 3, 2.25)  # sides of the smallest tiles, and of those tried where memory lacks
_logger = logging.getLogger(__name__)
CPU = torch.device("cpu")
Maps = Sequence[Float[Tensor, "_C _h _w"]]
"""The features of one photo: maps of several sizes, each over the whole photo."""


@dataclass(frozen=True)
class CropView:
    """A photo, and the view of it that is read."""

    photo: Path
    view: View = WHOLE


def read_photo(
    photo: Photo | Path, short_side: int, multiple: int, view: View = WHOLE
) -> UInt8[Tensor, "3 H W"]:
    """Return a view as networks read it: upright, sRGB, sides divisible by `multiple`; else a PhotoError."""
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
        """Copy a backbone, or raise a FrozenError if it is in training mode; tiles have `max_pixels`."""
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

        A large one goes in tiles, if the network says how wide their margins have to be; where memory does
        not suffice, in smaller ones from then on, with a warning.
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


@dataclass(frozen=True)
class Span:
    """A tile's rows or columns: those whose features it gives, and those that the network reads for them."""

    start: int
    stop: int
    seen_start: int
    seen_stop: int

    def at(self, stride: int, origin: int = 0) -> slice:
        """Return its place in a map at `stride` that begins at the picture's row or column `origin`."""
        return slice((self.start - origin) // stride, (self.stop - origin) // stride)


@dataclass(frozen=True)
class Tile:
    """A rectangle of a picture."""

    rows: Span
    columns: Span

    def crop(self, image: Shaped[Tensor, "3 H W"]) -> Shaped[Tensor, "3 h w"]:
        """Return what the network reads of a picture for this tile."""
        rows, columns = self.rows, self.columns
        return image[:, rows.seen_start : rows.seen_stop, columns.seen_start : columns.seen_stop]


def split(
    height: int, width: int, *, step: int, margin: int, max_pixels: int, margins: float = 4
) -> list[Tile]:
    """Return tiles that cover a picture once, each read with `margin` pixels around it; fewest pixels in all.

    Every border lies at a multiple of `step`, or at the picture's own. No tile reads more than `max_pixels`,
    or a square of so many `margins`, whichever is larger: with less, most of what is read would be margins.
    """
    limit = max(max_pixels, int(margins * margin) ** 2, (2 * margin + step) ** 2)
    if height * width <= limit:
        return [Tile(Span(0, height, 0, height), Span(0, width, 0, width))]
    cuts = [[_cut(side, num, step, margin) for num in range(1, side // step + 1)] for side in (height, width)]
    fitting = [pair for pair in product(*cuts) if pair[0][1] * pair[1][1] <= limit]  # tiles of one step do
    rows, columns = min(fitting, key=lambda pair: pair[0][2] * pair[1][2])
    return [Tile(*spans) for spans in product(rows[0], columns[0])]


def _cut(side: int, num: int, step: int, margin: int) -> tuple[list[Span], int, int]:
    """Return a side of a picture in `num` spans of nearly one length, the longest one read, and their sum."""
    length = -(-side // (num * step)) * step
    spans = [
        Span(start, min(start + length, side), max(0, start - margin), min(start + length + margin, side))
        for start in range(0, side, length)
    ]
    lengths = [span.seen_stop - span.seen_start for span in spans]
    return spans, max(lengths), sum(lengths)


def stitch(
    image: Shaped[Tensor, "3 H W"],
    tiles: Sequence[Tile],
    strides: Sequence[int],
    forward: Callable[[Tensor], Maps],
) -> Maps:
    """Return the maps of the whole picture, one at each of `strides`, from those of each tile."""
    if len(tiles) == 1:
        return forward(image)
    whole: list[Tensor] = []
    height, width = image.shape[1:]
    for tile in tiles:
        maps, rows, columns = forward(tile.crop(image)), tile.rows, tile.columns
        whole = whole or [
            level.new_empty(len(level), height // stride, width // stride)
            for level, stride in zip(maps, strides, strict=True)
        ]
        for target, level, stride in zip(whole, maps, strides, strict=True):
            own = level[:, rows.at(stride, rows.seen_start), columns.at(stride, columns.seen_start)]
            target[:, rows.at(stride), columns.at(stride)] = own
    return tuple(whole)
