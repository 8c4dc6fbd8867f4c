"""Photos of any size segmented: one forward pass for all heads, and masks written a few rows at a time.

Rows are those of the photo's file, with its EXIF orientation: viewers turn mask and photo alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from numpy import ndarray

from pixelwise.colour.arrays import Shaped, UInt8
from pixelwise.errors import ConfigError, PhotoError
from pixelwise.labels.class_names import BACKGROUND, ClassNames
from pixelwise.labels.write import write_mask, write_probabilities
from pixelwise.network.backbone import Backbone
from pixelwise.network.config import SegmentOptions
from pixelwise.photos.find import InputPhoto, find_photos
from pixelwise.photos.outputs import OutputPaths, PhotoResult, PhotoResults
from pixelwise.photos.overlay import Tint, cut_out, overlay
from pixelwise.photos.paint import Strip
from pixelwise.photos.photo import Photo, open_photo
from pixelwise.photos.read_ahead import Ahead, worked_ahead
from pixelwise.photos.write import losses, output_suffix, write_photo
from pixelwise.segmenting.extraction import Extractor, read_photo
from pixelwise.segmenting.heads import Head
from pixelwise.segmenting.linear_head import EnlargedLogits

_MASK, _OVERLAY, _PROBABILITIES, _CUT = ".png", ".overlay", ".probabilities.tif", ".cut.png"  # how names end
_STRIP_NUMBERS = 2**18  # pixels, times classes where all are held
_STRIPS_AHEAD = 4
_MOST_AT_ONCE = 8_000_000  # pixels that a network may see whole; large ones need gigabytes for these


@dataclass(frozen=True, kw_only=True)
class SegmentedPhoto(PhotoResult):
    """A photo that was segmented; `paths` are its masks, one for each head."""

    overlays: tuple[Path, ...] = ()
    probabilities: tuple[Path, ...] = ()
    cut_outs: tuple[Path, ...] = ()


SegmentResult = PhotoResults[SegmentedPhoto]
"""The results of many photos."""


def segment_files(
    inputs: list[str],
    out: Path,
    heads: Sequence[Head],
    backbone: Backbone,
    options: SegmentOptions = SegmentOptions(),  # noqa: B008 - frozen
    recursive: bool = False,
) -> SegmentResult:
    """Write masks of files, folders and patterns of files into `out`; what fails is named, the rest done.

    A mask has its photo's name; with several heads there is one of each, with the head's name behind it. A
    single photo's mask may go to a file: `out` is one if it ends in .png and is no folder.
    Notes on a photo, or why it failed, are logged at once.

    Raises:
        CheckpointError: a head was learned on another backbone.
        ConfigError: there is no head, two have one name, or `out` is a file that does not end in .png; a
            head without background is to cut out.
        OutputError: `out` cannot be a folder or cannot be written to.
    """
    for head in heads if options.cut_out else ():
        if (first := head.classes.names[0]) != BACKGROUND:
            needed = f"heads whose first class is {BACKGROUND} to cut out what is not"
            raise ConfigError(f"needed {needed}, {head.name} has {first}; an overlay shows its classes")
    runner = HeadRunner(heads, backbone)
    start_s = time.perf_counter()
    photos, unfound = find_photos(inputs, recursive, leave_out=out)
    outputs = OutputPaths.prepare(out, inputs, photos, (_MASK,))
    result = SegmentResult(failed=unfound)
    begin, finish = partial(_read_one, runner, options), partial(_write_one, runner, options, outputs)
    result.do("segmenting", photos, begin, finish, outputs)
    result.add_remarks(inputs, out, recursive)
    result.seconds = time.perf_counter() - start_s
    return result


class HeadRunner:
    """Runs heads on photos, in one forward pass at each size for all on the same backbone."""

    def __init__(self, heads: Sequence[Head], backbone: Backbone) -> None:
        backbones = [head.apply_weights(backbone) for head in heads]
        made = {own: Extractor(own) for own in dict.fromkeys(backbones)}
        self.heads, self.endings = tuple(heads), _endings(heads)
        self._extractors = [made[own] for own in backbones]

    def __call__(self, photo: Photo) -> tuple[EnlargedLogits, ...]:
        """Return the enlarged logits of each head, rows as the photo's file has them."""
        pairs = list(zip(self.heads, self._extractors, strict=True))
        passes = tuple(dict.fromkeys((size, extractor) for head, extractor in pairs for size in head.sizes))

        def read(size_and_extractor: tuple[int, Extractor]) -> UInt8[ndarray, "3 _H _W"]:
            size, extractor = size_and_extractor
            return read_photo(photo, size, extractor.backbone.multiple)

        maps = {}
        images = worked_ahead(read, iter(passes), len(passes))
        for (size, extractor), image in zip(passes, images, strict=True):
            height, width = image.shape[1:]
            if extractor.backbone.margin is None and height * width > _MOST_AT_ONCE:
                raise PhotoError(
                    f"{photo.path}: {extractor.backbone.name} sees photos whole, and needed one of at most "
                    f"{_MOST_AT_ONCE / 1e6:g} megapixels as it reads it, got {height} x {width}; "
                    "use a head learned at a smaller size"
                )
            maps[size, extractor] = extractor(image)
        stored = photo.height, photo.width
        enlarged: list[EnlargedLogits] = []
        for head, extractor in pairs:
            levels = [level for size in head.sizes for level in maps[size, extractor]]
            enlarged += EnlargedLogits.of([head.weights], levels, stored, photo.as_stored)
        return tuple(enlarged)


