"""Files, PIL images, arrays and tensors as photos, and models kept for the next picture."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from pixelwise.errors import PhotoError, ShapeError
from pixelwise.photos.paint import Strip
from pixelwise.photos.photo import Photo, open_photo, photo_of_codes
from pixelwise.photos.resize import channels_last

if TYPE_CHECKING:
    from torch import Tensor

ImageLike: TypeAlias = "str | os.PathLike[str] | Image.Image | NDArray[Any] | Tensor"
"""A file's path; a PIL image; an array (H, W), (H, W, 3) or (H, W, 4); a tensor (H, W) or (C, H, W).

Numbers are uint8 or uint16 codes, or floats from 0 to 1, in sRGB.
"""
Images: TypeAlias = "Sequence[ImageLike] | NDArray[Any] | Tensor"
"""Several pictures; arrays (N, H, W, C) and tensors (N, C, H, W) are such."""
T = TypeVar("T")
_ROUNDING = 1e-3  # that floats may leave the range from 0 to 1 by
_SHOWN = 480  # pixels of the long side, in a notebook
_IN_MEMORY = Path("image")


def photo_from(image: ImageLike) -> Photo:
    """Return any picture as a photo.

    Raises:
        PhotoError: it is no picture, or has values that no picture has.
        ShapeError: an array or tensor has another shape than pictures have.
    """
    if isinstance(image, str | os.PathLike):
        return open_photo(Path(image))
    if isinstance(image, Image.Image):
        return photo_of_codes(_codes_of_pil(image), _IN_MEMORY)
    if isinstance(image, getattr(sys.modules.get("torch"), "Tensor", ())):  # torch need not be installed
        if image.ndim == 3 and image.shape[0] > 4:
            raise _wrong_shape(image)
        tensor: Any = image
        tensor = tensor.detach().cpu()
        numbers = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
        return photo_of_codes(_codes(np.moveaxis(numbers, 0, -1) if image.ndim == 3 else numbers), _IN_MEMORY)
    if isinstance(image, np.ndarray):
        return photo_of_codes(_codes(image), _IN_MEMORY)
    raise PhotoError(f"needed a path, a PIL image, an array or a tensor, got {type(image).__name__}")


def _wrong_shape(numbers: NDArray[Any] | Tensor) -> ShapeError:
    return ShapeError(
        f"needed (H, W[, C]), or ([C,] H, W) of a tensor, with 1 to 4 channels, got {tuple(numbers.shape)}"
    )


def _codes(numbers: NDArray[Any]) -> Strip:
    if numbers.ndim == 2:
        numbers = numbers[..., None]
    if numbers.ndim != 3 or not 1 <= numbers.shape[2] <= 4 or 0 in numbers.shape:
        raise _wrong_shape(numbers)
    numbers = numbers.astype(numbers.dtype.newbyteorder("="), copy=False)
    if numbers.dtype.kind == "f":
        if not (numbers.min() >= -_ROUNDING and numbers.max() <= 1 + _ROUNDING):  # NaN is neither
            raise PhotoError(
                f"needed floats from 0 to 1, got {numbers.min():g} to {numbers.max():g}; divide by the "
                "largest, or give uint8"
            )
        numbers = np.round(numbers.astype(np.float64).clip(0, 1) * 65535).astype(np.uint16)
    elif numbers.dtype == bool:
        numbers = numbers.astype(np.uint8) * 255
    elif numbers.dtype not in (np.uint8, np.uint16):
        raise PhotoError(f"needed uint8, uint16 or floats from 0 to 1, got {numbers.dtype}")
    return np.ascontiguousarray(numbers)


def _codes_of_pil(image: Image.Image) -> Strip:
    """Return the codes (H, W, bands) of a PIL image as it is displayed, in sRGB."""
    profile = image.info.get("icc_profile")
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        return np.ascontiguousarray(image, np.uint16)[..., None]
    if image.mode in ("F", "I"):
        raise PhotoError(f"needed a PIL image of 8 or 16 bit, got mode {image.mode}; give its array, scaled")
    mode = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    if image.has_transparency_data:
        mode += "A"
    if image.mode != "CMYK":
        image = image.convert(mode)
    if profile:
        wanted = "RGBA" if image.mode == "RGBA" else "RGB"
        with contextlib.suppress(ImageCms.PyCMSError, OSError):  # one that is damaged, or of another kind
            own, srgb = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
            image = ImageCms.profileToProfile(image, own, srgb, outputMode=wanted) or image
    codes = np.asarray(image if image.mode in ("RGB", "RGBA") else image.convert(mode))
    return np.ascontiguousarray(codes[..., None] if codes.ndim == 2 else codes)


def upright_codes(photo: Photo, strips: Iterable[Strip] | None = None) -> Strip:
    """Return all rows of a photo, or of strips of its size, (H, W, bands), as the photo is displayed."""
    rows = np.concatenate(list(photo.strips() if strips is None else strips))
    return channels_last(photo.upright(np.moveaxis(rows, -1, 0)))


def pil_of(codes: Strip) -> Image.Image:
    """Return codes (H, W, bands) as a PIL image, which has 8 bit."""
    if codes.dtype == np.uint16:
        codes = ((codes.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return Image.fromarray(codes.squeeze(2) if codes.shape[2] == 1 else codes)


def file_state(name_or_path: str) -> tuple[tuple[str, int, int], ...]:
    """Return path, time and size of a file, or of those in a run folder; nothing of a shipped model."""
    path = Path(name_or_path).absolute()
    files = sorted(path.iterdir()) if path.is_dir() else [path] if path.is_file() else []
    stats = ((file, file.stat()) for file in files)
    return tuple((str(file), stat.st_mtime_ns, stat.st_size) for file, stat in stats)


def kept(open_one: Callable[[str], T], name_or_path: str | os.PathLike[str]) -> T:
    """Open a model, head or backbone, or return it as it was opened before, since nothing changes it."""
    return _kept(open_one, str(name_or_path), file_state(str(name_or_path)))


@lru_cache(maxsize=8)
def _kept(open_one: Callable[[str], Any], name_or_path: str, _state: Hashable) -> Any:
    return open_one(name_or_path)


def smaller(image: Image.Image, longest: int) -> Image.Image:
    """Return a picture, or a smaller copy if its longer side is more than so many pixels."""
    small = image.copy()
    small.thumbnail((longest, longest))
    return small


def notebook_png(image: Image.Image) -> bytes | None:
    """Return a picture as PNG, small enough to be kept in a notebook."""
    png: bytes | None = smaller(image, _SHOWN)._repr_png_()
    return png
