"""Conversion of any photo's numbers to sRGB or grey in 8 or 16 bit, and the colour profile to write.

RGB with a profile that does what   as it is; the profile is kept
sRGB does, whatever its name
RGB with another profile            to sRGB through it; the result is converted back and keeps it
grey with a grey profile            to sRGB through it; the result carries sRGB's profile,
                                    since a grey profile says nothing about colours
CMYK                                to sRGB through its profile or, without one, a common press's
Lab and XYZ                         to sRGB: 16 bit, but for the Lab of 8 bit
PNG with another gamma than sRGB's  to sRGB's, as it is to be shown
float and 32-bit integers           16 bit; white is 1, 255 or 65,535, the first that hardly a value exceeds
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import pyvips
from PIL import Image, ImageCms

from pixelwise.colour.spaces import linear_to_srgb
from pixelwise.errors import PhotoError
from pixelwise.photos.formats import reading, value_of

_DEVICE_INDEPENDENT = ("lab", "labs", "labq", "xyz")  # negative numbers are right there
_WHITES = (1, 255, 65535)
_USUAL_FRAC, _HARDLY = 0.999, 1.1  # of values that decide on white, and times white that they may be
_NUM_DRAWN = 2**20  # values that the usual one is found of
_LEAST_OF_255 = 16  # fractions below it are of white 1, with highlights above
_UNDERSHOOT = 0.01  # of white, which resampling leaves below black
_SRGB_GAMMA, _GAMMA_TOLERANCE = 1 / 2.2, 0.05
_CICP_LINEAR, _HDR = 8, (16, 18)  # of its transfer functions. Source: ITU-T H.273, table 3
_SRGB_TOLERANCE = 3  # codes of 8 bit; small sRGB profiles round their curve by two


@dataclass(frozen=True)
class Conversion:
    """A conversion from a photo's own numbers to sRGB or grey of 8 or 16 bit."""

    convert: Callable[[pyvips.Image], pyvips.Image]
    profile: bytes | None = None  # ICC profile that the copy carries; None: sRGB is understood
    into_profile: bool = False  # whether the copy, in sRGB, has to be converted into `profile`
    note: str = ""  # a remark for the user


def conversion(path: Path, image: pyvips.Image) -> Conversion:
    """Return the conversion that the photo `image` needs; only floats and 32-bit integers are read for it.

    PhotoError where these hold NaN, infinity or numbers clearly below 0, or ones beyond 65,535.
    """
    if image.interpretation in _DEVICE_INDEPENDENT:
        wide = "srgb" if image.interpretation == "labq" else "rgb16"
        return Conversion(lambda pixels: pixels.colourspace(wide))
    if image.format not in ("uchar", "ushort"):
        return _from_range(path, image)
    is_png = value_of(image, "vips-loader", "").startswith("pngload")
    gamma = _png_gamma(path) if is_png else None
    profile: bytes | None = value_of(image, "icc-profile-data", None) if gamma is None else None
    kind = _space(profile)
    depth = 8 if image.format == "uchar" else 16

    def to_srgb(pixels: pyvips.Image) -> pyvips.Image:
        options = {"input_profile": "cmyk"} if pixels.interpretation == "cmyk" else {}
        return pixels.icc_transform("srgb", embedded=True, intent="relative", depth=depth, **options)

    if image.interpretation == "cmyk" or (kind == "GRAY" and image.bands <= 2):
        return Conversion(to_srgb, srgb_profile())
    if profile and kind == "RGB" and _does_what_srgb_does(profile):
        return Conversion(_plain, profile)
    if kind == "RGB" and image.bands >= 3:
        return Conversion(to_srgb, profile, into_profile=True)
    note = "its colour profile does not fit its pixels and was left out" if profile else ""
    return Conversion(_plain, note=note) if gamma is None else _by_gamma(gamma, image)


@cache
def srgb_profile() -> bytes:
    """Return the small sRGB profile that comes with libvips."""
    black = pyvips.Image.black(1, 1, bands=3).copy(interpretation="srgb")
    return bytes(black.icc_transform("srgb", input_profile="srgb").get("icc-profile-data"))


def _space(profile: bytes | None) -> str:
    """Return the space that a profile is for, RGB, GRAY or CMYK; blank where it cannot be read."""
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(profile or b"")).profile.xcolor_space.strip()
    except OSError:
        return ""


