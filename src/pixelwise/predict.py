"""Photos of any size and kind, coloured: the network looks at a small picture, the photo keeps its luminance.

A network reads the photo at the size it was trained for. What it says there, the chances of every class, is
kept in a `Prediction`: temperature and saturation can be chosen anew without running the network. Chroma
is then enlarged and joined with the photo's own luminance, strip by strip.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from pixelwise.errors import ConfigError
from pixelwise.labelspace import Palette
from pixelwise.photos.ahead import Ahead
from pixelwise.photos.each import Batch, Done, Work, each_photo, require_limit
from pixelwise.photos.find import Failure, Found, Targets
from pixelwise.photos.formats import MAX_MEGAPIXELS
from pixelwise.photos.paint import LightnessDrift, Strip, paint
from pixelwise.photos.photo import Photo, open_photo
from pixelwise.photos.photo_write import WRITABLE, losses, output_suffix, write_map, write_photo
from pixelwise.photos.tone import has_own_colours
from pixelwise.photos.view import reading_size
from pixelwise.processor import ONE_THREAD
from pixelwise.runs import Model

_SMALL = 128 * 128  # pixels that a network reads in one thread
_MAP = ".confidence.png"  # how the name of a map ends
_BOUNDS = {"temperature": (0.01, 100.0), "saturation": (0.0, 10.0)}  # beyond, nothing more is to be seen


@dataclass(frozen=True, kw_only=True)
class ColouriseOptions:
    """How photos are coloured."""

    temperature: float = 1.0
    """Below 1 bolder, toward the likeliest colour; above 1 duller, toward the mean of all."""
    saturation: float = 1.0
    """Factor on chroma; 0 gives a grey picture."""
    confidence: bool = False
    """Whether to write a map of how sure the network is beside each photo."""
    max_megapixels: float = MAX_MEGAPIXELS
    """Larger photos are refused."""

    def __post_init__(self) -> None:
        for name, (low, high) in _BOUNDS.items():
            if not low <= getattr(self, name) <= high:  # NaN is not, either
                raise ConfigError(f"{name} needs to be from {low:g} to {high:g}, got {getattr(self, name):g}")
        require_limit(self.max_megapixels)


@dataclass(frozen=True)
class Prediction:
    """What a network says of one photo, rows and columns as the photo's file has them."""

    logits: Float[Tensor, "K h w"]
    palette: Palette
    in_colour: bool = False
    """Whether the photo had colours of its own, which no network sees."""

    def chroma(self, temperature: float = 1.0, saturation: float = 1.0) -> Float[Tensor, "2 h w"]:
        """Lab a and b at the network's size."""
        return self.palette.chroma(self.logits[None], temperature)[0] * saturation

    def confidence(self) -> Float[Tensor, "h w"]:
        """How sure the network is: 1 when one class has all the chances, 0 when all classes have the same.

        One minus the entropy of the chances over that of even chances.
        """
        if len(self.logits) == 1:
            return torch.ones_like(self.logits[0])
        logs = self.logits.log_softmax(0)
        return (1 + (logs.exp() * logs).sum(0) / math.log(len(logs))).clamp_(0, 1)


@dataclass(frozen=True, kw_only=True)
class Coloured(Done):
    """One photo that was coloured; `path` is the coloured copy."""

    lightness_difference: float
    """Mean absolute difference of L between the photo and its copy, before the format's own losses."""


@dataclass
class Colourised(Batch[Coloured]):
    """What came of a batch."""

    @property
    def lightness_difference(self) -> float:
        """Mean absolute difference of L over all pixels written."""
        return sum(one.lightness_difference * one.megapixels for one in self.written) / max(
            self.megapixels, 1e-9
        )


def predict(photo: Photo, model: Model) -> Prediction:
    """What the network says of a photo, seen upright and at the network's size.

    Raises:
        PhotoError: the file is damaged or cut short.
    """
    small = photo.thumbnail(*reading_size(photo.height, photo.width, model.size, model.net.stride))
    grey = model.palette.read_grey(photo.upright(small)[None])
    with ONE_THREAD if small[0].numel() <= _SMALL else nullcontext():
        logits = model.logits(grey)[0]
    return Prediction(photo.as_stored(logits), model.palette, has_own_colours(small))


def colourise_photo(photo: Photo, target: Path, chroma: Tensor, strips: Ahead[Strip] | None = None) -> float:
    """Write a coloured copy of a photo; gives the mean absolute difference of L between the two.

    `chroma` (2, h, w) is a `Prediction`'s, or any map of Lab a and b of the photo's shape. `strips` are the
    photo's own, where reading them has begun already.

    Raises:
        PhotoError: the photo is damaged or cut short.
        OutputError: the copy cannot be written.
    """
    drift = LightnessDrift()
    with ONE_THREAD, closing(photo.strips() if strips is None else strips) as read:
        painted = paint(read, chroma, (photo.height, photo.width), photo.alpha, drift)
        write_photo(target, painted, photo)
    return drift.mean


def colourise(
    inputs: list[str],
    out: Path,
    model: Model,
    options: ColouriseOptions = ColouriseOptions(),
    recursive: bool = False,
    tell: Callable[[Coloured | Failure], None] = lambda _done: None,
) -> Colourised:
    """Colour files, folders and patterns of files into the folder `out`; what fails is named, the rest done.

    A single photo may go to a file, in the format that its name asks for: `out` is one if it ends like a
    photo and is no folder. `tell` is called with each photo as soon as it is done or has failed.

    Raises:
        ConfigError: `out` is a file of a format that cannot be written.
        OutputError: `out` cannot be a folder or cannot be written to.
    """
    work = Work(
        name="colouring",
        do=lambda found, targets: _colourise_found(found, targets, model, options),
        writable=WRITABLE,
        outdated=() if options.confidence else (_MAP,),
    )
    result = Colourised()
    each_photo(inputs, out, work, result, recursive, tell)
    return result


def _colourise_found(found: Found, targets: Targets, model: Model, options: ColouriseOptions) -> Coloured:
    photo = open_photo(found.path, options.max_megapixels)
    suffix, note = (targets.out.suffix, "") if targets.single_file else output_suffix(photo)
    notes = [*photo.notes, *([note] if note else []), *losses(photo, suffix)]
    target = targets.claim(found, suffix)
    with closing(photo.strips()) as strips:  # read while the network looks at the photo
        prediction = predict(photo, model)
        if prediction.in_colour:
            notes.append(f"{found.path}: was in colour already; its own colours were replaced")
        if options.confidence:
            write_map(targets.claim(found, _MAP), prediction.confidence(), photo)
        chroma = prediction.chroma(options.temperature, options.saturation)
        difference = colourise_photo(photo, target, chroma, strips)
    return Coloured(
        paths=(target,), megapixels=photo.megapixels, lightness_difference=difference, notes=tuple(notes)
    )
