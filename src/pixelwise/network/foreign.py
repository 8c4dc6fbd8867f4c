"""Other people's colourisers: ONNX files that read lightness or a grey picture and give a and b, or RGB.

A file itself says how it is read, and is refused where it does not:

* The picture is its first input, N C H W of float or half: C is 1 for L, 3 for grey RGB. H and W are equal,
  or free: then 256 for L, 512 for RGB. Photos are squeezed to that square, as by the code of all authors
  below. Further inputs of 1 or 2 channels, colours that a user knows and where, are left blank.
* Its colours are the only output of 2 channels, a and b; or else, of a network that reads RGB, the only one
  of 3, RGB.
* L is from 0 to 100, RGB from 0 to 1, and a and b are in Lab units. But a network that gives RGB is tried: a
  ramp from black to white has to come back about as light as it went in, and the widest range of numbers with
  which it does is its own: 0 to 255, normalised by ImageNet's mean and deviation, -1 to 1, or 0 to 1.
* Its metadata may say otherwise: `Image.NominalPixelRange` Normalized_0_1, Normalized_1_1 (-1 to 1),
  NominalRange_0_255 or ImageNet; `Image.BitmapPixelFormat` Bgr8, that blue comes first; `ab_scale` the Lab
  units in 1 of a and b, such as 110. The licence is that of `model_license` or `license`.

Sources: exports of eccv16 and siggraph17 (L, 256 x 256), DDColor (RGB to a and b, 512 x 512) and DeOldify
(RGB to RGB, in all but the third of the ranges; its author found padding worse than squeezing); ONNX's
MetadataProps.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy import ndarray

from pixelwise.colour.arrays import Float32, UInt8
from pixelwise.colour.spaces import lightness, lightness_to_luminance, linear_to_srgb, srgb_to_lab
from pixelwise.errors import CheckpointError
from pixelwise.network.model import Colouriser
from pixelwise.network.session import OnnxNetwork

_DTYPES: dict[str, type[np.float32] | type[np.float16]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
}
_FREE_SIZES = {1: 256, 3: 512}  # by channels
_MOST_CHROMA = 200.0  # a and b of sRGB are within 110
_MOST_ASTRAY = 10.0  # mean difference of L of the ramp; it is 12 or more in too wide a range
_NEEDED = (
    "a first input N 1 H W (L) or N 3 H W (grey RGB), H and W equal or free, of float or half, and one "
    "output of 2 channels (a and b) or, from RGB, of 3 (RGB)"
)


def _range(black: Sequence[float], white: Sequence[float]) -> Float32[ndarray, "2 _C 1 1"]:
    return np.array([black, white], np.float32)[..., None, None]


# Black and white, the widest first; by their names in metadata, ONNX's own but for imagenet, in lower case.
_RANGES = {
    "nominalrange_0_255": _range([0], [255]),
    "imagenet": _range([-2.1179, -2.0357, -1.8044], [2.2489, 2.4286, 2.64]),  # Source: torchvision
    "normalized_1_1": _range([-1], [1]),
    "normalized_0_1": _range([0], [1]),
}
_LAB_LIGHTNESS = _range([0], [100])


@dataclass(frozen=True, kw_only=True, eq=False)
class ForeignModel(Colouriser):
    """A colouriser of other people's, which gives a and b, or RGB, and no probabilities of classes."""

    network: OnnxNetwork
    num_channels: int  # of the picture
    dtype: type[np.float32] | type[np.float16]
    blank: dict[str, ndarray]  # what it reads beside the picture
    output: str
    pixels: Float32[ndarray, "2 _C 1 1"]  # black and white, of the picture and of RGB that it gives
    is_bgr: bool
    ab_scale: float  # Lab units in 1 of what it gives; 0 if that is RGB

    def read_grey(self, images: UInt8[ndarray, "N 3 H W"]) -> Float32[ndarray, "N 1 H W"]:
        """Return L / 100."""
        return lightness(images / np.float32(255)) / 100

    def __call__(self, grey: Float32[ndarray, "N 1 H W"]) -> Float32[ndarray, "N 2 h w"]:
        """Return Lab a and b of square pictures of its size, L / 100; CheckpointError if it gives others."""
        answers = np.concatenate([self.run(one[None]) for one in grey])  # most have room for one at a time
        if not self.ab_scale:
            return srgb_to_lab(self.shares(answers))[:, 1:]
        chroma = answers * np.float32(self.ab_scale)
        low, high = float(chroma.min()), float(chroma.max())
        if not -_MOST_CHROMA < low <= high < _MOST_CHROMA:  # asked this way round, so that NaN is refused
            raise CheckpointError(
                f"needed a and b in Lab units from {self.name}, got {low:g} to {high:g}; its metadata may "
                "say the Lab units in 1 of them under ab_scale, what it reads under Image.NominalPixelRange"
            )
        return chroma

    def run(self, grey: Float32[ndarray, "1 1 H W"]) -> Float32[ndarray, "1 C h w"]:
        """Return what the network gives for L / 100, in its own numbers; red first."""
        values = grey
        if self.num_channels == 3:
            values = linear_to_srgb(lightness_to_luminance(100 * grey)).repeat(3, axis=1)
        black, white = self.pixels
        picture = self._turned(black + values * (white - black)).astype(self.dtype)
        found = self.network.run({self.network.inputs[0]: picture} | self.blank, (self.output,))
        return self._turned(found[self.output].astype(np.float32))

    def shares(self, numbers: Float32[ndarray, "N C H W"]) -> Float32[ndarray, "N C H W"]:
        """Return RGB from 0 to 1 for the network's own numbers."""
        black, white = self.pixels
        return ((numbers - black) / (white - black)).clip(0, 1)

    def _turned(self, planes: Float32[ndarray, "1 C H W"]) -> Float32[ndarray, "1 C H W"]:
        return np.ascontiguousarray(planes[:, ::-1]) if self.is_bgr and planes.shape[1] == 3 else planes