@lru_cache(maxsize=16)  # the photos of one camera share theirs
def _does_what_srgb_does(profile: bytes) -> bool:
    greys = np.repeat(np.arange(16, 256, 16, dtype=np.uint8)[:, None], 3, axis=1)
    # Muted, since vivid colours of a wider gamut are cut to sRGB's own.
    muted = np.array([[200, 100, 100], [100, 200, 100], [100, 100, 200], [180, 180, 90]], np.uint8)
    codes = np.concatenate([greys, muted])[None]
    own, srgb = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    try:
        seen = ImageCms.profileToProfile(Image.fromarray(codes), own, srgb, renderingIntent=intent)
    except (OSError, ImageCms.PyCMSError):
        return False
    return bool(np.abs(np.asarray(seen).astype(int) - codes).max() <= _SRGB_TOLERANCE)


def _plain(image: pyvips.Image) -> pyvips.Image:
    known = image.interpretation in ("b-w", "grey16", "srgb", "rgb16", "rgb", "multiband")
    return image if known else image.colourspace("srgb")


def _by_gamma(gamma: float, image: pyvips.Image) -> Conversion:
    """Return the conversion of codes that are light to the power of `gamma`, perhaps sRGB's own."""
    if abs(gamma / _SRGB_GAMMA - 1) < _GAMMA_TOLERANCE:
        return Conversion(_plain)
    table = _gamma_table(gamma, image)
    return Conversion(
        lambda pixels: _plain(pixels).maplut(table), note=f"a gamma of {gamma:.3g} became sRGB's"
    )


def _png_gamma(path: Path) -> float | None:
    """Return the exponent of the light that a PNG says its codes are; None if it does not, or by a profile.

    PhotoError where it is for HDR screens. Source: PNG, third edition, 11.3.2 and 4.3.
    """
    chunks: dict[bytes, bytes] = {}
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8 and head[4:] != b"IDAT":
            chunks[head[4:]] = file.read(int.from_bytes(head[:4], "big"))[:4]
            file.seek(4, 1)
    transfer = cicp[1] if len(cicp := chunks.get(b"cICP", b"")) == 4 else None  # before all else
    if transfer in _HDR:
        raise PhotoError(f"{path}: needed a photo in sRGB, got one for HDR screens; convert it first")
    if transfer == _CICP_LINEAR:
        return 1.0
    if transfer is not None or not chunks.keys().isdisjoint((b"sRGB", b"iCCP")):
        return None
    return int.from_bytes(chunks.get(b"gAMA", b""), "big") / 100_000 or None


def _gamma_table(gamma: float, image: pyvips.Image) -> pyvips.Image:
    """Return sRGB's code for each code that is light to the power of `gamma`; alpha stays as it is."""
    largest = 255 if image.format == "uchar" else 65535
    codes = np.arange(largest + 1) / largest
    seen = linear_to_srgb(codes ** (1 / gamma))
    bands = [
        codes if image.bands in (2, 4) and band == image.bands - 1 else seen for band in range(image.bands)
    ]
    dtype = np.uint8 if largest == 255 else np.uint16
    return pyvips.Image.new_from_array(np.rint(np.stack(bands, 1)[None] * largest).astype(dtype))


def _from_range(path: Path, image: pyvips.Image) -> Conversion:
    """Return a conversion to 16 bit by the first customary white that the values hardly exceed.

    All values count where they are whole numbers, else 99.9 % of them: then a few are highlights.
    """
    with reading(path):
        values = image.numpy().ravel()
    low, high = float(values.min()), float(values.max())
    if not np.isfinite(low + high):
        raise PhotoError(f"{path}: needed numbers, got NaN or infinity in some pixels; replace them first")
    drawn = values if values.size <= _NUM_DRAWN else np.random.default_rng(0).choice(values, _NUM_DRAWN)
    usual, is_whole = float(np.quantile(drawn, _USUAL_FRAC)), values.dtype.kind in "iu"
    limits = (high, usual) if is_whole else (usual,)
    white = next((white for limit in limits for white in _WHITES if limit <= _HARDLY * white), None)
    if white == 255 and usual < _LEAST_OF_255 and not is_whole:
        white = 1
    if white is None or low < -_UNDERSHOOT * white:
        raise PhotoError(f"{path}: needed values from 0 to 65535, got {low:g} to {high:g}; scale them first")
    note = f"values beyond 0 and {white}, taken for black and white, were cut: they go"

    def scale(pixels: pyvips.Image) -> pyvips.Image:
        codes = (pixels * (65535 / white)).rint().cast("ushort")  # which cuts what lies beyond
        return codes.copy(interpretation="rgb16" if codes.bands >= 3 else "grey16")

    return Conversion(scale, note=f"{note} from {low:g} to {high:g}" if low < 0 or high > white else "")
