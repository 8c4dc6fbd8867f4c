"""Strips written to a file with the photo's own metadata; only a few strips are held at a time.

libvips pulls what it encodes, and its Python binding cannot hand it pixels piece by piece. So the strips are
put behind a TIFF header and offered as a file to read: uncompressed TIFF is plain rows, and costs one copy.
libvips asks for them in one of its threads while another encodes the ones before.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
from numpy import ndarray

from pixelwise.colour.arrays import Float
from pixelwise.colour.spaces import linear_to_srgb
from pixelwise.errors import OutputError
from pixelwise.files import whole_file
from pixelwise.photos.formats import VIPS_FORMATS, vips_reason
from pixelwise.photos.paint import Strip
from pixelwise.photos.photo import Photo
from pixelwise.photos.tiff import HEADER_BYTES, Tag, add_exif, describing_exif, directory, header

_KEPT = ("exif-", "iptc-data", "orientation", "resolution-unit", "image-description", "png-comment-")
"""Beginnings of libvips' names for metadata of the photo; the rest describes the old file's encoding."""

_LEAST_FREE_BYTES = 2**16  # on a disk that is not full; libvips writes less at a time
_JPEG_XMP_BYTES = 60_000  # longer XMP libvips leaves out of a JPEG, whose segments hold 65,502 bytes
_PADDING = re.compile(rb"\s+(?=<\?xpacket\s+end=)")  # blanks that leave room at the end of XMP

WRITABLE = {
    suffix: loader
    for loader in ("jpegload", "pngload", "tiffload", "webpload", "heifload")
    for suffix in VIPS_FORMATS[loader]
    if suffix != ".heic"
}
"""Suffixes of the files that can be written (a .heic would have to be HEVC), each with its format's key."""


def output_suffix(photo: Photo) -> tuple[str, str]:
    """Return the suffix of the coloured photo's file, and a remark where its format has to change.

    Format and suffix stay as they are; a suffix that belongs to another format is put right.
    """
    suffix = photo.path.suffix
    fitting = [ending for ending, loader in WRITABLE.items() if loader == photo.format]
    # The wheel reads no HEVC, patents' licence or not, and writes AV1 alone.
    if not fitting or photo.metadata.get("heif-compression", (0, "av1"))[1] != "av1":
        return ".png", f"{photo.path}: written as PNG, since its own format cannot be written here"
    if suffix.lower() in fitting:
        return suffix, ""
    return fitting[0], f"{photo.path}: written as {fitting[0]}, which is what it holds"


def losses(photo: Photo, suffix: str) -> list[str]:
    """Return remarks on what of a photo a file of this suffix cannot hold."""
    loader = WRITABLE[suffix.lower()]
    lost = []
    if photo.alpha and loader == "jpegload":
        lost.append("laid on white, since JPEG has no transparency")
    if photo.bits == 16 and loader in ("jpegload", "webpload"):
        lost.append(f"cut to 8 bit, since {suffix} holds no more")
    if "xmp-data" in photo.metadata and fitting_xmp(photo.metadata["xmp-data"][1], suffix) is None:
        lost.append(f"its XMP was left out, since it is too long for {suffix}")
    if loader == "tiffload" and "exif-data" in photo.metadata:
        try:
            describing_exif(photo.metadata["exif-data"][1])
        except ValueError as error:
            lost.append(f"{error}; it was left out")
        if _needs_bigtiff(photo):
            lost.append("its EXIF was left out, since a TIFF of over 4 GB cannot hold it here")
    return [f"{photo.path}: {remark}" for remark in lost]


def fitting_xmp(packet: bytes, suffix: str) -> bytes | None:
    """Return XMP as a file of this suffix can hold it: as it is, without its padding, or None."""
    if WRITABLE[suffix.lower()] != "jpegload" or len(packet) <= _JPEG_XMP_BYTES:
        return packet
    short = _PADDING.sub(b"\n", packet)
    return short if len(short) <= _JPEG_XMP_BYTES else None


