"""Scores of a colouriser on a folder of photos, by a pinned protocol, beside baselines without a network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from pixelwise.colour.arrays import Float, Float64, Int64
from pixelwise.colour.palette import Palette, softmax
from pixelwise.colour.spaces import lab_to_srgb, srgb_to_lab
from pixelwise.colourising.options import ColouriseOptions
from pixelwise.colourising.prediction import Prediction, predict, require_possible
from pixelwise.errors import ConfigError, DataError, listed
from pixelwise.evaluate.calibration import NUM_BINS, calibration_bins, calibration_error, class_scores
from pixelwise.evaluate.colour_scores import PhotoColours, colour_scores
from pixelwise.evaluate.intervals import Interval, interval, resampled_sums
from pixelwise.labels.sources import require_source_folder, source_folder
from pixelwise.network.model import Colouriser
from pixelwise.photos.colour_folder import Picture
from pixelwise.photos.crop_view import WHOLE, read_view, shrunk_size
from pixelwise.photos.find import Failure, find_photos
from pixelwise.photos.paint import LightnessDrift, paint
from pixelwise.photos.photo import open_photo, photo_of_codes
from pixelwise.photos.read_ahead import worked_ahead
from pixelwise.photos.resize import channels_last, pool
from pixelwise.photos.tone import is_grey
from pixelwise.progress import progress

MODEL, GREY, MEAN = "model", "grey", "mean ab"
SIZE = 256  # short side in pixels at which photos are measured by default
_SIZES = (16, 2048)
_COLLAPSED = 0.4  # colourfulness, as a share of the originals', below which all is nearly grey
_FEW = 20  # photos, whose intervals are themselves unsure
_THREADS = 2


@dataclass(frozen=True, kw_only=True, eq=False)
class ColouredPhoto:
    """A photo, and its scores by method: `model`, and the baselines."""

    path: Path
    scores: dict[str, PhotoColours]
    bins: Float64[ndarray, "3 15"]  # `calibration_bins` of the network's probabilities, if it gives any
    mean_ab: Float64[ndarray, "2 1 1"]

    @property
    def gain(self) -> float:
        """By how much CIEDE2000 is less than that of the photo left grey."""
        return self.scores[GREY].ciede2000 - self.scores[MODEL].ciede2000

    def to_dict(self) -> dict[str, Any]:
        """Return plain values of the model's scores, for JSON."""
        ours = self.scores[MODEL]
        return {
            "path": str(self.path),
            "ciede2000": ours.ciede2000,
            "ciede2000_grey": self.scores[GREY].ciede2000,
            "ab_rmse": ours.ab_rmse,
            "colourfulness": ours.colourfulness,
            "colourfulness_original": ours.original_colourfulness,
            "cross_entropy": ours.cross_entropy,
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class ColourEvaluation:
    """Scores of a colouriser on photos, beside those of its baselines."""

    model: Colouriser
    source: str
    size: int  # short side in pixels at which photos were measured; smaller ones as they are
    options: ColouriseOptions  # temperature and saturation
    scores: dict[str, dict[str, Interval]]  # by method, the model first, and by name
    gain: Interval  # by how much the model's CIEDE2000 is less than that of grey, photo by photo
    calibration_error: Interval  # expected calibration error of the network's probabilities, 0 to 1
    photos: tuple[ColouredPhoto, ...]  # in the order of their paths
    colourless: tuple[Path, ...]  # photos left out: they are grey
    failed: tuple[Failure, ...]

    @property
    def calibration_bins(self) -> Float64[ndarray, "3 15"]:
        """Bins of all pixels together."""
        return np.sum([photo.bins for photo in self.photos], 0)

    @property
    def protocol(self) -> dict[str, Any]:
        """Size, temperature and saturation, and each step of measuring in a sentence."""
        protocol = {
            "size": self.size,
            "temperature": self.options.temperature,
            "saturation": self.options.saturation,
            "read": "the photo upright, in sRGB by its profile, the short side shrunk to the size (bicubic, "
            "antialiased; never enlarged), nothing cut off, 8 bit",
            "given": "to the network: that picture as grey of the same luminance, 8 bit",
            "decoded": "the annealed mean of the classes' colours",
            "joined": "chroma enlarged bicubically and joined with the picture's own luminance, what is out "
            "of gamut drawn to grey at equal luminance, written in 8 bit sRGB, as colourising does",
            "compared": "what was written with the picture, in Lab (D65) and in codes; mean over the pixels "
            "of a photo, then over photos",
            "classes": "accuracy, cross-entropy and calibration at the size of the network's own answer, of "
            "logits as they are, against the class of the mean a and b over each area",
            "conventions": "RMSE of ab is the root of the mean of da^2 + db^2, each photo counting the same; "
            "colourfulness is Hasler and Suesstrunk's on codes, its ratio that of means to the originals'",
            "baselines": "grey: no chroma; mean ab: the mean colour of all other photos here",
            "intervals": "low and high: 95 of 100 draws of as many photos (bootstrap)",
        }
        if self.model.palette is None:
            del protocol["classes"]
            protocol["decoded"] = "a and b as the network gives them, read at a square of its size"
        return protocol

    @property
    def notes(self) -> list[str]:
        """Notes on what was left out, and what the figures may not be compared with."""
        notes = [
            "compare only figures of the same photos at the same size, and not with PSNR or SSIM of RGB, "
            "which luminance decides, nor with errors in 8-bit Lab, or of photos cut or squeezed to squares",
            "photos that a network learned from score too well, and so do copies and crops of them",
        ]
        if self.failed:
            notes.insert(0, f"could not be scored: {listed([failure.path.name for failure in self.failed])}")
        if self.colourless:
            notes.insert(0, f"without colour, left out: {listed([path.name for path in self.colourless])}")
        if len(self.photos) < _FEW:
            notes.append(f"{len(self.photos)} photos are few: intervals of so few are too narrow")
        return notes

    @property
    def warnings(self) -> list[str]:
        """Warnings of what is wrong, or may be."""
        ours, gain, palette, warnings = self.scores[MODEL], self.gain, self.model.palette, []
        if (strength := ours["colourfulness_ratio"].value) < _COLLAPSED:
            warnings.append(
                f"collapsed to grey: colours have {strength:.2f} of the originals' strength (below "
                f"{_COLLAPSED}){'; a lower --temperature makes them bolder' if palette else ''}"
            )
        if not gain.low > 0:
            span = f"{gain.value:.2f}"
            if len(self.photos) > 1:
                span += f" ({gain.low:.2f} to {gain.high:.2f})"
            warnings.append(f"not surely better than grey, whose CIEDE2000 less ours is {span}")
        most = math.log(palette.num_classes) if palette else math.inf  # of a network that knows nothing
        if lost := [photo.path.name for photo in self.photos if photo.scores[MODEL].cross_entropy > most]:
            warnings.append(
                f"lost on {len(lost)} of {len(self.photos)} photos, perhaps of a kind that the network never "
                f"learned: equally likely classes would have a lower cross-entropy: {listed(lost)}"
            )
        learned, folder = source_folder(self.model.trained_on), source_folder(self.source)
        if learned and folder and learned.resolve() == folder.resolve():
            warnings.append("the network learned from photos of this very folder: scores are too good")
        return warnings

    def to_dict(self) -> dict[str, Any]:
        """Return the model's scores, each {value, low, high}, and what belongs to them, for JSON."""
        methods = {
            method: {name: score.to_dict() for name, score in scores.items()}
            for method, scores in self.scores.items()
        }
        return methods.pop(MODEL) | {
            "ciede2000_gain": self.gain.to_dict(),
            "calibration_error": self.calibration_error.to_dict(),
            "baselines": methods,
            "model": {"name": self.model.name, "sha256": self.model.checksum},
            "protocol": self.protocol,
            "num_photos": len(self.photos),
            "photos": [photo.to_dict() for photo in self.photos],
            "colourless": [str(path) for path in self.colourless],
            "failed": [{"path": str(failure.path), "error": failure.error} for failure in self.failed],
            "notes": self.notes,
            "warnings": self.warnings,
        }


def evaluate_photos(
    model: Colouriser,
    source: str,
    paths: Sequence[Path] | None = None,
    *,
    size: int = SIZE,
    options: ColouriseOptions = ColouriseOptions(),  # noqa: B008 - frozen
    seed: int = 0,
) -> ColourEvaluation:
    """Score a colouriser on photos of a source, or on all in it and below, beside two baselines.

    `grey` leaves the photo grey; `mean ab` gives it the mean colour of the others. Grey photos are left out,
    and named, as are files that cannot be read. The seed draws the intervals. ConfigError where the size is
    not from 16 to 2048, a temperature needs probabilities that the network does not give, or the source is no
    folder; DataError where it has no photo in colour; PhotoError where one went away meanwhile.
    """
    if not _SIZES[0] <= size <= _SIZES[1]:
        raise ConfigError(f"size needs to be from {_SIZES[0]} to {_SIZES[1]} pixels, got {size}")
    require_possible(options, model)
    paths, unfound = (paths, []) if paths is not None else _photos_of(source)
    results = _score_all(paths, model, size, options)
    scored = [one for one in results if isinstance(one, ColouredPhoto)]
    failed = (*unfound, *(one for one in results if isinstance(one, Failure)))
    colourless = tuple(path for path, one in zip(paths, results, strict=True) if one is None)
    if not scored:
        grey = f"{len(colourless)} that are grey" if colourless else ""
        bad = f"{len(failed)} that could not be read (first: {failed[0].error})" if failed else ""
        got = " and ".join(filter(None, (grey, bad))) or "none"
        raise DataError(f"needed photos in colour in {source}, got {got}")
    photos = _with_mean_ab(scored, size)
    bins = resampled_sums(np.stack([photo.bins for photo in photos]), seed)
    gain, num = resampled_sums(np.array([[photo.gain, 1.0] for photo in photos]), seed).T
    methods = photos[0].scores
    return ColourEvaluation(
        model=model,
        source=source,
        size=size,
        options=options,
        scores={name: colour_scores([photo.scores[name] for photo in photos], seed) for name in methods},
        gain=interval(gain / num),
        calibration_error=interval(calibration_error(bins)),
        photos=tuple(photos),
        colourless=colourless,
        failed=failed,
    )


def _score_all(
    paths: Sequence[Path], model: Colouriser, size: int, options: ColouriseOptions
) -> list[ColouredPhoto | Failure | None]:
    """Score the network, and leaving grey, on each photo; None for those that are grey."""

    def score(path: Path) -> ColouredPhoto | Failure | None:
        try:
            return _score(path, model, size, options)
        except Exception as error:  # whatever one photo does to a library, the others are done
            return Failure.of(path, error)

    results = []
    with progress("colouring photos", len(paths)) as advance:
        for path, result in zip(paths, worked_ahead(score, iter(paths), _THREADS), strict=True):
            results.append(result)
            advance(1, path.name)
    return results


def _score(path: Path, model: Colouriser, size: int, options: ColouriseOptions) -> ColouredPhoto | None:
    """Score the network on one photo, and leaving it grey; return None if it is grey."""
    codes = read_picture(path, size)
    if is_grey(codes):
        return None
    grey, coloured, prediction = colour_picture(codes, path, model, options)
    lab = srgb_to_lab(codes / np.float32(255))
    classes, bins = dict[str, float](), np.zeros((3, NUM_BINS))
    if prediction.palette is not None:
        logits = prediction.answer
        labels = true_classes(lab, prediction.palette, (logits.shape[1], logits.shape[2]))
        classes = class_scores(logits.reshape(len(logits), -1).T, labels.ravel())
        bins = calibration_bins(softmax(logits), labels.astype(np.uint8))
    return ColouredPhoto(
        path=path,
        scores={
            MODEL: replace(PhotoColours.of(coloured, codes), **classes),
            GREY: PhotoColours.of(grey, codes),
        },
        bins=bins,
        mean_ab=lab[1:].mean((1, 2), np.float64, keepdims=True),
    )


def _with_mean_ab(scored: list[ColouredPhoto], size: int) -> list[ColouredPhoto]:
    """Score each photo in the mean colour of all others as well, if there are any."""
    if len(scored) == 1:
        return scored
    total = sum(photo.mean_ab for photo in scored)

    def score(photo: ColouredPhoto) -> ColouredPhoto:
        mean, codes = (total - photo.mean_ab) / (len(scored) - 1), read_picture(photo.path, size)
        in_mean = PhotoColours.of(painted(codes, mean.astype(np.float32)), codes)
        return replace(photo, scores=photo.scores | {MEAN: in_mean})

    return list(worked_ahead(score, iter(scored), _THREADS))


def true_classes(
    lab: Float[ndarray, "3 H W"], palette: Palette, size: tuple[int, int]
) -> Int64[ndarray, "h w"]:
    """Shrink a picture in Lab to `size` (height, width) by means over areas, and return its classes."""
    small = pool(lab, size)
    if palette.space != "ab":
        return palette.encode((lab_to_srgb(small) * 255).round().astype(np.uint8)).astype(np.int64)
    from scipy.spatial import KDTree  # half a second to import, as scipy is elsewhere

    _, nearest = KDTree(palette.colours).query(small[1:].reshape(2, -1).T.astype(np.float64))
    return nearest.astype(np.int64).reshape(size)


def colour_picture(
    codes: Picture, path: Path, model: Colouriser, options: ColouriseOptions
) -> tuple[Picture, Picture, Prediction]:
    """Return a picture left grey, the same coloured by a network that saw only that, and its prediction."""
    grey = painted(codes, np.zeros((2, 1, 1), np.float32))
    prediction = predict(photo_of_codes(channels_last(grey), path), model)
    return grey, painted(codes, prediction.chroma(options.temperature, options.saturation)), prediction


def read_picture(path: Path, size: int) -> Picture:
    """Return a photo as it is measured: upright, sRGB, its short side `size` pixels or fewer."""
    photo = open_photo(path)
    return np.ascontiguousarray(read_view(photo, WHOLE, *shrunk_size(*photo.upright_size, size)))


def painted(codes: Picture, chroma: Float[ndarray, "2 h w"]) -> Picture:
    """Return a picture with its own luminance and this chroma, as colourising would write it in 8 bit."""
    _, height, width = codes.shape
    strips = iter([channels_last(codes)])
    (coloured,) = paint(strips, chroma, (height, width), alpha=False, drift=LightnessDrift())
    return np.moveaxis(coloured, -1, 0)


def _photos_of(source: str) -> tuple[list[Path], list[Failure]]:
    """Return the photos in a folder and below it, and the folders that cannot be searched."""
    folder = require_source_folder(source)
    if not folder.is_dir():
        found = "a file" if folder.exists() else "not there"
        raise DataError(f"needed a folder of colour photos, {folder} is {found}")
    photos, failed = find_photos([str(folder)], recursive=True)
    if not photos and failed:
        raise DataError(failed[0].error)
    return sorted(photo.path for photo in photos), failed
