"""Label spaces: what the K classes of a pixel mean.

A `LabelSpace` makes class numbers of pictures, and that is all that networks, losses, scores and the training
loop know of it. A `Palette` is one whose classes are colours, and can make colours of class numbers again.
"""

from __future__ import annotations

import functools
import json
import math
import warnings
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64, Integer, UInt8
from numpy import ndarray
from torch import Tensor

from pixelwise.colour import lightness, mean_grey, recolour, srgb_to_lab
from pixelwise.errors import LabelError, ShapeError
from pixelwise.files import write_text
from pixelwise.nearest import NUM_COLOURS, Space, codes_of, colour_index, coordinates, look_up, nearest_table

IGNORE = 255
"""The label of a pixel that has no class: left out of losses and scores."""

_AXES: dict[Space, int] = {"rgb": 3, "ab": 2}
_UNITS: dict[Space, str] = {"rgb": "sRGB, 0 to 1", "ab": "CIE Lab a and b, D65"}
_LIMITS: dict[Space, tuple[float, float]] = {"rgb": (0.0, 1.0), "ab": (-128.0, 128.0)}
_SWATCH_LUMINANCE = ((65 + 16) / 116) ** 3  # of L = 65. Source: CIE 15:2004, 8.2.1.1
_PIXELS = 2**20  # made grey at once, to spare memory
_SCALES: dict[Space, float] = {"rgb": 255.0, "ab": 1.0}  # from a palette's units to those of `nearest`
_NUM_SAMPLED = 100_000  # pixels that k-means sees: more move the centres by less than a code


@runtime_checkable
class LabelSpace(Protocol):
    """What training needs to know of K classes: how many, which one each pixel has, what a network reads."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def num_classes(self) -> int:
        """K."""

    def encode(self, images: UInt8[Tensor, "*batch 3 H W"]) -> UInt8[Tensor, "*batch H W"]:
        """Class of each pixel, or IGNORE."""

    def read_grey(self, images: UInt8[Tensor, "N 3 H W"]) -> Float32[Tensor, "N 1 H W"]:
        """What networks read, from 0 to 1."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values that say what the classes mean, for JSON."""


@dataclass(frozen=True)
class SoftLabels:
    """Pixels that belong to several classes, to each with its share."""

    classes: Int64[Tensor, "N n H W"]
    """The nearest first."""
    shares: Float32[Tensor, "N n H W"]
    """They add up to 1 over the classes of a pixel."""