def write_photo(path: Path, strips: Iterable[Strip], photo: Photo) -> None:
    """Write the strips of a coloured copy of `photo`, with its metadata; whole or not at all.

    The suffix, one of WRITABLE, decides the format; quality is 95 where the format takes one. EXIF (but for
    the thumbnail in it), XMP, IPTC, orientation, resolution and colour profile are the photo's.
    OutputError where the file cannot be written; what `strips` raises comes as it is.
    """
    stream = _Stream(iter(strips), photo)
    with whole_file(path) as temporary:
        with _target(temporary, path) as target:
            _run(lambda: _encode(stream, photo, path.suffix, target), stream)
        if WRITABLE[path.suffix.lower()] == "tiffload" and "exif-data" in photo.metadata:
            with contextlib.suppress(ValueError):  # `losses` says that it is lost
                add_exif(temporary, photo.metadata["exif-data"][1])


def write_map(path: Path, small: Float[ndarray, "h w"], photo: Photo) -> None:
    """Write a map (h, w) of values in [0, 1] as a grey PNG, 8 bit, of the photo's size and orientation.

    A value is shown as that much light, encoded as sRGB: plain numbers below 0.22 would be black to the eye.
    """
    image = pyvips.Image.new_from_array(linear_to_srgb(small) * 255)
    image = image.resize(photo.width / image.width, vscale=photo.height / image.height, kernel="linear")
    image = image.rint().cast("uchar").copy(interpretation="b-w")
    image.set_type(pyvips.GValue.gint_type, "orientation", photo.orientation)
    with whole_file(path) as temporary, _target(temporary, path) as target:
        image.pngsave_target(target)


@contextlib.contextmanager
def _target(file: Path, path: Path) -> Iterator[pyvips.Target]:
    """Open an empty file for libvips to write `path` to, by descriptor: its binding knows only UTF-8."""
    try:
        with file.open("rb+") as opened:
            target = pyvips.Target.new_to_descriptor(opened.fileno())
            try:
                yield target
            finally:  # libvips has the file open while its target lives, and Windows renames no open file
                pyvips.ffi.release(target.pointer)
    except pyvips.Error as error:
        # of a full disk libvips says only that it could not write
        is_full = shutil.disk_usage(path.parent).free < _LEAST_FREE_BYTES
        why = "no space left on device" if is_full else vips_reason(error)
        raise OutputError(f"cannot write {path}: {why}") from error


def _run(encode: Callable[[], None], stream: _Stream) -> None:
    """Encode in another thread, so that Ctrl-C reaches this one; raise what the strips raised."""
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(encode)
        try:
            work.result()
        except KeyboardInterrupt:
            stream.stopped = True
            raise
        except pyvips.Error:
            if stream.failure is not None:
                raise stream.failure from None
            raise
        finally:
            # Whoever asks for strips has to be done with them first, also when Ctrl-C came.
            pool.shutdown()
            if isinstance(stream.source, Generator):
                stream.source.close()


class _Stream:
    """Strips behind the header of a TIFF, read like a file, forward."""

    def __init__(self, strips: Iterator[Strip], photo: Photo) -> None:
        first = next(strips)
        self.header = _tiff_header(photo.width, photo.height, first)
        self.length = len(self.header) + photo.height * first[0].nbytes
        self.source = strips
        self.waiting = first.data.cast("B")
        self.position = 0
        self.stopped = False  # whether whoever asks gets no more strips
        self.failure: BaseException | None = None

    def image(self) -> pyvips.Image:
        source = pyvips.SourceCustom()
        source.on_read(self.read)
        source.on_seek(self.seek)
        # A strip that fails ends the file early, which libvips has to take for an error.
        return pyvips.Image.new_from_source(source, "", access="sequential", fail_on="error")

    def read(self, most: int) -> bytes | memoryview | None:
        """Return the next bytes, None at the end; called by libvips from its own threads, one at a time."""
        if self.position < len(self.header):
            chunk: bytes | memoryview = self.header[self.position : self.position + most]
        else:
            if not self.waiting and not self.stopped:
                try:
                    strip = next(self.source, None)
                    self.waiting = memoryview(b"") if strip is None else strip.data.cast("B")
                except BaseException as error:  # libvips is written in C and would lose it
                    self.failure = error
            chunk, self.waiting = self.waiting[:most], self.waiting[most:]
        self.position += len(chunk)
        return chunk or None

    def seek(self, offset: int, whence: int) -> int:
        """Go to a place in the header, or on to where the pixels are; `whence` as for `io.IOBase.seek`."""
        self.position = offset + (0, self.position, self.length)[whence]
        return self.position


