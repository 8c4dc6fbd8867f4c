"""Photos of any size, coloured: find, open, predict, apply what the user knows, paint, write, report.

The network reads a small copy. Its chroma is enlarged and joined with the photo's luminance, strip by strip.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy import ndarray

from pixelwise.colour.arrays import Float, Float32, Int
from pixelwise.colour.palette import Palette
from pixelwise.colourising.next_hint import NextHint
from pixelwise.colourising.options import ColouriseOptions
from pixelwise.colourising.prediction import Forward, Prediction, apply_options, predict, require_possible
from pixelwise.colourising.reference import Reference
from pixelwise.errors import ConfigError
from pixelwise.network.model import Colouriser
from pixelwise.photos.find import InputPhoto, find_photos, is_folder
from pixelwise.photos.outputs import OutputPaths, PhotoResult, PhotoResults
from pixelwise.photos.paint import LightnessDrift, Strip, paint
from pixelwise.photos.photo import Photo, open_photo
from pixelwise.photos.provenance import Record, record_of, recorded
from pixelwise.photos.read_ahead import Ahead
from pixelwise.photos.resize import resize
from pixelwise.photos.write import WRITABLE, losses, output_suffix, write_map, write_photo

_MAP = ".confidence.png"  # how the name ends of what lies beside a photo

# Limits of warnings; each leaves at least 98 of 100 ordinary photos in peace (docs/log.md).
_GREY = 2.0  # mean chroma in Lab units: colours that nobody sees
_AVERAGED_AWAY = 2.0  # times the chroma of the result that its classes have, each by its probability
_GUESSED = 0.06  # mean confidence; 2 of 1,255 photos are under it
_UNIFORM = 3.0  # standard deviation of L
_BLACK, _WHITE = 10, 85  # L of ink, and of paper as scanners have it
_NO_GREY_FRAC = 0.8  # of pixels that are black or white
_TINY = 32  # pixels of the short side


@dataclass(frozen=True, kw_only=True)
class Coloured(PhotoResult):
    """One photo that was coloured; `path` is the coloured copy."""

    lightness_difference: float  # mean absolute difference of L, before the file format's own losses
    hints: tuple[NextHint, ...] = ()  # points whose true colours would help most, where they were asked for
    warnings: tuple[str, ...] = ()  # those of the notes that give reason to doubt the colours
    in_colour: Path | None = None  # the photo, if it had colours of its own, and not of ours

    @property
    def remarks(self) -> tuple[str, ...]:
        """Notes, and whether it was in colour already."""
        return (*self.notes, _was_in_colour(self.in_colour)) if self.in_colour else self.notes


@dataclass
class Colourised(PhotoResults[Coloured]):
    """The results of many photos."""

    @property
    def lightness_difference(self) -> float:
        """Mean absolute difference of L over all pixels written."""
        total = sum(photo.lightness_difference * photo.megapixels for photo in self.written)
        return total / max(self.megapixels, 1e-9)


def colourise_files(
    inputs: list[str],
    out: Path,
    model: Colouriser,
    options: ColouriseOptions = ColouriseOptions(),  # noqa: B008 - frozen
    recursive: bool = False,
) -> Colourised:
    """Colour files, folders and patterns of files into the folder `out`; what fails is named, the rest done.

    A single photo may go to a file, as for `OutputPaths.prepare`. Of alternatives the first is NAME.1.SUFFIX,
    and so on. Notes on a photo, or why it failed, are logged at once.

    Raises:
        ConfigError: hints, which are points of one photo, come with more inputs than that; the reference
            cannot be read or is grey; `out` is a file of a format that cannot be written; an option needs
            class probabilities, and the network gives none.
        OutputError: `out` cannot be a folder or cannot be written to.
    """
    start_s = time.perf_counter()
    require_possible(options, model)
    photos, unfound = find_photos(inputs, recursive, leave_out=out)
    if options.hints and (any(map(is_folder, inputs)) or len(photos) > 1):
        raise ConfigError(f"needed a single photo, whose points the hints are, got {' '.join(inputs)}")
    reference = None
    if options.reference:
        reference = Reference.read(options.reference, model.palette, options.max_megapixels)
    also_read = [options.reference] if options.reference else []
    outputs = OutputPaths.prepare(out, inputs, photos, WRITABLE, also_read)
    result = Colourised(failed=unfound)
    begin = partial(_predict_one, model=model, options=options)
    finish = partial(_paint_one, outputs=outputs, model=model, options=options, reference=reference)
    result.do("colouring", photos, begin, finish, outputs)
    result.add_remarks(inputs, out, recursive)
    result.remarks += _remarks(result.written)
    result.seconds = time.perf_counter() - start_s
    return result


def colourise_one(
    found: InputPhoto,
    outputs: OutputPaths,
    model: Colouriser,
    options: ColouriseOptions = ColouriseOptions(),  # noqa: B008 - frozen
    reference: Reference | None = None,
    forward: Forward | None = None,
) -> Coloured:
    """Colour a photo, to paths that it claims; `reference` is that of `options`, `forward` as in `predict`.

    PhotoError if it is damaged, OutputError where its copy cannot be written or named.
    """
    begun = _predict_one(found, model, options, forward)
    return _paint_one(found, begun, outputs, model, options, reference)


def _predict_one(
    found: InputPhoto, model: Colouriser, options: ColouriseOptions, forward: Forward | None = None
) -> tuple[Photo, Ahead[Strip], Prediction]:
    photo = open_photo(found.path, options.max_megapixels)
    strips = photo.strips()  # read while the network runs
    try:
        return photo, strips, predict(photo, model, forward)
    except BaseException:
        strips.close()
        raise


def _paint_one(
    found: InputPhoto,
    begun: tuple[Photo, Ahead[Strip], Prediction],
    outputs: OutputPaths,
    model: Colouriser,
    options: ColouriseOptions,
    reference: Reference | None,
) -> Coloured:
    photo, strips, prediction = begun
    drifts: list[LightnessDrift] = []
    with closing(strips):
        suffix, format_note = (outputs.out.suffix, "") if outputs.single_file else output_suffix(photo)
        num = options.alternatives
        endings = [suffix] if num == 1 else [f".{index}{suffix}" for index in range(1, num + 1)]
        paths = tuple(outputs.claim(found, ending) for ending in endings)
        versions = apply_options(photo, prediction, options, reference)
        if options.confidence:
            write_map(outputs.claim(found, _MAP), versions[0].confidence(), photo)
        for index, (path, version) in enumerate(zip(paths, versions, strict=True), 1):
            chroma = version.chroma(options.temperature, options.saturation)
            copy, record_note = with_record(photo, model, options, suffix, index)
            drifts.append(colourise_photo(copy, path, chroma, None if drifts else strips))
    usual = versions[0]
    known_notes = usual.known.notes if usual.known else ()
    hints = usual.next_hints(photo, options.num_hints) if options.num_hints else []
    earlier = record_of(photo)
    reasons = [f"was colourised already, by {earlier.software} with {earlier.model}"] if earlier else []
    short_side = min(photo.width, photo.height)
    reasons += photo_warnings(usual, options.temperature, drifts[0].tones, short_side)
    warnings = tuple(f"{photo.path}: warning: {reason}" for reason in reasons)
    notes = (*photo.notes, format_note, *losses(photo, suffix), *known_notes, record_note, *warnings)
    return Coloured(
        paths=paths,
        megapixels=photo.megapixels,
        lightness_difference=sum(drift.mean for drift in drifts) / num,
        notes=tuple(note for note in notes if note),
        hints=tuple(hints),
        warnings=warnings,
        in_colour=photo.path if prediction.in_colour and not earlier else None,
    )


def colourise_photo(
    photo: Photo, target: Path, chroma: Float32[ndarray, "2 h w"], strips: Ahead[Strip] | None = None
) -> LightnessDrift:
    """Write a coloured copy of a photo, and return how far L moved between the two.

    `chroma` (2, h, w) is any map of Lab a and b of the photo's shape. `strips` are the photo's own, where
    reading them has begun already. PhotoError if it is damaged, OutputError if the copy cannot be written.
    """
    drift = LightnessDrift()
    with closing(photo.strips() if strips is None else strips) as read:
        painted = paint(read, chroma, (photo.height, photo.width), photo.alpha, drift)
        write_photo(target, painted, photo)
    return drift


def with_record(
    photo: Photo, model: Colouriser, options: ColouriseOptions, suffix: str, index: int = 1
) -> tuple[Photo, str]:
    """Return the photo with a record for its copy, of format `suffix`, or else a remark on why not."""
    if not options.provenance:
        return photo, ""
    which = {"alternative": index} if options.alternatives > 1 else {}
    settings = options.colour_settings() | which
    facts = {"model": model.name, "model_sha256": model.checksum, "licence": model.licence}
    record = Record(**facts, settings=settings)
    return recorded(photo, record, suffix)


def photo_warnings(
    prediction: Prediction, temperature: float, tones: Int[ndarray, " L"], short_side: int
) -> list[str]:
    """Return reasons to doubt what was guessed, as predicates that follow the photo's name; mostly none.

    Saturation does not count; `tones` are numbers of pixels by L, in whole units.
    """
    warnings = []
    if short_side < _TINY:
        warnings.append(f"is only {short_side} pixels on its short side, too few to know what it shows")
    tone_frac = tones / max(1, tones.sum())
    units = np.arange(len(tone_frac))
    if tone_frac @ (units - tone_frac @ units) ** 2 < _UNIFORM**2:
        warnings.append("is nearly the same grey all over: there is nothing to know colours by")
    elif float(tone_frac[:_BLACK].sum() + tone_frac[_WHITE:].sum()) > _NO_GREY_FRAC:
        warnings.append(
            "is nearly all black and white, as pages and drawings are: models learn from photographs"
        )
    guess = replace(prediction, known=None)
    strength = np.linalg.norm(guess.chroma(temperature), axis=0)
    left = np.ones_like(strength)
    if prediction.known:
        left = 1 - resize(prediction.known.share, left.shape)
    if float(left.sum()) == 0:
        return warnings
    if guess.palette is not None:
        return warnings + _doubts(guess, guess.palette, _mean(strength, left), left)
    if _mean(strength, left) < _GREY:
        warnings.append(
            "came out nearly grey: if its network gives a and b in units of its own, its file's metadata may "
            "say them under ab_scale"
        )
    return warnings


def _doubts(guess: Prediction, palette: Palette, result: float, left: Float[ndarray, "h w"]) -> list[str]:
    """Return the reasons that probabilities give; `result` is the mean chroma where pixels are `left`."""
    doubts = []
    if _mean(guess.confidence(), left) < _GUESSED:
        doubts.append("is guessed at nearly everywhere: the model has seen little like it")
    class_chroma = np.linalg.norm(palette.class_chroma, axis=1)
    expected = np.einsum("khw,k->hw", guess.probs(), class_chroma)
    if result < _GREY and _mean(expected, left) > _AVERAGED_AWAY * result:
        doubts.append("came out nearly grey, since the likely colours cancel out: try a lower --temperature")
    return doubts


def _mean(values: Float[ndarray, "h w"], weights: Float[ndarray, "h w"]) -> float:
    return float((values * weights).sum() / weights.sum())


def _was_in_colour(photo: Path) -> str:
    return f"{photo} was in colour already; its copy has guessed colours in place of its own"


def _remarks(written: list[Coloured]) -> Iterator[str]:
    num = len(written)
    if in_colour := [photo.in_colour for photo in written if photo.in_colour]:
        if num == 1:
            yield _was_in_colour(in_colour[0])
        else:
            were = f"{len(in_colour)} of {num} photos were in colour already, such as {in_colour[0]}"
            yield f"{were}; the copies have guessed colours in place of their own"
    num_warned = sum(bool(photo.warnings) for photo in written)
    if num_warned and num > 1:
        yield f"{num_warned} of {num} photos came with a warning: look at these first"
