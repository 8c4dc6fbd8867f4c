"""Scores of a colouriser on a folder of photos, by a pinned protocol, beside baselines without a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float, Float64, Int64, UInt8
from torch import Tensor

from pixelwise.colourising.prediction import Prediction, predict
from pixelwise.errors import DataError
from pixelwise.evaluate.colour_baselines import Truth
from pixelwise.evaluate.colour_calibration import Sample, calibrate, draw_pixels
from pixelwise.evaluate.colour_result import GREY, MEAN, MODEL, PRIOR, ColouredPhoto, ColourEvaluation
from pixelwise.evaluate.colour_scores import Original, PhotoColours, colour_scores
from pixelwise.evaluate.intervals import mean_interval
from pixelwise.evaluate.protocol import Protocol
from pixelwise.labels.sources import require_source_folder
from pixelwise.network.config import Device
from pixelwise.network.device import ONE_THREAD, choose_device
from pixelwise.network.runs import Model
from pixelwise.photos.crop_view import shrunk_size
from pixelwise.photos.find import Failure, find_photos
from pixelwise.photos.paint import LightnessDrift, paint
from pixelwise.photos.photo import open_photo, photo_of
from pixelwise.photos.read_ahead import worked_ahead
from pixelwise.photos.tone import has_own_colours, is_grey
from pixelwise.progress import progress

_THREADS = 2
_NO_CHROMA = torch.zeros(2, 1, 1)

Codes = UInt8[Tensor, "3 H W"]
"""A picture, upright, in sRGB codes."""


def evaluate_photos(
    model: Model,
    source: str,
    paths: Sequence[Path],
    failed: Sequence[Failure] = (),
    protocol: Protocol = Protocol(),  # noqa: B008 - frozen
    *,
    device: Device = "auto",
    seed: int = 0,
    on_failure: Callable[[Failure], None] | None = None,
) -> ColourEvaluation:
    """Score a colouriser on photos of a source, as `photos_of` gives them, beside three baselines.

    `grey` leaves the photo grey; `mean ab` gives it the mean colour of the others; `prior` gives each pixel
    the classes' shares among the pixels of the others that are as light, decoded as the network's.
    Grey photos are left out, and named, as are files that cannot be read; `on_failure` is called with each
    of these at once. The seed draws intervals and the pixels to calibrate on.

    Raises:
        DataError: none of them is a photo in colour.
        PhotoError: a photo went away meanwhile.
    """
    model.net.to(choose_device(device))
    failed = list(failed)

    def score(numbered: tuple[int, Path]) -> _Scored | Failure:
        try:
            return _score(numbered[1], model, protocol, len(paths), (seed, numbered[0]))
        except Exception as error:  # whatever one photo does to a library, the others are done
            return Failure.of(numbered[1], error)

    def compare(one: _Scored) -> ColouredPhoto:
        return _add_baselines(one, model, protocol, kept)

    scored = []
    with ONE_THREAD, progress("colouring photos", len(paths)) as advance:
        for one in worked_ahead(score, enumerate(paths), _THREADS):
            if isinstance(one, _Scored):
                scored.append(one)
            else:
                failed.append(one)
                if on_failure:
                    on_failure(one)
            advance(1, one.path.name)
    kept, photos = [one for one in scored if one.scores], []
    if not kept:
        grey = f"{len(scored)} that are grey" if scored else ""
        bad = f"{len(failed)} that could not be read (first: {failed[0].error})" if failed else ""
        found = " and ".join(part for part in (grey, bad) if part) or "none"
        raise DataError(f"needed photos in colour in {source}, got {found}")
    with ONE_THREAD, progress("colouring without a network", len(kept)) as advance:
        for photo in worked_ahead(compare, iter(kept), _THREADS):
            photos.append(photo)
            advance(1, photo.path.name)
    scores = {name: colour_scores([one.scores[name] for one in photos], seed) for name in photos[0].scores}
    return ColourEvaluation(
        model=model,
        source=source,
        protocol=protocol,
        scores=scores,
        gain=mean_interval([one.gain for one in photos], seed),
        photos=tuple(photos),
        calibrated=calibrate([one.sample for one in kept if one.sample], seed),
        colourless=tuple(one.path for one in scored if not one.scores),
        toned=tuple(one.path for one in kept if one.toned),
        failed=tuple(failed),
    )


@dataclass(frozen=True, eq=False)
class _Scored:
    """What is kept of a photo until all have been scored; of a grey one no more than its path."""

    path: Path
    scores: dict[str, PhotoColours] = field(default_factory=dict)
    sample: Sample | None = None
    mean_ab: Float64[Tensor, " 2"] = field(default_factory=lambda: torch.zeros(2).double())
    by_lightness: Int64[Tensor, "32 K"] = field(default_factory=lambda: torch.zeros(32, 0).long())
    size: tuple[int, int] = (0, 0)
    """Height and width of the logits."""
    toned: bool = False


def _score(path: Path, model: Model, protocol: Protocol, num_photos: int, seed: tuple[int, int]) -> _Scored:
    """Score the network on one photo, and leaving it grey; count its colours for the other photos."""
    codes, palette = read_picture(path, protocol.size), model.palette
    if is_grey(codes):
        return _Scored(path)
    grey, coloured, prediction = colour_picture(codes, path, model, protocol)
    original, logits = Original.of(codes), prediction.logits
    size = (logits.shape[1], logits.shape[2])
    truth = Truth.of(original.lab, palette, size)
    of_grey = truth.scores_of_colour(torch.zeros(2), palette)
    return _Scored(
        path,
        scores={
            MODEL: PhotoColours.of(coloured, original, truth.scores(logits)),
            GREY: PhotoColours.of(grey, original, of_grey),
        },
        sample=draw_pixels(logits, truth.labels, num_photos, seed),
        mean_ab=original.lab[1:].double().mean((1, 2)),
        by_lightness=truth.by_lightness(palette.num_classes),
        size=size,
        toned=not has_own_colours(codes),
    )


def _add_baselines(one: _Scored, model: Model, protocol: Protocol, every: Sequence[_Scored]) -> ColouredPhoto:
    """Score a photo by the colours of all others as well, if there are any."""
    others = [other for other in every if other is not one]
    if not others:
        return ColouredPhoto(one.path, one.scores)
    palette, original = model.palette, Original.of(read_picture(one.path, protocol.size))
    truth = Truth.of(original.lab, palette, one.size)
    mean = torch.stack([other.mean_ab for other in others]).mean(0).float()
    logits = truth.prior(torch.stack([other.by_lightness for other in others]).sum(0))
    in_mean = painted(original.codes, mean[:, None, None])
    by_prior = painted(original.codes, _chroma(Prediction(logits, palette), protocol))
    baselines = {
        MEAN: PhotoColours.of(in_mean, original, truth.scores_of_colour(mean, palette)),
        PRIOR: PhotoColours.of(by_prior, original, truth.scores(logits)),
    }
    return ColouredPhoto(one.path, one.scores | baselines)


def colour_picture(
    codes: Codes, path: Path, model: Model, protocol: Protocol
) -> tuple[Codes, Codes, Prediction]:
    """Return a picture left grey, the same coloured by a network that saw only that, and its prediction."""
    grey = painted(codes, _NO_CHROMA)
    prediction = predict(photo_of(grey, path), model)
    return grey, painted(codes, _chroma(prediction, protocol)), prediction


def _chroma(prediction: Prediction, protocol: Protocol) -> Float[Tensor, "2 h w"]:
    return prediction.chroma(protocol.options.temperature, protocol.options.saturation)


def read_picture(path: Path, size: int) -> Codes:
    """Return a photo as it is measured: upright, sRGB, its short side `size` pixels or fewer.

    Raises:
        PhotoError: it cannot be read.
    """
    photo = open_photo(path)
    return photo.upright(photo.thumbnail(*shrunk_size(photo.height, photo.width, size))).contiguous()


def painted(codes: Codes, chroma: Float[Tensor, "2 h w"]) -> Codes:
    """Return a picture with its own luminance and this chroma, as colourising would write it in 8 bit."""
    _, height, width = codes.shape
    strips = iter([codes.permute(1, 2, 0).contiguous().numpy()])
    (coloured,) = paint(strips, chroma, (height, width), alpha=False, drift=LightnessDrift())
    return torch.from_numpy(coloured).permute(2, 0, 1)


def photos_of(source: str) -> tuple[list[Path], list[Failure]]:
    """Return the photos in a folder and those below it, and what cannot be looked into.

    Raises:
        ConfigError: the source is no folder.
        DataError: there is no such folder.
    """
    folder = require_source_folder(source)
    if not folder.is_dir():
        found = "a file" if folder.exists() else "not there"
        raise DataError(f"needed a folder of colour photos, {folder} is {found}")
    photos, failed = find_photos([str(folder)], recursive=True)
    if not photos and failed:
        raise DataError(failed[0].error)
    return sorted(one.path for one in photos), failed
