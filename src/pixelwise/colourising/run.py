"""Photos of any size and kind, coloured: the network looks at a small picture, the photo keeps its luminance.

Chroma is enlarged and joined with the photo's own luminance, strip by strip.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from pixelwise.colourising.likeliest import likeliest, require_top_k, write_likeliest
from pixelwise.colourising.next_hint import NextHint
from pixelwise.colourising.options import ColouriseOptions
from pixelwise.colourising.prediction import LogitsFn, Prediction, controlled, predict
from pixelwise.colourising.reference import Reference
from pixelwise.colourising.warnings import photo_warnings
from pixelwise.errors import ConfigError
from pixelwise.network.device import ONE_THREAD
from pixelwise.network.runs import Model
from pixelwise.photos.find import Failure, InputPhoto, find_photos, is_folder
from pixelwise.photos.outputs import OutputPaths, PhotoResult, PhotoResults
from pixelwise.photos.paint import LightnessDrift, Strip, paint
from pixelwise.photos.photo import Photo, open_photo
from pixelwise.photos.provenance import Record, record_of, recorded
from pixelwise.photos.read_ahead import Ahead
from pixelwise.photos.write import WRITABLE, losses, output_suffix, write_map, write_photo
from pixelwise.progress import progress

_MAP, _TOP = ".confidence.png", ".top.safetensors"  # how the names end of what lies beside a photo


@dataclass(frozen=True, kw_only=True)
class Coloured(PhotoResult):
    """One photo that was coloured; `path` is the coloured copy."""

    lightness_difference: float
    """Mean absolute difference of L between the photo and its copy, before the format's own losses."""
    hints: tuple[NextHint, ...] = ()
    """Points whose true colours would tell most, where they were asked for."""
    warnings: tuple[str, ...] = ()
    """Those of the notes that give reason to doubt the colours."""
    in_colour: Path | None = None
    """The photo, if it had colours of its own, and not of ours."""


@dataclass
class Colourised(PhotoResults[Coloured]):
    """The results of many photos."""

    @property
    def lightness_difference(self) -> float:
        """Mean absolute difference of L over all pixels written."""
        return sum(one.lightness_difference * one.megapixels for one in self.written) / max(
            self.megapixels, 1e-9
        )


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
    options: ColouriseOptions = ColouriseOptions(),  # noqa: B008 - frozen
    recursive: bool = False,
    on_result: Callable[[Coloured | Failure], None] = lambda _result: None,
) -> Colourised:
    """Colour files, folders and patterns of files into the folder `out`; what fails is named, the rest done.

    A single photo may go to a file, in the format that its name asks for: `out` is one if it ends like a
    photo and is no folder. Of alternatives the first is NAME.1.SUFFIX, and so on. `on_result` is
    called with each photo as soon as it is done or has failed.

    Raises:
        ConfigError: `out` is a file of a format that cannot be written; there are hints, which are points of
            one photo, and more inputs than that; the reference cannot be read or is grey.
        OutputError: `out` cannot be a folder or cannot be written to.
    """
    if options.top_k:
        require_top_k(options.top_k, model.palette)
    start_s = time.perf_counter()
    photos, unfound = find_photos(inputs, recursive, leave_out=out)
    if options.hints and (is_folder(inputs[0]) or len(photos) > 1):
        raise ConfigError(f"needed a single photo, whose points the hints are, got {' '.join(inputs)}")
    reference = None
    if options.reference:
        reference = Reference.read(options.reference, model.palette, options.max_megapixels)
    also_read = [options.reference] if options.reference else []
    outputs = OutputPaths.prepare(out, inputs, photos, WRITABLE, also_read)
    colour = colouriser(model, options, reference)
    result = Colourised()
    with progress("colouring", len(photos)) as advance:
        for failure in unfound:
            result.add(failure, on_result)
        for photo in photos:
            try:
                with outputs.undone_on_failure(photo):
                    coloured = colour(photo, outputs)
            except Exception as error:  # whatever one photo does to a library, the others are coloured
                result.add(Failure.of(photo.path, error), on_result)
            else:
                result.add(coloured, on_result)
            advance(1, photo.path.name)
    result.add_remarks(inputs, out, recursive)
    result.remarks += _remarks(result.written)
    result.seconds = time.perf_counter() - start_s
    return result


def colouriser(
    model: Model,
    options: ColouriseOptions = ColouriseOptions(),  # noqa: B008 - frozen
    reference: Reference | None = None,
    logits_fn: LogitsFn | None = None,
) -> Callable[[InputPhoto, OutputPaths], Coloured]:
    """Return a function that colours one photo, to paths that it claims; `logits_fn` as `predict` takes it.

    It raises PhotoError where the photo is damaged, OutputError where its copy cannot be written or named.
    """
    return lambda found, outputs: _colourise_found(found, outputs, model, options, reference, logits_fn)


