"""Photos of any size and kind, coloured: the network looks at a small picture, the photo keeps its luminance.

A network reads the photo at the size it was trained for. What it says there, the chances of every class, is
kept in a `Prediction`: temperature and saturation can be chosen anew without running the network. Chroma
is then enlarged and joined with the photo's own luminance, strip by strip.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from pixelwise.errors import ConfigError, OutputError
from pixelwise.labelspace import Palette
from pixelwise.photos.ahead import Ahead
from pixelwise.photos.find import Failure, Found, Targets, count_subfolders, find_photos, is_folder
from pixelwise.photos.formats import MAX_MEGAPIXELS, SUFFIXES
from pixelwise.photos.paint import LightnessDrift, Strip, paint
from pixelwise.photos.photo import Photo, open_photo
from pixelwise.photos.photo_write import WRITABLE, losses, output_suffix, write_map, write_photo
from pixelwise.photos.tone import has_own_colours
from pixelwise.progress import progress
from pixelwise.runs import Model

_LONGEST = 8  # times the short side: a longer panorama is read smaller, to bound memory
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
        if not self.max_megapixels > 0:
            raise ConfigError(f"max-megapixels needs to be above 0, got {self.max_megapixels:g}")


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


@dataclass(frozen=True)
class Coloured:
    """One photo that was coloured."""

    path: Path
    """The coloured copy."""
    megapixels: float
    lightness_difference: float
    """Mean absolute difference of L between the photo and its copy, before the format's own losses."""
    notes: tuple[str, ...]
    replaced: bool = False
    """Whether there was a file of that name before."""
    removed: Path | None = None
    """A map of confidence that an earlier run had left, and that was not this copy's."""


@dataclass
class Colourised:
    """What came of a batch."""

    written: list[Coloured] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    """What is to be known of the batch, beside the notes on single photos."""
    seconds: float = 0.0

    @property
    def megapixels(self) -> float:
        """Of all written photos together."""
        return sum(one.megapixels for one in self.written)

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
    small = photo.thumbnail(*reading_size(photo.height, photo.width, model.size))
    grey = model.palette.read_grey(photo.upright(small)[None])
    with _ONE_THREAD if small[0].numel() <= _SMALL else nullcontext():
        logits = model.logits(grey)[0]
    return Prediction(photo.as_stored(logits), model.palette, has_own_colours(small))


def reading_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """Height and width at which a network reads a photo: never enlarged, at most 8 short sides long."""
    scale = min(1.0, short_side / min(height, width), _LONGEST * short_side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def colourise_photo(photo: Photo, target: Path, chroma: Tensor, strips: Ahead[Strip] | None = None) -> float:
    """Write a coloured copy of a photo; gives the mean absolute difference of L between the two.

    `chroma` (2, h, w) is a `Prediction`'s, or any map of Lab a and b of the photo's shape. `strips` are the
    photo's own, where reading them has begun already.

    Raises:
        PhotoError: the photo is damaged or cut short.
        OutputError: the copy cannot be written.
    """
    drift = LightnessDrift()
    with _ONE_THREAD, closing(photo.strips() if strips is None else strips) as read:
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
    start_s = time.perf_counter()
    photos, unfound = find_photos(inputs, recursive, leave_out=out)
    single_file = len(photos) == 1 == len(inputs) and _names_photo(out) and not is_folder(inputs[0])
    if photos:
        _make_folder(out.parent if single_file else out)
    targets = Targets(out, photos, single_file)
    result = Colourised()
    with progress("colouring", len(photos)) as advance:
        for failure in unfound:
            result.failed.append(failure)
            tell(failure)
        for found in photos:
            done = _try_colourise(found, targets, model, options)
            if isinstance(done, Failure):
                result.failed.append(done)
            else:
                result.written.append(done)
            tell(done)
            advance(1, found.path.name)
    if not recursive and (num := count_subfolders(inputs, leave_out=out)):
        were = "subfolders were" if num > 1 else "subfolder was"
        result.remarks.append(f"{num} {were} left alone; --recursive takes subfolders in")
    result.seconds = time.perf_counter() - start_s
    return result


def _try_colourise(
    found: Found, targets: Targets, model: Model, options: ColouriseOptions
) -> Coloured | Failure:
    try:
        done = _colourise_found(found, targets, model, options)
        replaced = done.path in targets.replaced
        outdated = replaced and not options.confidence
        removed = targets.remove_beside(done.path, _MAP) if outdated else None
        return replace(done, replaced=replaced, removed=removed)
    except Exception as error:  # whatever one photo does to a library, the others are done
        return Failure.of(found.path, error)


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
    return Coloured(target, photo.megapixels, difference, tuple(notes))


def _names_photo(out: Path) -> bool:
    """Whether `out` means a file.

    Raises:
        ConfigError: it does, of a format that cannot be written.
    """
    if is_folder(out) or out.suffix.lower() not in SUFFIXES:
        return False
    if out.suffix.lower() not in WRITABLE:
        raise ConfigError(f"needed an output that ends in one of {', '.join(WRITABLE)}, got {out}")
    return True


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (
            "it is a file" if isinstance(error, FileExistsError) else (error.strerror or str(error)).lower()
        )
        raise OutputError(f"cannot write into {folder}: {reason}; choose another folder with -o") from error


class _OneThread:
    """Lets torch compute in one thread inside, and in later threads; afterwards as before.

    Reading, painting and encoding keep three threads busy by themselves. Painting and small networks take
    steps of a tenth of a millisecond; sharing one among threads costs up to 8 ms on a busy machine.

    Callers in several threads may be inside together: the first to come notes what torch had, and each
    gives its own thread that back.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.num_inside = 0
        self.before = 0

    def __enter__(self) -> None:
        with self.lock:
            if self.num_inside == 0:
                self.before = torch.get_num_threads()
            self.num_inside += 1
            torch.set_num_threads(1)

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.num_inside -= 1
            torch.set_num_threads(self.before)


_ONE_THREAD = _OneThread()
