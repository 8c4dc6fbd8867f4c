"""Photos of any size segmented: one forward pass for all heads, a class for each pixel from each.

The network reads a photo at the sizes that the heads were learned at. The heads' logits are small; they are
enlarged to the photo's own size a few rows at a time, so that memory does not grow with the photo. Rows are
those of the photo's file, with its EXIF orientation: viewers turn mask and photo alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch

from pixelwise.errors import ConfigError, PhotoError
from pixelwise.labels.class_names import BACKGROUND, ClassNames
from pixelwise.labels.write import write_mask, write_probabilities
from pixelwise.network.backbones.backbone import Backbone
from pixelwise.network.config import SegmentOptions
from pixelwise.network.device import ONE_THREAD
from pixelwise.photos.find import Failure, InputPhoto, find_photos
from pixelwise.photos.outputs import OutputPaths, PhotoResult, PhotoResults
from pixelwise.photos.overlay import Tint, cut_out, overlay
from pixelwise.photos.photo import Photo, open_photo
from pixelwise.photos.read_ahead import Ahead, worked_ahead
from pixelwise.photos.write import losses, output_suffix, write_photo
from pixelwise.progress import progress
from pixelwise.segmenting.enlarge import Enlarged
from pixelwise.segmenting.extraction import Extractor, read_photo
from pixelwise.segmenting.heads import Head

_MASK, _OVERLAY, _PROBABILITIES, _CUT = ".png", ".overlay", ".probabilities.tif", ".cut.png"  # how names end
_STRIP_NUMBERS = 2**18  # pixels, times classes where all are held
_STRIPS_AHEAD = 4
_MOST_AT_ONCE = 8_000_000  # pixels that a network may see whole; large ones need gigabytes for these
_CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class CutOut(PhotoResult):
    """One photo that was segmented; `paths` are its masks, one for each head."""

    overlays: tuple[Path, ...] = ()
    probabilities: tuple[Path, ...] = ()
    cut_outs: tuple[Path, ...] = ()


@dataclass
class Segmented(PhotoResults[CutOut]):
    """The results of many photos."""

    @property
    def masks(self) -> list[Path]:
        """Masks of all photos and heads."""
        return [path for one in self.written for path in one.paths]


def segment(
    inputs: list[str],
    out: Path,
    heads: Sequence[Head],
    backbone: Backbone,
    options: SegmentOptions = SegmentOptions(),  # noqa: B008 - frozen
    recursive: bool = False,
    on_result: Callable[[CutOut | Failure], None] = lambda _result: None,
    device: torch.device = _CPU,
) -> Segmented:
    """Write masks of files, folders and patterns of files into `out`; what fails is named, the rest done.

    A mask is called as its photo is; with several heads, each with a mask of its own, the head's name comes
    behind. A single photo's mask may go to a file: `out` is one if it ends in .png and is no folder.
    `on_result` is called with each photo as soon as it is done or has failed.

    Raises:
        CheckpointError: a head was learned on another backbone.
        ConfigError: there is no head, two have one name, or `out` is a file that does not end in .png; a
            head without background is to cut out.
        OutputError: `out` cannot be a folder or cannot be written to.
    """
    cut = segmenter(heads, backbone, options, device)
    start_s = time.perf_counter()
    photos, unfound = find_photos(inputs, recursive, leave_out=out)
    outputs = OutputPaths.prepare(out, inputs, photos, (_MASK,))
    result = Segmented()
    with progress("segmenting", len(photos)) as advance:
        for failure in unfound:
            result.add(failure, on_result)
        for photo in photos:
            try:
                with outputs.undone_on_failure(photo):
                    segmented = cut(photo, outputs)
            except Exception as error:  # whatever one photo does to a library, the others are segmented
                result.add(Failure.of(photo.path, error), on_result)
            else:
                result.add(segmented, on_result)
            advance(1, photo.path.name)
    result.add_remarks(inputs, out, recursive)
    result.seconds = time.perf_counter() - start_s
    return result


def segmenter(
    heads: Sequence[Head],
    backbone: Backbone,
    options: SegmentOptions = SegmentOptions(),  # noqa: B008 - frozen
    device: torch.device = _CPU,
) -> Callable[[InputPhoto, OutputPaths], CutOut]:
    """Return a function that segments one photo, to paths that it claims.

    It raises PhotoError where the photo is damaged, OutputError where its mask cannot be written or named.

    Raises:
        CheckpointError: a head was learned on another backbone.
        ConfigError: there is no head, two have one name, or a head without background is to cut out.
    """
    if options.cut_out and (without := [head for head in heads if head.classes.names[0] != BACKGROUND]):
        raise ConfigError(
            f"needed heads whose first class is {BACKGROUND} to cut out what is not, {without[0].name} has "
            f"{without[0].classes.names[0]}; an overlay shows its classes"
        )
    named = dict(zip(_endings(heads), heads, strict=True))
    look = Look(heads, backbone, device)
    return lambda found, outputs: _segment_found(found, outputs, named, look, options)


class Look:
    """Runs some heads on photos, with one forward pass at each size for all of them.

    A head with backbone weights of its own takes a forward pass of its own.

    Raises:
        CheckpointError: a head was learned on another backbone.
    """

    def __init__(self, heads: Sequence[Head], backbone: Backbone, device: torch.device = _CPU) -> None:
        dressed = [head.dress(backbone) for head in heads]
        made = {own: Extractor(own, device=device) for own in dict.fromkeys(dressed)}
        self.heads = tuple(heads)
        self._extractors = [made[own] for own in dressed]

    def __call__(self, photo: Photo) -> tuple[Enlarged, ...]:
        """Return the enlarged logits of each head, rows as the photo's file has them.

        Raises:
            PhotoError: the file is damaged or cut short, or has to be seen whole and is too large for that.
        """
        pairs = list(zip(self.heads, self._extractors, strict=True))
        passes = tuple(dict.fromkeys((size, own) for head, own in pairs for size in head.sizes))
        images = worked_ahead(
            lambda one: read_photo(photo, one[0], one[1].backbone.multiple), iter(passes), len(passes)
        )
        maps = {}
        for (size, own), image in zip(passes, images, strict=True):
            height, width = image.shape[1:]
            if own.backbone.margin is None and height * width > _MOST_AT_ONCE:
                raise PhotoError(
                    f"{photo.path}: {own.backbone.name} sees photos whole, and needed one of at most "
                    f"{_MOST_AT_ONCE / 1e6:g} megapixels as it reads it, got {height} x {width}; "
                    "use a head learned at a smaller size"
                )
            maps[size, own] = own(image)
        stored = photo.height, photo.width
        return tuple(
            Enlarged(
                head.weights, [one for size in head.sizes for one in maps[size, own]], stored, photo.as_stored
            )
            for head, own in pairs
        )


def write_labels(target: Path, photo: Photo, logits: Enlarged, classes: ClassNames) -> None:
    """Write the mask of a photo.

    Raises:
        OutputError: the mask cannot be written.
    """
    spans = _spans(photo, max(1, _STRIP_NUMBERS // photo.width))
    labels = (logits.labels(first, num).numpy() for first, num in spans)
    with ONE_THREAD, closing(Ahead(labels, _STRIPS_AHEAD)) as strips:
        write_mask(target, strips, classes, photo.orientation)


def write_probs(target: Path, photo: Photo, logits: Enlarged, classes: ClassNames) -> None:
    """Write the probability of each class at each pixel of a photo.

    Raises:
        OutputError: the file cannot be written.
    """
    spans = _spans(photo, max(1, _STRIP_NUMBERS // (photo.width * classes.num_classes)))
    probs = (logits.probs(first, num).numpy() for first, num in spans)
    with ONE_THREAD, closing(Ahead(probs, _STRIPS_AHEAD)) as strips:
        write_probabilities(target, strips, classes, (photo.height, photo.width), photo.orientation)


def write_overlay(target: Path, photo: Photo, logits: Enlarged, classes: ClassNames, opacity: float) -> None:
    """Write a copy of a photo with classes laid over it, in the format of the target's suffix.

    A class 0 that is called background is not tinted.

    Raises:
        PhotoError: the photo is damaged or cut short.
        OutputError: the copy cannot be written.
    """
    tint = Tint(classes.colours, opacity, first_is_clear=classes.names[0] == BACKGROUND)
    size = photo.height, photo.width
    with ONE_THREAD, closing(photo.strips()) as strips:
        painted = overlay(
            strips, lambda first, num: logits.labels(first, num).numpy(), size, photo.alpha, tint
        )
        write_photo(target, painted, photo)


def write_cut_out(target: Path, photo: Photo, logits: Enlarged) -> None:
    """Write a copy of a photo as PNG, transparent where class 0 is.

    Raises:
        PhotoError: the photo is damaged or cut short.
        OutputError: the copy cannot be written.
    """
    with ONE_THREAD, closing(photo.strips()) as strips:
        cut = cut_out(strips, lambda first, num: logits.labels(first, num).numpy(), photo.alpha)
        write_photo(target, cut, photo)


def _endings(heads: Sequence[Head]) -> list[str]:
    """Return the endings of each head's files behind the photo's name."""
    names = [Path(head.name).stem.removesuffix(".head") for head in heads]
    if not names:
        raise ConfigError("needed a head, got none; name one that is shipped, or the file of one")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f"needed heads of different names, got {twice} twice; rename the file of one")
    return [f".{name}" for name in names] if len(names) > 1 else [""]


def _segment_found(
    found: InputPhoto,
    outputs: OutputPaths,
    heads: dict[str, Head],
    forward: Callable[[Photo], Sequence[Enlarged]],
    options: SegmentOptions,
) -> CutOut:
    photo = open_photo(found.path, options.max_megapixels)
    notes = list(photo.notes)
    masks = [outputs.claim(found, ending + _MASK) for ending in heads]
    overlays, probabilities, cut_outs = [], [], []
    if options.overlay:
        suffix, note = output_suffix(photo)
        notes += [*([note] if note else []), *losses(photo, suffix)]
        overlays = [outputs.claim(found, ending + _OVERLAY + suffix.lower()) for ending in heads]
    if options.probabilities:
        probabilities = [outputs.claim(found, ending + _PROBABILITIES) for ending in heads]
    if options.cut_out:
        cut_outs = [outputs.claim(found, ending + _CUT) for ending in heads]
    logits = forward(photo)
    # What was not asked for has no targets. Masks come last: one that is there says that all is.
    all_classes = [head.classes for head in heads.values()]
    for target, one, classes in zip(overlays, logits, all_classes, strict=False):
        write_overlay(target, photo, one, classes, options.opacity)
    for target, one, classes in zip(probabilities, logits, all_classes, strict=False):
        write_probs(target, photo, one, classes)
    for target, one in zip(cut_outs, logits, strict=False):
        write_cut_out(target, photo, one)
    for target, one, classes in zip(masks, logits, all_classes, strict=True):
        write_labels(target, photo, one, classes)
    return CutOut(
        paths=tuple(masks),
        megapixels=photo.megapixels,
        notes=tuple(notes),
        overlays=tuple(overlays),
        probabilities=tuple(probabilities),
        cut_outs=tuple(cut_outs),
    )


def _spans(photo: Photo, num_rows: int) -> Iterator[tuple[int, int]]:
    """Return first row and number of rows of each strip."""
    return ((row, min(num_rows, photo.height - row)) for row in range(0, photo.height, num_rows))
