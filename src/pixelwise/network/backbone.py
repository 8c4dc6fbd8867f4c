"""Frozen backbones: networks that others trained, whose feature maps heads and decoders read."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy import ndarray

from pixelwise.colour.arrays import Float32
from pixelwise.errors import CheckpointError, ConfigError, FrozenError, ShapeError
from pixelwise.files import cache_folder, checksum, reason
from pixelwise.network.cards import check_weights, weights_path
from pixelwise.network.config import Device
from pixelwise.network.session import OnnxNetwork

EMBEDDED = "efficientnet_lite0"
COCO = (  # those of torchvision for segmentation, with the weights they learned on COCO
    "deeplabv3_resnet101",
    "deeplabv3_resnet50",
    "deeplabv3_mobilenet_v3_large",
    "lraspp_mobilenet_v3_large",
)
_FORMAT = 1  # of the metadata of converted backbones
TIMM = "timm:"  # before the name of a model of timm
_SHA256 = "a8d4745de8898209bd5d3dfd3e613a655e5d7907151ae031de1678ad5a6e9c2a"  # of its file


@dataclass(frozen=True)
class Level:
    """One of the feature maps."""

    name: str
    stride: int  # pixels of the photo, down and across, that share one place of the map
    channels: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Backbone:
    """A frozen network that turns photos into feature maps."""

    network: OnnxNetwork
    name: str
    licence: str  # under which its weights may be used
    source: str  # whose weights they are, and what they were learned from
    implementation: str = ""  # the project whose code it was made with, and version, if not ours
    checksum: str  # SHA-256 of its weights, as they were before it became a file
    num_tensors: int  # parameters and buffers that this is of
    levels: tuple[Level, ...]
    multiple: int  # divides height and width of what it reads
    sizes: tuple[int, ...]  # short sides in pixels at which photos are best read; each gives maps of its own
    margin: int | None
    """Pixels around a tile, a multiple of `multiple`, with which its features are those of the whole photo;
    None: every place depends on the whole photo."""

    @staticmethod
    def of(network: OnnxNetwork) -> Backbone:
        """Return a network as the backbone that its file describes; CheckpointError if it is none."""
        about = dict(network.about)
        try:
            if about.pop("task") != "features":
                raise ValueError("it is for another task")
            levels = tuple(Level(**level) for level in about.pop("levels"))
            found = Backbone(network=network, levels=levels, sizes=tuple(about.pop("sizes")), **about)
            if found.multiple < 1 or any(network.outputs[one.name][1] != one.channels for one in levels):
                raise ValueError("its maps are not what it says")
            return found
        except (LookupError, TypeError, ValueError) as error:
            raise CheckpointError(f"{network} holds no backbone of ours ({error})") from error

    def __call__(self, images: Float32[ndarray, "N 3 H W"]) -> tuple[Float32[ndarray, "N _C _h _w"], ...]:
        """Return the maps of photos, sRGB in [0, 1]: for each level (N, channels, H / stride, W / stride)."""
        require_multiples(self.name, self.multiple, *images.shape[-2:])
        maps = self.network.run({"photo": images}, tuple(level.name for level in self.levels))
        return tuple(maps.values())

    def in_threads(self, threads: int) -> Backbone:
        """Return the backbone, to run in so many threads; 0: one for each processor."""
        return replace(self, network=self.network.in_threads(threads))

    def answer(self) -> str:
        """Return a SHA-256 of its maps of a test picture; other processors round otherwise."""
        side = 4 * self.multiple
        picture = np.linspace(0, 1, 3 * side * side, dtype=np.float32).reshape(1, 3, side, side)
        return hashlib.sha256(b"".join(level.tobytes() for level in self(picture))).hexdigest()


def require_multiples(name: str, multiple: int, height: Any, width: Any) -> None:
    """Raise a ShapeError where a backbone cannot read photos of a size; tracing gives symbols for it."""
    over_height, over_width = -height % multiple, -width % multiple
    if over_height or over_width or not height * width:
        raise ShapeError(
            f"{name} needs height and width divisible by {multiple}, got {height} x {width}; "
            f"read the photo at {height + over_height} x {width + over_width}"
        )


@dataclass
class Certificate:
    """Fingerprints of what was to stay as it is, before and after."""

    before: str
    after: str  # empty until the second fingerprint is made
    num_tensors: int  # parameters and buffers that are compared


@contextlib.contextmanager
def certified(backbone: Backbone) -> Iterator[Certificate]:
    """Certify that neither a backbone's file nor what it computes changes meanwhile; else a FrozenError."""
    answer = backbone.answer()
    certificate = Certificate(backbone.network.checksum(), "", backbone.num_tensors)
    yield certificate
    certificate.after = backbone.network.checksum()
    if (certificate.after, backbone.answer()) != (certificate.before, answer):
        raise FrozenError(f"needed a backbone that stays as it is, but {backbone.network} changed")


def open_backbone(
    name: str = EMBEDDED, weights: Path | str | None = None, device: Device = "auto", threads: int = 0
) -> Backbone:
    """Return a backbone by its name, with its published weights, or those of a file.

    Others than the embedded one are made an ONNX file once, which takes torch, and kept in the user's cache.

    Raises:
        ConfigError: there is no such backbone, or it does not read photos of any size.
        CheckpointError: the file of weights is missing, damaged or made for another network.
        DownloadError: the weights are not there and cannot be downloaded.
        ModuleNotFoundError: it has yet to be made a file, and torch is not installed.
    """
    if name not in (EMBEDDED, *COCO) and not name.startswith(TIMM):
        raise ConfigError(
            f"needed one of the backbones {', '.join((EMBEDDED, *COCO))}, or {TIMM}NAME for a model of timm, "
            f"got {name!r}"
        )
    if name == EMBEDDED and not weights:
        return Backbone.of(open_shipped(name, _SHA256, threads, device))
    path = _converted(name, Path(weights) if weights else None)
    try:
        return Backbone.of(OnnxNetwork(path, threads, device))
    except CheckpointError as error:
        raise CheckpointError(f"{error}; delete {path}, and it is made anew") from error


def _converted(name: str, weights: Path | None) -> Path:
    """Return the file of a backbone in the user's cache; one process makes it if it is not there yet."""
    try:
        sha256 = checksum(weights)[:12] if weights else "published"
    except OSError as error:
        raise CheckpointError(f"cannot read weights from {weights}: {reason(error)}") from error
    file = f"{re.sub(r'[^A-Za-z0-9_.]', '-', name)}-{sha256}-{_FORMAT}.onnx"
    path = cache_folder() / "backbones" / file
    if not path.is_file():
        # takes torch; the contract of layers has this exception
        from pixelwise.training.convert import write_backbone

        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if not path.is_file():
                write_backbone(name, weights, path)
    return path


@lru_cache(maxsize=8)
def open_shipped(name: str, sha256: str, threads: int = 0, device: Device = "auto") -> OnnxNetwork:
    """Open a network inside the package; CheckpointError if it has not this SHA-256."""
    check_weights(name, sha256)
    return OnnxNetwork(weights_path(name), threads, device)