def _colourise_found(
    found: InputPhoto,
    outputs: OutputPaths,
    model: Model,
    options: ColouriseOptions,
    reference: Reference | None,
    logits_fn: LogitsFn | None,
) -> Coloured:
    photo = open_photo(found.path, options.max_megapixels)
    suffix, note = (outputs.out.suffix, "") if outputs.single_file else output_suffix(photo)
    num = options.alternatives
    endings = [suffix] if num == 1 else [f".{index}{suffix}" for index in range(1, num + 1)]
    paths = tuple(outputs.claim(found, ending) for ending in endings)
    drifts: list[LightnessDrift] = []
    with closing(photo.strips()) as strips:  # read while the network looks at the photo
        guessed = predict(photo, model, logits_fn)
        versions = controlled(photo, guessed, options, reference)
        _write_beside(photo, versions[0], found, outputs, options)
        for index, (path, version) in enumerate(zip(paths, versions, strict=True), 1):
            copy, remark = with_record(photo, model, options, suffix, index)
            chroma = version.chroma(options.temperature, options.saturation)
            drifts.append(colourise_photo(copy, path, chroma, None if drifts else strips))
    warnings = _warnings(photo, versions[0], options, drifts[0])
    known = versions[0].known
    of_the_file = (*photo.notes, note, *losses(photo, suffix))
    notes = (*of_the_file, *(known.notes if known else ()), remark, *warnings)
    return Coloured(
        paths=paths,
        megapixels=photo.megapixels,
        lightness_difference=sum(drift.mean for drift in drifts) / num,
        notes=tuple(one for one in notes if one),
        hints=tuple(versions[0].next_hints(photo, options.num_hints)) if options.num_hints else (),
        warnings=warnings,
        in_colour=photo.path if guessed.in_colour and record_of(photo) is None else None,
    )


def _write_beside(
    photo: Photo, prediction: Prediction, found: InputPhoto, outputs: OutputPaths, options: ColouriseOptions
) -> None:
    """What was asked for beside the copy: a map of confidence, the likeliest colours."""
    if options.confidence:
        write_map(outputs.claim(found, _MAP), prediction.confidence(), photo)
    if options.top_k:
        upright = likeliest(photo.upright(prediction.known_logits()), prediction.palette, options.top_k)
        write_likeliest(outputs.claim(found, _TOP), upright)


def _remarks(written: list[Coloured]) -> Iterator[str]:
    """What is to be known of many photos, each of which a line of its own would hide in others."""
    num = len(written)
    if in_colour := [one.in_colour for one in written if one.in_colour]:
        such = f"such as {in_colour[0]}; " if num > 1 else ""
        were = f"{len(in_colour)} of {num} photos were" if num > 1 else f"{in_colour[0]} was"
        yield f"{were} in colour already, {such}the copies have guessed colours in place of their own"
    num_warned = sum(bool(one.warnings) for one in written)
    if num_warned and num > 1:
        yield f"{num_warned} of {num} photos came with a warning: look at these first"


def with_record(
    photo: Photo, model: Model, options: ColouriseOptions, suffix: str, index: int = 1
) -> tuple[Photo, str]:
    """The photo with what its copy is to say of its colours, and a remark where it cannot.

    `suffix` is that of the copy's format; `index` says which of the alternatives it is, from 1.
    """
    if not options.provenance:
        return photo, ""
    which = {"alternative": index} if options.alternatives > 1 else {}
    settings = options.colour_settings() | which
    record = Record(model=model.name, model_sha256=model.checksum, settings=settings)
    return recorded(photo, record, suffix)


def _warnings(
    photo: Photo, prediction: Prediction, options: ColouriseOptions, drift: LightnessDrift
) -> tuple[str, ...]:
    """Reasons to doubt the colours of a photo."""
    reasons = []
    if earlier := record_of(photo):
        reasons.append(f"was colourised already, by {earlier.software} with {earlier.model}")
    logits, known, short_side = prediction.logits, prediction.known, min(photo.width, photo.height)
    guess = replace(prediction, known=None).chroma(options.temperature)  # saturation 0 may be meant
    left = None if known is None else 1 - known.share_at(logits.shape[1:])
    reasons += photo_warnings(logits, guess, prediction.palette, drift.tones, short_side, left)
    return tuple(f"{photo.path}: warning: {one}" for one in reasons)
