"""Crops of a photo, and the sizes at which photos are read."""

from __future__ import annotations

from dataclasses import dataclass

from numpy import ndarray

from pixelwise.colour.arrays import Shaped, UInt8
from pixelwise.photos.photo import Photo

LONGEST = 8  # times the short side: a longer panorama is read smaller, to bound memory


@dataclass(frozen=True)
class View:
    """A crop of an upright photo, in shares of its height and width, perhaps mirrored left to right."""

    top: float = 0.0
    left: float = 0.0
    height: float = 1.0
    width: float = 1.0
    mirrored: bool = False

    def cut(
        self, whole: Shaped[ndarray, "*batch H W"], size: tuple[int, int] | None = None
    ) -> Shaped[ndarray, "*batch h w"]:
        """Crop an upright picture or mask, to so many rows and columns if a size is given."""
        height, width = whole.shape[-2:]
        rows, columns = size or (max(1, round(self.height * height)), max(1, round(self.width * width)))
        top = min(round(self.top * height), height - rows)
        left = min(round(self.left * width), width - columns)
        part = whole[..., top : top + rows, left : left + columns]
        return part[..., ::-1] if self.mirrored else part


WHOLE = View()


def reading_size(height: float, width: float, short_side: int, multiple: int) -> tuple[int, int]:
    """Return the height and width, multiples of `multiple`, at which a network reads a picture.

    The short side becomes about `short_side`; panoramas longer than 8 short sides are read smaller.
    """
    scale = min(short_side / min(height, width), LONGEST * short_side / max(height, width))
    rows, columns = (max(multiple, round(length * scale / multiple) * multiple) for length in (height, width))
    return rows, columns


def shrunk_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """Return the height and width of a small copy of a photo: never enlarged, at most 8 short sides long."""
    scale = min(1.0, short_side / min(height, width), LONGEST * short_side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def read_view(photo: Photo, view: View, height: int, width: int) -> UInt8[ndarray, "3 height width"]:
    """Read a crop of a photo squeezed to height x width, upright, sRGB codes; PhotoError if it is damaged."""
    whole = round(height / view.height), round(width / view.width)
    stored = whole if photo.orientation < 5 else whole[::-1]  # 5 to 8 lie on their side
    return view.cut(photo.upright(photo.thumbnail(*stored)), (height, width))
