"""Pictures as people have them: files, PIL images, arrays, tensors."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps
from torch import Tensor

from pixelwise.errors import PhotoError, ShapeError
from pixelwise.photos.paint import Strip
from pixelwise.photos.photo import Photo, open_photo, photo_of_codes

ImageLike: TypeAlias = str | os.PathLike[str] | Image.Image | NDArray[Any] | Tensor
"""A file's path; a PIL image; an array (H, W), (H, W, 3) or (H, W, 4); a tensor (H, W) or (C, H, W).

Numbers are uint8 or uint16 codes, or floats from 0 to 1, in sRGB.
"""

_IN_MEMORY = Path("image")
_SHOWN = 480  # pixels of the long side, in a notebook
_PIL_MODES = {"L": "L", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA", "1": "L", "La": "LA", "RGBa": "RGBA"}


Images: TypeAlias = Sequence[ImageLike] | NDArray[Any] | Tensor
"""Several pictures; arrays (N, H, W, C) and tensors (N, C, H, W) are such."""


def is_one(images: ImageLike | Images) -> bool:
    """Whether this is a single picture, not several."""
    if isinstance(images, np.ndarray | Tensor):
        return images.ndim <= 3
    return isinstance(images, str | os.PathLike | Image.Image)


def photo_from(image: ImageLike) -> Photo:
    """Any picture as a photo.

    Raises:
        PhotoError: it is no picture, or has values that no picture has.
        ShapeError: an array or tensor has another shape than pictures have.
    """
    if isinstance(image, str | os.PathLike):
        return open_photo(Path(image))
    if isinstance(image, Image.Image):
        return photo_of_codes(_codes_of_pil(image), _IN_MEMORY)
    if isinstance(image, Tensor):
        numbers = image.detach().cpu()
        return photo_of_codes(_codes(_channels_last(numbers).numpy()), _IN_MEMORY)
    if isinstance(image, np.ndarray):
        return photo_of_codes(_codes(image), _IN_MEMORY)
    raise PhotoError(f"needed a path, a PIL image, an array or a tensor, got {type(image).__name__}")


def joined(strips: Sequence[Strip], photo: Photo) -> Strip:
    """All rows of a picture (H, W, bands), turned to how the photo is displayed."""
    whole = torch.from_numpy(np.concatenate(strips)).movedim(-1, 0)
    return photo.upright(whole).movedim(0, -1).contiguous().numpy()


def pil_of(codes: Strip) -> Image.Image:
    """Codes (H, W, bands) as a PIL image, which has 8 bit."""
    if codes.dtype == np.uint16:
        codes = ((codes.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return Image.fromarray(codes.squeeze(2) if codes.shape[2] == 1 else codes)


def png_of(image: Image.Image) -> bytes:
    """A PIL image as a PNG file."""
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def thumbnail(image: Image.Image) -> Image.Image:
    """A picture small enough to be shown in a notebook."""
    small = image.copy()
    small.thumbnail((_SHOWN, _SHOWN))
    return small


def _channels_last(numbers: Tensor) -> Tensor:
    if numbers.ndim == 3 and numbers.shape[0] not in (1, 2, 3, 4):
        raise ShapeError(
            f"needed a tensor (H, W) or (C, H, W) of 1 to 4 channels, got {tuple(numbers.shape)}; "
            "numpy arrays have their channels last, tensors first"
        )
    return numbers if numbers.ndim != 3 else numbers.movedim(0, -1)


def _codes(numbers: NDArray[Any]) -> Strip:
    """Codes (H, W, bands) of an array."""
    if numbers.ndim == 2:
        numbers = numbers[..., None]
    if numbers.ndim != 3 or not 1 <= numbers.shape[2] <= 4 or 0 in numbers.shape:
        raise ShapeError(
            f"needed an array (H, W), (H, W, 3) or (H, W, 4), got {numbers.shape}; "
            "numpy arrays have their channels last, tensors first"
        )
    if numbers.dtype.kind == "f":
        _require_floats(numbers)
        numbers = np.round(numbers * 65535).astype(np.uint16)
    elif numbers.dtype == bool:
        numbers = numbers.astype(np.uint8) * 255
    elif numbers.dtype not in (np.uint8, np.uint16):
        raise PhotoError(f"needed uint8, uint16 or floats from 0 to 1, got {numbers.dtype}")
    return np.ascontiguousarray(numbers)


def _require_floats(numbers: NDArray[Any]) -> None:
    finite = numbers[np.isfinite(numbers)]
    if finite.size < numbers.size:
        raise PhotoError(
            f"needed floats from 0 to 1, got {numbers.size - finite.size} of {numbers.size} that are no "
            "numbers or infinite; fill them in first"
        )
    if finite.min() < 0 or finite.max() > 1:
        raise PhotoError(
            f"needed floats from 0 to 1, got {finite.min():g} to {finite.max():g}; divide by the largest, "
            "or give uint8"
        )


def _codes_of_pil(image: Image.Image) -> Strip:
    """Codes of a PIL image as it is displayed, in sRGB."""
    if image.mode.startswith("I;16"):
        return np.ascontiguousarray(ImageOps.exif_transpose(image), np.uint16)[..., None]
    if image.mode in ("F", "I"):
        raise PhotoError(f"needed a PIL image of 8 or 16 bit, got mode {image.mode}; give its array, scaled")
    clear = image.mode == "P" and "transparency" in image.info
    mode = _PIL_MODES.get(image.mode, "RGBA" if clear else "RGB")
    profile = image.info.get("icc_profile")
    image = ImageOps.exif_transpose(image)
    if profile:
        image = _in_srgb(image if image.mode == "CMYK" else image.convert(mode), profile)
    codes = np.asarray(image.convert(mode))
    return np.ascontiguousarray(codes[..., None] if codes.ndim == 2 else codes)


def _in_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """An image with a colour profile, in sRGB; as it is, where the profile is damaged or of another kind."""
    *colours, last = image.getbands()
    alpha = image.getchannel("A") if last == "A" else None
    opaque = image.convert("".join(colours)) if alpha else image
    try:
        own, srgb = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(opaque, own, srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return image
    if converted is None:
        return image
    if alpha:
        converted.putalpha(alpha)
    return converted