@dataclass(frozen=True, eq=False)
class Palette:
    """K classes that are colours; a pixel's class is the nearest of them.

    In the space `rgb` a colour is sRGB in [0, 1]; in `ab` it is Lab's a and b (D65), and luminance is left to
    the grey picture.

    Raises:
        LabelError: the colours are not 1 to 255 finite rows of the space, within its range.
    """

    colours: Float64[Tensor, "K D"]
    space: Space
    name: str = "unnamed"

    def __post_init__(self) -> None:
        if self.space not in _AXES:
            raise LabelError(f"needed a palette in rgb or ab, got space {self.space!r}")
        shape = tuple(self.colours.shape)
        if len(shape) != 2 or not 1 <= shape[0] <= IGNORE or shape[1] != _AXES[self.space]:
            needed = f"1 to {IGNORE} colours of {_AXES[self.space]} numbers"
            raise LabelError(f"needed {needed} for a palette in {self.space}, got shape {shape}")
        low, high = _LIMITS[self.space]
        if not bool(((self.colours >= low) & (self.colours <= high)).all()):
            raise LabelError(
                f"needed colours from {low:g} to {high:g} ({_UNITS[self.space]}) in palette {self.name}"
            )

    @property
    def num_classes(self) -> int:
        """K, the number of colours."""
        return len(self.colours)

    @property
    def class_chroma(self) -> Float32[Tensor, "K 2"]:
        """Lab a and b of each class."""
        colours = self.colours.float()
        return colours if self.space == "ab" else srgb_to_lab(colours.T[:, None])[1:, 0].T

    def encode(self, images: UInt8[Tensor, "*batch 3 H W"]) -> UInt8[Tensor, "*batch H W"]:
        """Class of each pixel: the nearest colour, exactly; the lowest class on a tie.

        Images are sRGB codes 0 to 255. The table behind it is made on first use, in under a second, and kept
        for palettes of the same colours; `pixelwise.nearest` says what it equals and how.
        """
        *batch, channels, height, width = images.shape
        if channels != 3:
            raise ShapeError(f"needed images of 3 channels (..., 3, H, W), got {tuple(images.shape)}")
        labels = look_up(self._table(), images.cpu().numpy().reshape(math.prod(batch), 3, height, width))
        return torch.from_numpy(labels).reshape(*batch, height, width).to(images.device)

    def soft_labels(
        self, colours: Float[Tensor, "N D H W"], num_near: int = 5, sigma: float = 5.0
    ) -> SoftLabels:
        """The nearest colours of each pixel and its shares in them: exp(-d^2 / 2 sigma^2), scaled to sum 1.

        Pixels and `sigma` are in the palette's units; a palette of fewer colours gives those it has.
        Source: R. Zhang, P. Isola, A. Efros, arXiv:1603.08511, section 2.2.
        """
        points = colours.movedim(1, -1)
        own = self.colours.to(points)
        squares = (points.square().sum(-1, keepdim=True) - 2 * points @ own.T + own.square().sum(1)).clamp(0)
        nearest = squares.topk(min(num_near, self.num_classes), largest=False)
        shares = _shares(nearest.values, sigma)
        return SoftLabels(nearest.indices.movedim(-1, 1), shares.movedim(-1, 1).float())

    def soft_probs(self, chroma: Float[Tensor, "2 H W"], sigma: float = 5.0) -> Float[Tensor, "K H W"]:
        """Probabilities of all classes that stand for these Lab a and b, whatever the palette's space.

        The nearer a class is in a and b, the more; `sigma` is in their units. Source: as of `soft_labels`.
        """
        points = chroma.movedim(0, -1)
        squares = torch.cdist(points, self.class_chroma.expand(len(points), -1, -1)).square()
        return _shares(squares, sigma).movedim(-1, 0)

    def decode(self, labels: Integer[Tensor, "*batch H W"]) -> Float32[Tensor, "*batch D H W"]:
        """Each pixel's class as its colour: sRGB in [0, 1], or a and b; IGNORE is black, or no chroma.

        Raises:
            LabelError: a label is neither 0..K-1 nor IGNORE.
        """
        classes = labels.long()
        ignored = classes == IGNORE
        wrong = (classes < 0) | (classes >= self.num_classes) & ~ignored
        if bool(wrong.any()):
            needed = f"labels 0 to {self.num_classes - 1} or {IGNORE}"
            raise LabelError(f"needed {needed} for palette {self.name}, got {int(classes[wrong][0])}")
        colours = torch.cat((self.colours, torch.zeros_like(self.colours[:1]))).float().to(labels.device)
        return colours[classes.masked_fill(ignored, self.num_classes)].movedim(-1, -3)

    def chroma(self, logits: Float[Tensor, "N K H W"], temperature: float) -> Float32[Tensor, "N 2 H W"]:
        """Lab's a and b that the logits predict: the annealed mean.

        The logits are divided by the temperature, softmax gives each class its share, and the shares weigh
        the colours. Towards 0 the likeliest class wins alone, in blotches; at 1 and above colours go dull. A
        palette in `rgb` has its mean colour taken in sRGB, and that colour's a and b are given.

        Raises:
            LabelError: the temperature is not above 0.

        Source: Zhang, Isola, Efros 2016, arXiv:1603.08511, equation 5.
        """
        if not (temperature > 0 and math.isfinite(temperature)):
            raise LabelError(f"needed a temperature above 0, got {temperature}")
        shares = (logits.float() / temperature).softmax(dim=1)
        mean = torch.einsum("nkhw,kd->ndhw", shares, self.colours.to(shares))
        return mean if self.space == "ab" else srgb_to_lab(mean)[:, 1:]

    def read_grey(self, images: UInt8[Tensor, "N 3 H W"]) -> Float32[Tensor, "N 1 H W"]:
        """What networks read, from 0 to 1: what is left of a picture when this label space is taken away.

        `rgb`: the plain mean of the codes, over 256, as in the handout. `ab`: CIE L over 100.
        """
        num, _, height, width = images.shape
        grey = torch.empty((num, 1, height, width), device=images.device)
        step = max(1, _PIXELS // max(1, height * width))
        for part, codes in zip(torch.split(grey, step), torch.split(images, step), strict=True):
            values = codes.float()
            part.copy_(mean_grey(values) / 256 if self.space == "rgb" else lightness(values / 255) / 100)
        return grey

    def swatches(self, side: int = 32, num_columns: int = 8) -> UInt8[Tensor, "3 H W"]:
        """A picture of the palette: one square for each class, row by row, on white; `ab` at lightness 65."""
        num_rows = -(-self.num_classes // num_columns)
        squares = torch.ones(3, num_rows * num_columns, dtype=torch.float64)
        colours = self.colours.T
        if self.space == "ab":
            colours = recolour(torch.full_like(colours[0], _SWATCH_LUMINANCE), *colours)
        squares[:, : self.num_classes] = colours
        rows = squares.view(3, num_rows, num_columns)
        return (rows * 255).round().byte().repeat_interleave(side, dim=1).repeat_interleave(side, dim=2)

    def _table(self) -> UInt8[ndarray, " colours"]:
        return _table(self.space, tuple(self.colours.flatten().tolist()))

    @staticmethod
    def learn(
        images: UInt8[Tensor, "N 3 H W"], num_colours: int, space: Space, seed: int = 0, name: str = "learned"
    ) -> tuple[Palette, float]:
        """A palette that suits these images, by k-means, and its distortion; the commonest colour is first.

        The distortion is the mean distance from a pixel to its colour, over all pixels: in sRGB from 0 to 1
        for `rgb`, in Lab units for `ab`.

        Raises:
            LabelError: the number is not 1 to 255, or the images have too few colours that can be told apart.
        """
        if not 1 <= num_colours <= IGNORE:
            raise LabelError(f"needed 1 to {IGNORE} colours, got {num_colours}")
        index, counts = _histogram(images)
        points = coordinates(codes_of(index), space)
        # colours closer than a code, or a unit of Lab, look the same
        distinct = np.unique(np.round(points), axis=1).shape[1]
        if distinct < num_colours:
            raise _too_few(num_colours, distinct, space)
        low, high = (limit * _SCALES[space] for limit in _LIMITS[space])
        centres = _k_means(points, counts, num_colours, seed).clip(low, high)  # means round beyond the ends
        labels = nearest_table(centres, space)[index]
        sizes = np.bincount(labels, weights=counts, minlength=num_colours)
        if not sizes.all():
            raise _too_few(num_colours, int(np.count_nonzero(sizes)), space)
        distances = np.linalg.norm(points - centres[labels].T, axis=0) / _SCALES[space]
        colours = torch.from_numpy(centres[np.argsort(-sizes, kind="stable")] / _SCALES[space])
        return Palette(colours, space, name), float(np.average(distances, weights=counts))

    @staticmethod
    def read(name_or_path: str | Path) -> Palette:
        """A palette that ships with the package, by its name, or one from a file that `write` made.

        Raises:
            LabelError: there is no such palette, or the file holds none.
        """
        shipped = resources.files("pixelwise") / "palettes"
        names = sorted(entry.name.removesuffix(".json") for entry in shipped.iterdir())
        file = shipped / f"{name_or_path}.json" if str(name_or_path) in names else Path(name_or_path)
        try:
            return Palette.from_dict(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, RecursionError) as error:
            needed = f"the name of a palette ({', '.join(names)}) or a palette file"
            raise LabelError(f"needed {needed}, got {name_or_path} ({error})") from error

    def write(self, path: Path) -> None:
        """Write the palette as JSON, colours in full precision.

        Raises:
            OutputError: the file cannot be written.
        """
        write_text(path, json.dumps(self.to_dict(), indent=1) + "\n")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; `from_dict` reads them back."""
        colours = self.colours.tolist()
        return {"name": self.name, "space": self.space, "unit": _UNITS[self.space], "colours": colours}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Palette:
        """The palette that `to_dict` gave the values of.

        Raises:
            LabelError: the values are no palette.
        """
        try:
            colours = torch.tensor(values["colours"], dtype=torch.float64)
            space, name = str(values["space"]), str(values.get("name", "unnamed"))
        except (TypeError, KeyError, ValueError, OverflowError, RuntimeError, AttributeError) as error:
            raise LabelError(
                f"needed a palette's space and rows of colours, got {_short(values)} ({error!r})"
            ) from error
        return Palette(colours, cast(Space, space), name)


@functools.lru_cache(maxsize=4)  # of 16 MiB each
def _table(space: Space, colours: tuple[float, ...]) -> UInt8[ndarray, " colours"]:
    """The table of a palette's colours, which all palettes of the same colours share."""
    return nearest_table(np.array(colours).reshape(-1, _AXES[space]) * _SCALES[space], space)


def _shares(squares: Float[Tensor, "*pixels n"], sigma: float) -> Float[Tensor, "*pixels n"]:
    """What colours at these squared distances count for a pixel: exp(-d^2 / 2 sigma^2), scaled to sum 1."""
    return (-squares / (2 * sigma**2)).softmax(-1)


def _histogram(images: UInt8[Tensor, "N 3 H W"]) -> tuple[Int64[ndarray, " n"], Int64[ndarray, " n"]]:
    """Which colours occur in the images, as positions in a table, and how many pixels have each."""
    counts = np.zeros(NUM_COLOURS, dtype=np.int64)
    _, _, height, width = images.shape
    for part in torch.split(images.cpu(), max(1, NUM_COLOURS // max(1, height * width))):
        counts += np.bincount(colour_index(part.numpy().swapaxes(0, 1)).ravel(), minlength=NUM_COLOURS)
    index = np.flatnonzero(counts)
    return index, counts[index]


def _k_means(
    points: Float64[ndarray, "D n"], counts: Int64[ndarray, " n"], num_centres: int, seed: int
) -> Float64[ndarray, "K D"]:
    """Centres of K clusters of the points, each counted as often as it occurs."""
    # half a second to import, and only learning needs it
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    rng = np.random.default_rng(seed)
    weights = counts / counts.sum()
    if len(counts) > _NUM_SAMPLED:
        drawn = rng.choice(len(counts), _NUM_SAMPLED, p=weights)
        points, weights = points[:, drawn], np.ones(_NUM_SAMPLED)
    k_means = KMeans(num_centres, n_init=1, random_state=int(rng.integers(2**32)))
    with warnings.catch_warnings():
        # of clusters that coincide, of which `learn` makes an error
        warnings.simplefilter("ignore", ConvergenceWarning)
        centres: ndarray = k_means.fit(points.T, sample_weight=weights).cluster_centers_
    return centres


def _too_few(needed: int, got: int, space: Space) -> LabelError:
    return LabelError(
        f"needed {needed} colours that can be told apart in {space}, got {got} in these images; "
        "ask for fewer colours or give more images"
    )


def _short(values: object) -> str:
    text = repr(values)
    return text if len(text) <= 60 else text[:57] + "..."