def write_labels(target: Path, photo: Photo, logits: EnlargedLogits, classes: ClassNames) -> None:
    """Write the mask of a photo."""
    with closing(rows_of(photo, 1, logits.labels)) as strips:
        write_mask(target, strips, classes, photo.orientation)


def write_overlay(
    target: Path, photo: Photo, logits: EnlargedLogits, classes: ClassNames, opacity: float
) -> None:
    """Write a copy of a photo with classes laid over it, in the format of the target's suffix."""
    with closing(photo.strips()) as strips:
        write_photo(target, overlay_strips(strips, photo, logits, classes, opacity), photo)


def overlay_strips(
    strips: Iterator[Strip], photo: Photo, logits: EnlargedLogits, classes: ClassNames, opacity: float
) -> Iterator[Strip]:
    """Return a photo's strips with classes laid over them; a class 0 called background stays clear."""
    tint = Tint(classes.colours, opacity, first_is_clear=classes.names[0] == BACKGROUND)
    size = photo.height, photo.width
    return overlay(strips, logits.labels, size, photo.alpha, tint)


def write_cut_out(target: Path, photo: Photo, logits: EnlargedLogits) -> None:
    """Write a copy of a photo as PNG, transparent where class 0 is."""
    with closing(photo.strips()) as strips:
        cut = cut_out(strips, logits.labels, photo.alpha)
        write_photo(target, cut, photo)


def _endings(heads: Sequence[Head]) -> list[str]:
    names = [Path(head.name).stem.removesuffix(".head") for head in heads]
    if not names:
        raise ConfigError("needed a head, got none; name one that is shipped, or the file of one")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f"needed heads of different names, got {twice} twice; rename the file of one")
    return [f".{name}" for name in names] if len(names) > 1 else [""]


def segment_photo(
    runner: HeadRunner, options: SegmentOptions, found: InputPhoto, outputs: OutputPaths
) -> SegmentedPhoto:
    """Write the masks of one photo, and what else was asked for, to paths that are claimed for it.

    PhotoError or OutputError where the photo is damaged, or a result cannot be written or named.
    """
    return _write_one(runner, options, outputs, found, _read_one(runner, options, found))


def _read_one(
    runner: HeadRunner, options: SegmentOptions, found: InputPhoto
) -> tuple[Photo, tuple[EnlargedLogits, ...]]:
    photo = open_photo(found.path, options.max_megapixels)
    return photo, runner(photo)


def _write_one(
    runner: HeadRunner,
    options: SegmentOptions,
    outputs: OutputPaths,
    found: InputPhoto,
    read: tuple[Photo, tuple[EnlargedLogits, ...]],
) -> SegmentedPhoto:
    def claim(ending: str, wanted: bool = True) -> tuple[Path, ...]:
        return tuple(outputs.claim(found, name + ending) for name in runner.endings) if wanted else ()

    photo, enlarged = read
    suffix, note = output_suffix(photo)
    masks = claim(_MASK)
    overlays = claim(_OVERLAY + suffix.lower(), options.overlay)
    probabilities = claim(_PROBABILITIES, options.probabilities)
    cut_outs = claim(_CUT, options.cut_out)
    notes = [*photo.notes]
    if options.overlay:
        notes += [*filter(None, [note]), *losses(photo, suffix)]
    # What was not asked for has no paths. Masks come last: one that is there says that all is.
    of_heads = [head.classes for head in runner.heads]
    for path, logits, classes in zip(overlays, enlarged, of_heads, strict=False):
        write_overlay(path, photo, logits, classes, options.opacity)
    for path, logits, classes in zip(probabilities, enlarged, of_heads, strict=False):
        with closing(rows_of(photo, classes.num_classes, logits.probs)) as strips:
            write_probabilities(path, strips, classes, (photo.height, photo.width), photo.orientation)
    for path, logits in zip(cut_outs, enlarged, strict=False):
        write_cut_out(path, photo, logits)
    for path, logits, classes in zip(masks, enlarged, of_heads, strict=True):
        write_labels(path, photo, logits, classes)
    return SegmentedPhoto(
        paths=masks,
        megapixels=photo.megapixels,
        notes=tuple(notes),
        overlays=overlays,
        probabilities=probabilities,
        cut_outs=cut_outs,
    )


def rows_of(
    photo: Photo, num_channels: int, read: Callable[[int, int], Shaped[ndarray, "*_channels _num _W"]]
) -> Ahead[Shaped[ndarray, "*_channels _num _W"]]:
    """Return what `read` gives of the rows from a first one, strip by strip, ahead of their use."""
    num = max(1, _STRIP_NUMBERS // (photo.width * num_channels))
    starts = range(0, photo.height, num)
    return Ahead((read(row, min(num, photo.height - row)) for row in starts), _STRIPS_AHEAD)
