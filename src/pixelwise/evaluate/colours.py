"""Scores of a colouriser on a folder of photos, by a pinned protocol, beside what needs no network."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from pixelwise.config import Device
from pixelwise.data import source_folder
from pixelwise.errors import ConfigError, DataError
from pixelwise.evaluate.calibrated import Sample, calibrate
from pixelwise.evaluate.found import GREY, MEAN, MODEL, PRIOR, ColouredPhoto, ColourEvaluation
from pixelwise.evaluate.others import Seen, Truth
from pixelwise.evaluate.protocol import Protocol
from pixelwise.photos.ahead import worked_ahead
from pixelwise.photos.find import Failure, find_photos
from pixelwise.photos.paint import LightnessDrift, paint
from pixelwise.photos.photo import open_photo, photo_of
from pixelwise.photos.tone import has_own_colours, is_grey
from pixelwise.photos.view import shrunk_size
from pixelwise.predict import Prediction, predict
from pixelwise.processor import ONE_THREAD, choose_device
from pixelwise.progress import progress
from pixelwise.runs import Model
from pixelwise.scores import Interval, Original, PhotoColours, colour_scores, interval, resampled_sums

_THREADS = 2
_NO_CHROMA = torch.zeros(2, 1, 1)

Codes = UInt8[Tensor, "3 H W"]
"""A picture, upright, in sRGB codes."""
T = TypeVar("T")


def evaluate_colours(
    model: Model,
    source: str,
    protocol: Protocol = Protocol(),  # noqa: B008 - frozen
    *,
    device: Device = "auto",
    seed: int = 0,
    tell: Callable[[str], None] = lambda _message: None,
) -> ColourEvaluation:
    """Scores of a colouriser on all photos of a folder and of those below it, beside three baselines.

    `grey` leaves the photo grey; `mean ab` gives it the mean colour of the others; `prior` gives each pixel
    the shares of classes among the pixels of the others that are as light, decoded as the network's.
    Grey photos are left out, and what cannot be read has failed; both are named, and `tell` is called with
    each failure at once. The seed draws intervals and the pixels to calibrate on.

    Photos are read twice, one by one: of each only numbers and a few pixels' logits are kept.

    Raises:
        ConfigError: the source is no folder.
        DataError: there is no such folder, or no photo in colour in it.
    """
    paths, failed = photos_of(source)
    for failure in failed:
        tell(failure.error)
    return evaluate_photos(model, source, paths, failed, protocol, device=device, seed=seed, tell=tell)


def evaluate_photos(
    model: Model,
    source: str,
    paths: Sequence[Path],
    failed: list[Failure],
    protocol: Protocol = Protocol(),  # noqa: B008 - frozen
    *,
    device: Device = "auto",
    seed: int = 0,
    tell: Callable[[str], None] = lambda _message: None,
) -> ColourEvaluation:
    """The same of some photos of a source; what fails is added to what had `failed` before.

    Raises:
        DataError: none of them is a photo in colour.
    """
    model.net.to(choose_device(device))
    judge = _Judge(model, protocol, len(paths), seed)
    looked, everything = [], Seen.nothing(model.palette.num_classes)
    for one, seen in _each("colouring photos", judge.look, list(enumerate(paths)), failed, tell):
        looked.append(one)
        everything += seen
    kept = [one for one in looked if one.scores]
    work = functools.partial(judge.compare, everything=everything)
    photos = list(_each("colouring without a network", work, list(enumerate(kept)), failed, tell))
    if not photos:
        raise DataError(_none_left(source, len(looked) - len(kept), failed))
    names = photos[0].scores
    scores = {name: colour_scores([one.scores[name] for one in photos], seed) for name in names}
    drawn = [one.sample for one in kept if one.sample]
    return ColourEvaluation(
        model=model,
        source=source,
        protocol=protocol,
        scores=scores,
        gain=_mean([one.gain for one in photos], seed),
        photos=tuple(photos),
        calibrated=calibrate(drawn, seed),
        colourless=tuple(one.path for one in looked if not one.scores),
        toned=tuple(one.path for one in kept if one.toned),
        failed=tuple(failed),
    )


@dataclass(frozen=True, eq=False)
class _Looked:
    """What is kept of one photo while the others are looked at; no more than its path if it is grey."""

    path: Path
    scores: dict[str, PhotoColours] = field(default_factory=dict)
    sample: Sample | None = None
    logits_size: tuple[int, int] = (0, 0)
    toned: bool = False


@dataclass(frozen=True, eq=False)
class _Judge:
    """Looks at photos one by one, in any order, with equal results."""

    model: Model
    protocol: Protocol
    num_photos: int
    seed: int

    def look(self, numbered: tuple[int, Path]) -> tuple[_Looked, Seen]:
        """What the network makes of a photo, and leaving it grey; and what others may learn from it."""
        number, path = numbered
        codes = read_picture(path, self.protocol.size)
        if is_grey(codes):
            return _Looked(path), Seen.nothing(self.model.palette.num_classes)
        _, coloured, prediction = colour_picture(codes, path, self.model, self.protocol)
        original, logits = Original.of(codes), prediction.logits
        truth = Truth.of(original.lab, self.model.palette, _size(logits))
        scores = {
            MODEL: PhotoColours.of(coloured, original, truth.scores(logits)),
            GREY: self._in_one_colour(torch.zeros(2), original, truth),
        }
        sample = Sample.draw(logits, truth.labels, self.num_photos, (self.seed, number))
        looked = _Looked(path, scores, sample, _size(logits), toned=not has_own_colours(codes))
        return looked, Seen.of(original.lab, truth, self.model.palette.num_classes)

    def compare(self, numbered: tuple[int, _Looked], everything: Seen) -> ColouredPhoto:
        """The same photo's scores, and those of what all others tell of it; no such, where there is none."""
        _, looked = numbered
        original = Original.of(read_picture(looked.path, self.protocol.size))
        truth = Truth.of(original.lab, self.model.palette, looked.logits_size)
        others = everything - Seen.of(original.lab, truth, self.model.palette.num_classes)
        if not others.num_photos:
            return ColouredPhoto(looked.path, looked.scores)
        logits = others.logits(truth.lightness)
        prior = painted(original.codes, _chroma(Prediction(logits, self.model.palette), self.protocol))
        baselines = {
            MEAN: self._in_one_colour(others.mean_ab, original, truth),
            PRIOR: PhotoColours.of(prior, original, truth.scores(logits)),
        }
        return ColouredPhoto(looked.path, looked.scores | baselines)

    def _in_one_colour(self, ab: Float[Tensor, " 2"], original: Original, truth: Truth) -> PhotoColours:
        coloured = painted(original.codes, ab[:, None, None])
        return PhotoColours.of(coloured, original, truth.scores_of_colour(ab, self.model.palette))


