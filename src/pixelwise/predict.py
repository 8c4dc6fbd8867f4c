"""Photos of any size and kind, coloured: the network looks at a small picture, the photo keeps its luminance.

A network reads the photo at the size it was trained for. What it says there, the chances of every class, is
kept in a `Prediction`: temperature and saturation can be chosen anew without running the network. Chroma
is then enlarged and joined with the photo's own luminance, strip by strip.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from pixelwise.colour import lightness
from pixelwise.confidence.alarms import alarms
from pixelwise.confidence.likeliest import Likeliest, likeliest, require_top_k, write_likeliest
from pixelwise.confidence.next_hint import NextHint, suggest_hints
from pixelwise.errors import ConfigError
from pixelwise.labelspace import Palette
from pixelwise.photos.ahead import Ahead
from pixelwise.photos.each import Batch, Done, Work, each_photo, require_limit
from pixelwise.photos.find import Failure, Found, Targets
from pixelwise.photos.formats import MAX_MEGAPIXELS
from pixelwise.photos.paint import LightnessDrift, Strip, paint
from pixelwise.photos.photo import Photo, open_photo
from pixelwise.photos.photo_write import WRITABLE, losses, output_suffix, write_map, write_photo
from pixelwise.photos.provenance import Record, record_of, recorded
from pixelwise.photos.tone import has_own_colours
from pixelwise.photos.view import reading_size
from pixelwise.processor import ONE_THREAD
from pixelwise.runs import Model

_SMALL = 128 * 128  # pixels that a network reads in one thread
_MAP, _TOP = ".confidence.png", ".top.safetensors"  # how the names end of what lies beside a photo
_MOST_HINTS = 100
_NO_COLOURS = {"confidence", "top_k", "num_hints", "provenance", "max_megapixels"}  # options that decide none
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
    top_k: int = 0
    """How many of each pixel's likeliest colours to write beside each photo; 0 writes none."""
    num_hints: int = 0
    """How many points to name whose true colours would tell most."""
    provenance: bool = True
    """Whether copies carry a record that their colours are guessed, and by what."""
    max_megapixels: float = MAX_MEGAPIXELS
    """Larger photos are refused."""

    def __post_init__(self) -> None:
        for name, (low, high) in _BOUNDS.items():
            if not low <= getattr(self, name) <= high:  # NaN is not, either
                raise ConfigError(f"{name} needs to be from {low:g} to {high:g}, got {getattr(self, name):g}")
        if not 0 <= self.num_hints <= _MOST_HINTS:
            raise ConfigError(f"suggest-hints needs to be from 0 to {_MOST_HINTS}, got {self.num_hints}")
        require_limit(self.max_megapixels)

    def of_colours(self) -> dict[str, object]:
        """The options that decide colours, by name."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name not in _NO_COLOURS}


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

    def top(self, k: int) -> Likeliest:
        """The `k` likeliest classes of each pixel, with their chances.

        Raises:
            ConfigError: `k` is not 1 to the palette's number of classes.
        """
        return likeliest(self.logits, self.palette, k)


@dataclass(frozen=True, kw_only=True)
class Coloured(Done):
    """One photo that was coloured; `path` is the coloured copy."""

    lightness_difference: float
    """Mean absolute difference of L between the photo and its copy, before the format's own losses."""
    hints: tuple[NextHint, ...] = ()
    """Points whose true colours would tell most, where they were asked for."""
    warnings: tuple[str, ...] = ()
    """Those of the notes that give reason to doubt the colours."""


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


def hints_for(photo: Photo, prediction: Prediction, num: int) -> list[NextHint]:
    """The `num` points of a photo whose true colours would tell most, the best first.

    Raises:
        PhotoError: the file is damaged or cut short.
    """
    small = photo.thumbnail(*prediction.logits.shape[1:])
    light = photo.upright(lightness(small.float() / 255))[0]
    return suggest_hints(photo.upright(prediction.logits), light, prediction.palette, photo.upright_size, num)


def colourise_photo(
    photo: Photo, target: Path, chroma: Tensor, strips: Ahead[Strip] | None = None
) -> LightnessDrift:
    """Write a coloured copy of a photo; gives how far L moved between the two.

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
    return drift


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
    if options.top_k:
        require_top_k(options.top_k, model.palette)
    work = Work(
        name="colouring",
        do=lambda found, targets: _colourise_found(found, targets, model, options),
        writable=WRITABLE,
        outdated=(*([] if options.confidence else [_MAP]), *([] if options.top_k else [_TOP])),
    )
    result = Colourised()
    each_photo(inputs, out, work, result, recursive, tell)
    num_warned = sum(bool(one.warnings) for one in result.written)
    if num_warned and len(result.written) > 1:
        result.remarks.append(
            f"{num_warned} of {len(result.written)} photos came with a warning: look at these first"
        )
    return result


def _colourise_found(found: Found, targets: Targets, model: Model, options: ColouriseOptions) -> Coloured:
    photo = open_photo(found.path, options.max_megapixels)
    suffix, note = (targets.out.suffix, "") if targets.single_file else output_suffix(photo)
    notes = [*photo.notes, *([note] if note else []), *losses(photo, suffix)]
    target = targets.claim(found, suffix)
    with closing(photo.strips()) as strips:  # read while the network looks at the photo
        prediction = predict(photo, model)
        if options.confidence:
            write_map(targets.claim(found, _MAP), prediction.confidence(), photo)
        if options.top_k:
            upright = likeliest(photo.upright(prediction.logits), model.palette, options.top_k)
            write_likeliest(targets.claim(found, _TOP), upright)
        chroma = prediction.chroma(options.temperature)
        copy, remark = _with_record(photo, model, options, suffix)
        drift = colourise_photo(copy, target, chroma * options.saturation, strips)
    if prediction.in_colour and record_of(photo) is None:
        notes.append(f"{photo.path}: was in colour already; its own colours were replaced")
    warnings = _warnings(photo, prediction, chroma, drift)
    return Coloured(
        paths=(target,),
        megapixels=photo.megapixels,
        lightness_difference=drift.mean,
        notes=(*notes, *([remark] if remark else []), *warnings),
        hints=tuple(hints_for(photo, prediction, options.num_hints)) if options.num_hints else (),
        warnings=warnings,
    )


def _with_record(photo: Photo, model: Model, options: ColouriseOptions, suffix: str) -> tuple[Photo, str]:
    """The photo with what its copy is to say of its colours, and a remark where it cannot."""
    if not options.provenance:
        return photo, ""
    record = Record(model=model.name, model_sha256=model.checksum, settings=options.of_colours())
    return recorded(photo, record, suffix)


def _warnings(photo: Photo, prediction: Prediction, chroma: Tensor, drift: LightnessDrift) -> tuple[str, ...]:
    """Reasons to doubt the colours of a photo; `chroma` is the result's at full saturation."""
    told = []
    if earlier := record_of(photo):
        told.append(f"was colourised already, by {earlier.software} with {earlier.model}")
    told += alarms(prediction.logits, chroma, prediction.palette, drift.tones, min(photo.width, photo.height))
    return tuple(f"{photo.path}: warning: {one}" for one in told)
