"""Photos of any size and kind, coloured: the network looks at a small picture, the photo keeps its luminance.

A network reads the photo at the size it was trained for. What it says there, the chances of every class, is
kept in a `Prediction`: temperature and saturation can be chosen anew without running the network. Chroma
is then enlarged and joined with the photo's own luminance, strip by strip.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from pixelwise.colour import lightness
from pixelwise.control.alternatives import alternatives
from pixelwise.control.hints import Hint, tell_hints
from pixelwise.control.keep_grey import Area, grey_areas, likely_grey
from pixelwise.control.options import Control
from pixelwise.control.reference import Reference, follow
from pixelwise.control.told import Told
from pixelwise.errors import ConfigError
from pixelwise.labelspace import Palette
from pixelwise.photos.ahead import Ahead
from pixelwise.photos.each import Batch, Done, Work, each_photo, require_limit
from pixelwise.photos.find import Failure, Found, Targets, is_folder
from pixelwise.photos.formats import MAX_MEGAPIXELS
from pixelwise.photos.paint import LightnessDrift, Strip, paint
from pixelwise.photos.photo import Photo, open_photo, shrunk_size
from pixelwise.photos.photo_write import WRITABLE, losses, output_suffix, write_map, write_photo
from pixelwise.photos.tone import has_own_colours
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
    control: Control = field(default_factory=Control)
    """What is said about the colours beforehand."""
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

    told: Told | None = None
    """Chroma that is known, and not to be guessed."""

    def chroma(self, temperature: float = 1.0, saturation: float = 1.0) -> Float[Tensor, "2 H W"]:
        """Lab a and b at the network's size, or at that of what was told if it is larger.

        Temperature and saturation change what is guessed, and leave alone what was told.
        """
        guessed = self.palette.chroma(self.logits[None], temperature)[0] * saturation
        return guessed if self.told is None else self.told.over_guess(guessed)

    def chances(self) -> Float[Tensor, "K h w"]:
        """Chances of the classes at the network's size; where chroma was told, of those nearest to it."""
        chances = self.logits.float().softmax(0)
        return chances if self.told is None else self.told.over_chances(chances, self.palette)

    def confidence(self) -> Float[Tensor, "h w"]:
        """How sure the colours are: 1 when one class has all the chances, 0 when all classes have the same.

        One minus the entropy of the chances over that of even chances.
        """
        if len(self.logits) == 1:
            return torch.ones_like(self.logits[0])
        return (1 - torch.special.entr(self.chances()).sum(0) / math.log(len(self.logits))).clamp_(0, 1)

    def with_hints(self, photo: Photo, hints: Sequence[Hint]) -> Prediction:
        """As if the colours of some pixels were known; they spread to what is alike and connected.

        Raises:
            ConfigError: two hints are of one pixel.
            PhotoError: a hint lies outside the photo; the file is damaged or cut short.
        """
        return replace(self, told=tell_hints(photo, hints).over(self.told)) if hints else self

    def with_grey(self, photo: Photo, areas: Sequence[Area], hints: Sequence[Hint] = ()) -> Prediction:
        """As if parts of the photo were known to be grey, or of the colour of those hints that lie in them.

        Raises:
            PhotoError: the file is damaged or cut short.
        """
        if not areas:
            return self
        known = grey_areas(photo, areas, hints).over(self.told)
        likely = likely_grey(self.logits, self.palette) if "likely" in areas else None
        return replace(self, told=known if likely is None else known.over(likely))

    def following(self, photo: Photo, reference: Reference, strength: float = 1.0) -> Prediction:
        """With the reference's colours, as often as there, where the network finds them likeliest.

        Raises:
            PhotoError: the file is damaged or cut short.
        """
        small = photo.thumbnail(*self.logits.shape[1:])
        light = lightness(small.float() / 255)[0]
        return replace(self, logits=follow(self.logits, light, reference, strength))

    def alternatives(self, num: int) -> list[Prediction]:
        """The prediction and others, each as coherent, that differ from it and each other; `num` in all."""
        return [replace(self, logits=one) for one in alternatives(self.logits, self.palette, num)]


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
    small = photo.thumbnail(*shrunk_size(photo.height, photo.width, model.size))
    grey = model.palette.read_grey(photo.upright(small)[None])
    with ONE_THREAD if small[0].numel() <= _SMALL else nullcontext():
        logits = model.logits(grey)[0]
    return Prediction(photo.as_stored(logits), model.palette, has_own_colours(small))


def controlled(
    photo: Photo, prediction: Prediction, control: Control, reference: Reference | None = None
) -> list[Prediction]:
    """What becomes of a prediction by all that was asked: one for each alternative, the usual first.

    `reference` is that of `control`, read with the prediction's palette.

    Raises:
        ConfigError: two hints are of one pixel.
        PhotoError: a hint lies outside the photo; the file is damaged or cut short.
    """
    if reference is not None:
        prediction = prediction.following(photo, reference, control.reference_strength)
    known = prediction.with_hints(photo, control.hints)
    versions = known.alternatives(control.alternatives)
    return [one.with_grey(photo, control.keep_grey, control.hints) for one in versions]


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
    photo and is no folder. Of alternatives the first is NAME.1.SUFFIX, and so on. `tell` is called with each
    photo as soon as it is done or has failed.

    Raises:
        ConfigError: `out` is a file of a format that cannot be written; there are hints, which are points of
            one photo, and more inputs than that; the reference cannot be read or is grey.
        OutputError: `out` cannot be a folder or cannot be written to.
    """
    control = options.control
    if control.hints and (len(inputs) != 1 or is_folder(inputs[0])):
        raise ConfigError(f"needed a single photo, whose points the hints are, got {' '.join(inputs)}")
    reference = Reference.read(control.reference, model.palette) if control.reference else None
    work = Work(
        name="colouring",
        do=lambda found, targets: _colourise_found(found, targets, model, options, reference),
        writable=WRITABLE,
        outdated=() if options.confidence else (_MAP,),
    )
    result = Colourised()
    each_photo(inputs, out, work, result, recursive, tell)
    return result


def _colourise_found(
    found: Found, targets: Targets, model: Model, options: ColouriseOptions, reference: Reference | None
) -> Coloured:
    photo = open_photo(found.path, options.max_megapixels)
    suffix, note = (targets.out.suffix, "") if targets.single_file else output_suffix(photo)
    notes = [*photo.notes, *([note] if note else []), *losses(photo, suffix)]
    num = options.control.alternatives
    endings = [suffix] if num == 1 else [f".{index}{suffix}" for index in range(1, num + 1)]
    paths = tuple(targets.claim(found, ending) for ending in endings)
    with closing(photo.strips()) as strips:  # read while the network looks at the photo
        prediction = predict(photo, model)
        if prediction.in_colour:
            notes.append(f"{found.path}: was in colour already; its own colours were replaced")
        versions = controlled(photo, prediction, options.control, reference)
        if options.confidence:
            write_map(targets.claim(found, _MAP), versions[0].confidence(), photo)
        differences: list[float] = []
        for path, version in zip(paths, versions, strict=True):
            chroma = version.chroma(options.temperature, options.saturation)
            differences.append(colourise_photo(photo, path, chroma, None if differences else strips))
    return Coloured(
        paths=paths,
        megapixels=photo.megapixels,
        lightness_difference=sum(differences) / num,
        notes=tuple(notes),
    )