def foreign_model(name: str, network: OnnxNetwork) -> ForeignModel:
    """Return a network that is not ours as a colouriser; CheckpointError if its file is none, or unclear."""
    about = {key.lower(): value for key, value in network.metadata.items()}
    try:
        model, is_to_try = _described(name, network, about)
    except (KeyError, ValueError) as error:
        found = (
            f"{kind} " + ", ".join(f"{node.name} {node.shape} {node.type}" for node in nodes)
            for kind, nodes in zip(("inputs", "outputs"), network.nodes, strict=True)
        )
        raise CheckpointError(
            f"{name} is no colouriser that can be read ({error}): needed {_NEEDED}; got {', '.join(found)}"
        ) from error
    return _tried(model) if is_to_try else model


def _described(name: str, network: OnnxNetwork, about: dict[str, str]) -> tuple[ForeignModel, bool]:
    """Return a network as its file describes it, and whether its range of numbers is yet to be found."""
    inputs, outputs = network.nodes
    (num_channels, size), *others = map(_channels_and_size, inputs)
    if num_channels not in _FREE_SIZES or any(num not in (1, 2) for num, _ in others):
        raise ValueError(f"channels of inputs: {[num_channels, *(num for num, _ in others)]}")
    size = size or _FREE_SIZES[num_channels]
    by_channels = {num: [node.name for node in outputs if node.shape[1:2] == [num]] for num in (2, 3)}
    gives_rgb = num_channels == 3 and not by_channels[2]
    output, *further = by_channels[3 if gives_rgb else 2] or [""]
    if further or not output:
        raise ValueError("needed one output that can be the colours")
    usual = "normalized_0_1" if num_channels == 3 else ""
    said = about.get("image.nominalpixelrange", usual).lower()
    if said not in ("", *_RANGES) or (said == "imagenet" and num_channels == 1):
        raise ValueError(f"its Image.NominalPixelRange is {said}, none of {', '.join(_RANGES)}")
    ab_scale = float(about.get("ab_scale", 1))
    if not 0 < ab_scale < float("inf"):
        raise ValueError(f"its ab_scale is {ab_scale:g}")
    dtypes = {node.name: _DTYPES[node.type] for node in inputs}
    model = ForeignModel(
        name=name,
        palette=None,
        size=size,
        checksum=network.sha256,
        licence=about.get("model_license") or about.get("license") or "not said in its file",
        network=network,
        num_channels=num_channels,
        dtype=dtypes[inputs[0].name],
        blank={
            node.name: np.zeros((1, num, size, size), dtypes[node.name])
            for node, (num, _) in zip(inputs[1:], others, strict=True)
        },
        output=output,
        pixels=_RANGES[said] if said else _LAB_LIGHTNESS,
        is_bgr=about.get("image.bitmappixelformat", "").lower() == "bgr8",
        ab_scale=0.0 if gives_rgb else ab_scale,
    )
    return model, gives_rgb and "image.nominalpixelrange" not in about


def _channels_and_size(node: Any) -> tuple[int, int]:
    """Return channels and side of a square input; a side that is free is 0."""
    if len(node.shape) != 4:
        raise ValueError(f"{node.name} has {len(node.shape)} axes")
    _, channels, *sides = node.shape
    fixed = {side for side in sides if isinstance(side, int)}
    if fixed and {*sides} != {sides[0]}:
        raise ValueError(f"{node.name} is not square")
    return channels, max(fixed, default=0)


def _tried(model: ForeignModel) -> ForeignModel:
    """Return a network that gives RGB with the widest range in which a ramp keeps its lightness."""
    row = (1 - np.cos(np.linspace(0, np.pi, model.size, dtype=np.float32))) / 2  # flat at both ends
    ramp = row[None, None, None].repeat(model.size, axis=2)
    astray = {}
    for name, pixels in _RANGES.items():
        model = replace(model, pixels=pixels)
        given = lightness(model.shares(model.run(ramp)))
        astray[name] = float(np.abs(given - 100 * ramp).mean())
        if astray[name] < _MOST_ASTRAY:
            return model
    found = ", ".join(f"{difference:.0f} with {name}" for name, difference in astray.items())
    raise CheckpointError(
        f"needed RGB as light as what {model.name} reads, but its L is off by {found}; its metadata may say "
        "its range under Image.NominalPixelRange"
    )
