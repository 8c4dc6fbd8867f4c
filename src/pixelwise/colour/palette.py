"""Palettes: K colours as the classes of a pixel, found by the nearest colour and turned into chroma again."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy import ndarray

from pixelwise.colour.arrays import Float, Float32, Float64, Int, Int64, Integer, UInt8
from pixelwise.colour.spaces import lightness, srgb_to_lab
from pixelwise.errors import LabelError, ShapeError, shortened

IGNORE = 255  # the label of a pixel that has no class: left out of losses and scores

Space = Literal["rgb", "ab"]

_NUM_COLOURS = 2**24  # of 8 bits in three channels
_COMPARED_AT_ONCE = 2**13  # colours with one class after another: they stay in the processor's cache
_GREY_AT_ONCE = 2**20  # pixels, to spare memory
_NUM_SAMPLED = 100_000  # pixels that k-means sees: more move the centres by less than a code
_SETTLED, _MOST_ROUNDS = 1e-4, 300  # of the variance, in a round; rounds of k-means

_NUM_AXES = {"rgb": 3, "ab": 2}
_UNIT = {"rgb": "sRGB, 0 to 1", "ab": "CIE Lab a and b, D65"}
_RANGE = {"rgb": (0.0, 1.0), "ab": (-128.0, 128.0)}
_SCALE = {"rgb": 255.0, "ab": 1.0}  # to what pixels are compared in: codes, or Lab units


@dataclass(frozen=True, eq=False)
class Palette:
    """K classes that are colours, 1 to 255; a pixel's class is the nearest of them.

    In the space `rgb` a colour is sRGB in [0, 1]; in `ab` it is Lab's a and b (D65), and luminance is left to
    the grey picture. LabelError where rows of colours are not that.
    """

    colours: Float64[ndarray, "K D"]
    space: Space
    name: str = "unnamed"

    def __post_init__(self) -> None:
        if self.space not in _UNIT:
            raise LabelError(f"needed a palette in rgb or ab, got space {self.space!r}")
        shape, (low, high) = tuple(self.colours.shape), _RANGE[self.space]
        if len(shape) != 2 or not 1 <= shape[0] <= IGNORE or shape[1] != _NUM_AXES[self.space]:
            needed = f"1 to {IGNORE} colours of {_NUM_AXES[self.space]} numbers"
            raise LabelError(f"needed {needed} for a palette in {self.space}, got shape {shape}")
        if not ((self.colours >= low) & (self.colours <= high)).all():
            needed = f"colours from {low:g} to {high:g} ({_UNIT[self.space]})"
            raise LabelError(f"needed {needed} in palette {self.name}")

    @property
    def num_classes(self) -> int:
        """K, the number of colours."""
        return len(self.colours)

    @property
    def class_chroma(self) -> Float32[ndarray, "K 2"]:
        """Lab a and b of each class."""
        colours = self.colours.astype(np.float32)
        return colours if self.space == "ab" else srgb_to_lab(colours.T[:, None])[1:, 0].T

    def encode(self, images: UInt8[ndarray, "*batch 3 H W"]) -> UInt8[ndarray, "*batch H W"]:
        """Return the class of each pixel: the nearest colour, compared in float64; the lowest on a tie."""
        if images.ndim < 3 or images.shape[-3] != 3:
            raise ShapeError(f"needed images of 3 channels (..., 3, H, W), got {images.shape}")
        numbers = _colour_numbers(images)
        occurs = np.zeros(_NUM_COLOURS, bool)
        occurs[numbers] = True
        colours = np.flatnonzero(occurs)
        classes = np.zeros(_NUM_COLOURS, np.uint8)
        classes[colours] = _nearest(colours, self.colours * _SCALE[self.space], self.space)
        return classes.take(numbers).reshape(*images.shape[:-3], *images.shape[-2:])

    def soft_probs(self, chroma: Float[ndarray, "2 H W"], sigma: float = 5.0) -> Float[ndarray, "K H W"]:
        """Return probabilities of all classes for pixels of known Lab a and b: the higher, the nearer.

        They are exp(-d^2 / 2 sigma^2) of the distances d, scaled to sum 1. Source: Zhang et al.,
        arXiv:1603.08511, section 2.2.
        """
        differences = chroma[:, None] - self.class_chroma.T[..., None, None]
        return softmax(np.square(differences).sum(0) / np.float32(-2 * sigma**2))

    def decode(self, labels: Integer[ndarray, "*batch H W"]) -> Float32[ndarray, "*batch D H W"]:
        """Paint each pixel with its class's colour: sRGB in [0, 1], or a and b; IGNORE with zeros.

        LabelError where a label is neither 0..K-1 nor IGNORE.
        """
        ignored = labels == IGNORE
        wrong = ~ignored & ((labels < 0) | (labels >= self.num_classes))
        if wrong.any():
            needed = f"labels 0 to {self.num_classes - 1} or {IGNORE}"
            raise LabelError(f"needed {needed} for palette {self.name}, got {labels[wrong][0]}")
        colours = np.concatenate((self.colours, np.zeros_like(self.colours[:1]))).astype(np.float32)
        return np.moveaxis(colours[np.where(ignored, self.num_classes, labels)], -1, -3)

    def chroma(self, logits: Float[ndarray, "N K H W"], temperature: float) -> Float32[ndarray, "N 2 H W"]:
        """Return Lab's a and b that the logits predict: the mean colour, by softmax(logits / temperature).

        Towards 0 the likeliest class wins alone, in blotches; at 1 and above colours go dull. A palette in
        `rgb` has its mean taken in sRGB. LabelError unless the temperature is above 0.
        Source: Zhang, Isola, Efros, arXiv:1603.08511, equation 5.
        """
        if not (temperature > 0 and math.isfinite(temperature)):
            raise LabelError(f"needed a temperature above 0, got {temperature}")
        probs = softmax(logits.astype(np.float32) / np.float32(temperature), axis=1)
        mean = np.einsum("nkhw,kd->ndhw", probs, self.colours.astype(np.float32), optimize=True)
        return mean if self.space == "ab" else srgb_to_lab(mean)[:, 1:]

    def read_grey(self, images: UInt8[ndarray, "N 3 H W"]) -> Float32[ndarray, "N 1 H W"]:
        """Return what networks read: in `rgb` the codes' mean / 256, as in the handout; in `ab` L / 100."""
        if self.space == "rgb":
            return images.mean(1, dtype=np.float32, keepdims=True) / np.float32(256)
        grey = np.empty_like(images[:, :1], np.float32)
        step = max(1, _GREY_AT_ONCE // max(1, images[0, 0].size)) if len(images) else 1
        for start in range(0, len(images), step):
            codes = images[start : start + step]
            grey[start : start + step] = lightness(codes / np.float32(255)) / 100
        return grey

    @staticmethod
    def learn(images: UInt8[ndarray, "N 3 H W"], num_colours: int, space: Space, seed: int = 0) -> Palette:
        """Return a palette that suits these images, found by k-means; the commonest colour is first.

        LabelError where the number is not 1 to 255, or the images have too few different colours.
        """
        if not 1 <= num_colours <= IGNORE:
            raise LabelError(f"needed 1 to {IGNORE} colours, got {num_colours}")
        counts = np.bincount(_colour_numbers(images), minlength=_NUM_COLOURS)
        numbers = np.flatnonzero(counts)
        counts, points, num = counts[numbers], _points(numbers, space), len(numbers)
        if num >= num_colours:
            low, high = (limit * _SCALE[space] for limit in _RANGE[space])
            centres = _k_means(points, counts, num_colours, seed).clip(low, high)  # rounding may go beyond
            sizes = np.bincount(_nearest(numbers, centres, space), weights=counts, minlength=num_colours)
            num = int(np.count_nonzero(sizes))
        if num < num_colours:
            raise LabelError(
                f"needed {num_colours} different colours in {space}, got {num} in these images; "
                "ask for fewer colours or give more images"
            )
        order = np.argsort(-sizes, kind="stable")
        return Palette(centres[order] / _SCALE[space], space, "learned")

    @staticmethod
    def read(name_or_path: str | Path) -> Palette:
        """Return a shipped palette by its name, or read one from a file; LabelError where there is none."""
        shipped = resources.files("pixelwise.colour") / "palettes"
        names = sorted(entry.name.removesuffix(".json") for entry in shipped.iterdir())
        file = shipped / f"{name_or_path}.json" if str(name_or_path) in names else Path(name_or_path)
        try:
            return Palette.from_dict(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, RecursionError) as error:
            needed = f"the name of a palette ({', '.join(names)}) or a palette file"
            raise LabelError(f"needed {needed}, got {name_or_path} ({error})") from error

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON, such as palette files hold; `from_dict` reads them back."""
        colours = self.colours.tolist()
        return {"name": self.name, "space": self.space, "unit": _UNIT[self.space], "colours": colours}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Palette:
        """Make a palette of the values that `to_dict` gave; raise a LabelError of others."""
        try:
            rows = np.array(values["colours"])
            if rows.dtype.kind not in "iuf":
                raise TypeError(f"colours of {rows.dtype}")
            colours = rows.astype(np.float64)
            space, name = str(values["space"]), str(values.get("name", "unnamed"))
        except (TypeError, KeyError, ValueError, OverflowError, RuntimeError, AttributeError) as error:
            got = f"{shortened(values)} ({error!r})"
            raise LabelError(f"needed a palette's space and rows of colours, got {got}") from error
        return Palette(colours, cast(Space, space), name)


def _colour_numbers(images: UInt8[ndarray, "*batch 3 H W"]) -> Int[ndarray, " pixels"]:
    red, green, blue = np.moveaxis(images, -3, 0)
    return ((red.astype(np.int32) * 256 + green) * 256 + blue).ravel()  # r * 65536 + g * 256 + b


def _points(numbers: Int64[ndarray, " n"], space: Space) -> Float64[ndarray, "D n"]:
    """Return the coordinates of colours in a space: their codes in `rgb`, Lab's a and b in `ab`."""
    codes = np.stack((numbers >> 16, numbers >> 8 & 255, numbers & 255)).astype(np.float64)
    return codes if space == "rgb" else srgb_to_lab(codes[:, None] / 255)[1:, 0]


def _nearest(
    numbers: Int64[ndarray, " n"], centres: Float64[ndarray, "K D"], space: Space
) -> UInt8[ndarray, " n"]:
    """Return the index of the nearest centre of each colour, the lowest of equals."""
    classes = np.zeros(len(numbers), np.uint8)
    for start in range(0, len(numbers), _COMPARED_AT_ONCE):
        part = slice(start, start + _COMPARED_AT_ONCE)
        points = _points(numbers[part], space)
        least = np.full(points.shape[1], np.inf)
        for index, centre in enumerate(centres):
            squares = np.square(points - centre[:, None]).sum(axis=0)
            np.copyto(classes[part], index, where=squares < least)
            np.minimum(least, squares, out=least)
    return classes


def softmax(logits: Float[ndarray, "*shape"], axis: int = 0) -> Float[ndarray, "*shape"]:
    """Return probabilities over the classes along an axis."""
    probs = np.exp(logits - logits.max(axis, keepdims=True))
    probs /= probs.sum(axis, keepdims=True)
    return probs


def _k_means(
    points: Float64[ndarray, "D n"], counts: Int64[ndarray, " n"], num_centres: int, seed: int
) -> Float64[ndarray, "K D"]:
    """Return the means of clusters of points, as scikit-learn finds them, weighted by their counts."""
    rng, weights = np.random.default_rng(seed), counts / counts.sum()
    if len(counts) > _NUM_SAMPLED:
        drawn = rng.choice(len(counts), _NUM_SAMPLED, p=weights)
        points, weights = points[:, drawn], np.full(_NUM_SAMPLED, 1 / _NUM_SAMPLED)
    middle = points.mean(axis=1, keepdims=True)
    points = points - middle  # products of small numbers are more exact
    centres = _spread_out(points, weights, num_centres, np.random.RandomState(rng.integers(2**32)))
    enough = _SETTLED * points.var(axis=1).mean()
    for _ in range(_MOST_ROUNDS):
        before, centres = centres, _means(points, weights, centres)
        if np.square(centres - before).sum() <= enough:
            break
    return centres + middle.T


def _spread_out(
    points: Float64[ndarray, "D n"], weights: Float64[ndarray, " n"], num: int, rng: np.random.RandomState
) -> Float64[ndarray, "K D"]:
    """Return points drawn the likelier, the larger their square distance from those drawn before.

    Each time the one of several candidates is taken that leaves the smallest sum of squares. Source: Arthur,
    Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007, and its conclusion.
    """
    chosen = [rng.choice(len(weights), p=weights)]
    squares = np.square(points - points[:, chosen]).sum(axis=0)
    while len(chosen) < num:
        cumulated = np.cumsum(weights * squares)
        candidates = np.searchsorted(cumulated, rng.uniform(size=2 + int(math.log(num))) * cumulated[-1])
        left = np.minimum(np.square(points - points[:, candidates].T[..., None]).sum(axis=1), squares)
        best = (left @ weights).argmin()
        chosen, squares = [*chosen, candidates[best]], left[best]
    return points[:, chosen].T


def _means(
    points: Float64[ndarray, "D n"], weights: Float64[ndarray, " n"], centres: Float64[ndarray, "K D"]
) -> Float64[ndarray, "K D"]:
    """Return the mean of the points that each centre is nearest to, or itself where there are none."""
    with_ones = np.vstack((points, np.ones_like(weights)))
    # Times this they are squares of the distances, but for the points' own.
    factors = np.column_stack((-2 * centres, np.square(centres).sum(axis=1))).T
    labels = np.empty(len(weights), np.intp)
    for start in range(0, len(labels), _COMPARED_AT_ONCE):
        part = slice(start, start + _COMPARED_AT_ONCE)
        labels[part] = (with_ones[:, part].T @ factors).argmin(axis=1)
    *sums, sizes = (np.bincount(labels, weights * row, len(centres)) for row in with_ones)
    return np.divide(np.transpose(sums), sizes[:, None], out=centres.copy(), where=sizes[:, None] > 0)