def colour_picture(
    codes: Codes, path: Path, model: Model, protocol: Protocol
) -> tuple[Codes, Codes, Prediction]:
    """A picture left grey, the same coloured by a network that saw no more than that, and what it said."""
    grey = painted(codes, _NO_CHROMA)
    prediction = predict(photo_of(grey, path), model)
    return grey, painted(codes, _chroma(prediction, protocol)), prediction


def _chroma(prediction: Prediction, protocol: Protocol) -> Float[Tensor, "2 h w"]:
    return prediction.chroma(protocol.options.temperature, protocol.options.saturation)


def read_picture(path: Path, size: int) -> Codes:
    """A photo as it is measured: upright, sRGB, its short side `size` pixels or fewer.

    Raises:
        PhotoError: it cannot be read.
    """
    photo = open_photo(path)
    return photo.upright(photo.thumbnail(*shrunk_size(photo.height, photo.width, size))).contiguous()


def painted(codes: Codes, chroma: Float[Tensor, "2 h w"]) -> Codes:
    """A picture with its own luminance and this chroma, as colourising would write it in 8 bit."""
    _, height, width = codes.shape
    strips = iter([codes.permute(1, 2, 0).contiguous().numpy()])
    (coloured,) = paint(strips, chroma, (height, width), alpha=False, drift=LightnessDrift())
    return torch.from_numpy(coloured).permute(2, 0, 1)


def photos_of(source: str) -> tuple[list[Path], list[Failure]]:
    """The photos in a folder and those below it, and what cannot be looked into.

    Raises:
        ConfigError: the source is no folder.
        DataError: there is no such folder.
    """
    folder = source_folder(source)
    if folder is None:
        raise ConfigError(f"needed a folder of colour photos as folder:PATH, got {source}")
    if not folder.is_dir():
        found = "a file" if folder.exists() else "not there"
        raise DataError(f"needed a folder of colour photos, {folder} is {found}")
    photos, failed = find_photos([str(folder)], recursive=True)
    if not photos and failed:
        raise DataError(failed[0].error)
    return sorted(one.path for one in photos), failed


def _each(
    what: str,
    work: Callable[[tuple[int, Any]], T],
    numbered: Sequence[tuple[int, Any]],
    failed: list[Failure],
    tell: Callable[[str], None],
) -> Iterator[T]:
    """The work for each photo, in order; what fails is told of and put into `failed`."""

    def tried(one: tuple[int, Any]) -> T | Failure:
        try:
            return work(one)
        except Exception as error:  # whatever one photo does to a library, the others are done
            path = one[1] if isinstance(one[1], Path) else one[1].path
            return Failure.of(path, error)

    with ONE_THREAD, progress(what, len(numbered)) as advance:
        results: Iterator[T | Failure] = worked_ahead(tried, iter(numbered), _THREADS)
        for (_, one), result in zip(numbered, results, strict=True):
            if isinstance(result, Failure):
                failed.append(result)
                tell(result.error)
            else:
                yield result
            advance(1, one.name if isinstance(one, Path) else one.path.name)


def _none_left(source: str, num_grey: int, failed: Sequence[Failure]) -> str:
    grey = f"{num_grey} that are grey" if num_grey else ""
    bad = f"{len(failed)} that could not be read (first: {failed[0].error})" if failed else ""
    found = " and ".join(part for part in (grey, bad) if part) or "none"
    return f"needed photos in colour in {source}, got {found}"


def _size(logits: Tensor) -> tuple[int, int]:
    return logits.shape[1], logits.shape[2]


def _mean(values: Sequence[float], seed: int) -> Interval:
    sums = resampled_sums(np.array([[value, 1.0] for value in values]), seed)
    return interval(sums[:, 0] / sums[:, 1])