def _tiff_header(width: int, height: int, first: Strip) -> bytes:
    """Return all of a BigTIFF but its pixels, for strips as long as the first. Source: TIFF 6.0, 8."""
    bands, row_bytes = first.shape[2], first[0].nbytes
    starts = np.arange(0, height, len(first))
    at = HEADER_BYTES[True]
    pixels_at = 0
    for _ in range(2):  # first for the length of the directory, which the pixels lie behind
        tags: list[Tag] = [
            (256, "long", [width]),
            (257, "long", [height]),
            (258, "short", [8 * first.itemsize] * bands),
            (259, "short", [1]),  # no compression
            (262, "short", [2]),  # RGB
            (273, "place", (pixels_at + starts * row_bytes).tolist()),
            (277, "short", [bands]),
            (278, "long", [len(first)]),
            (279, "place", (np.minimum(height - starts, len(first)) * row_bytes).tolist()),
            (338, "short", [2] * (bands - 3)),  # alpha, not multiplied into the colours
        ]
        packed = directory([tag for tag in tags if tag[2]], at, big=True)
        pixels_at = at + len(packed)
    return header(at, big=True) + packed


def _with_metadata(image: pyvips.Image, photo: Photo, suffix: str) -> pyvips.Image:
    resolution = {name: photo.metadata[name][1] for name in ("xres", "yres")}
    image = image.copy(interpretation="srgb" if photo.bits == 8 else "rgb16", **resolution)
    for name, (kind, value) in photo.metadata.items():
        if name == "xmp-data":
            image.set_type(kind, name, fitting_xmp(value, suffix) or b"")
        elif name == "jpeg-thumbnail-data":
            image.set_type(kind, name, b"")  # left out, EXIF's would go on showing the photo as it was
        elif name.startswith(_KEPT) and not name.startswith("exif-ifd1-"):  # which describes that thumbnail
            image.set_type(kind, name, value)
    if photo.into_profile:
        image = image.icc_import(input_profile="srgb", intent="relative")
    if photo.profile is not None:
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", photo.profile)
    return image.icc_export(depth=photo.bits, intent="relative") if photo.into_profile else image


def _needs_bigtiff(photo: Photo) -> bool:
    return photo.width * photo.height * (3 + photo.alpha) * photo.bits // 8 > 2**32 - 2**20


def _encode(stream: _Stream, photo: Photo, suffix: str, target: pyvips.Target) -> None:
    image = _with_metadata(stream.image(), photo, suffix)
    options: dict[str, Any]
    match WRITABLE[suffix.lower()]:
        case "jpegload":
            # Chroma as fine as the photo had it; predicted chroma is coarser than either.
            full = photo.metadata.get("jpeg-chroma-subsample", (0, ""))[1] == "4:4:4"
            if photo.alpha:
                image = image.flatten(background=[2**photo.bits - 1])
            image.jpegsave_target(target, Q=95, subsample_mode="off" if full else "on")
        case "pngload":
            image.pngsave_target(target)
        case "tiffload":
            least_bytes = photo.width * photo.height * photo.bits // 8
            plain = photo.format == "tiffload" and photo.path.stat().st_size >= least_bytes
            options = {"compression": "none"} if plain else {"compression": "lzw", "predictor": "horizontal"}
            if iptc := photo.metadata.get("iptc-data", (0, b""))[1]:
                # libvips counts it in words of four bytes and writes as many single bytes: a quarter.
                image.set_type(pyvips.GValue.blob_type, "iptc-data", iptc + bytes(3 * len(iptc)))
            image.tiffsave_target(target, bigtiff=_needs_bigtiff(photo), **options)
        case "webpload":
            image.webpsave_target(target, Q=95)
        case "heifload":
            bits = photo.metadata.get("bits-per-sample", (0, 12))[1]
            options = {"bitdepth": bits} if photo.bits == 16 else {}
            image.heifsave_target(target, Q=95, compression="av1", subsample_mode="off", **options)
