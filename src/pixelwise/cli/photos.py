"""The verbs on photos, and what the batch takes from them: colourise, segment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter, Token

from pixelwise.cli.common import OUT, Common, Outcome, Weights, say
from pixelwise.colourising.options import Area, ColouriseOptions, Hint, parse_area
from pixelwise.network.config import SegmentOptions

if TYPE_CHECKING:  # verbs import them when they are called
    from pixelwise.colourising.run import Colourised
    from pixelwise.photos.outputs import PhotoResults

Recursive = Annotated[bool, Parameter(help="Search folders' subfolders, too, and keep them below OUT.")]


def _several(parse: Callable[[str], Any]) -> Parameter:
    """Return an option that may be given several times, each time as one text."""

    def convert(_type: Any, tokens: Sequence[Token]) -> tuple[Any, ...]:
        return tuple(parse(token.value) for token in tokens)

    return Parameter(converter=convert, n_tokens=1, accepts_keys=False)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class _Options(ColouriseOptions):
    """Options of the verb: those of the job, some under other names."""

    model: str | None = None
    """A shipped model's name, a run's folder or a model file, also another's colouriser as ONNX; the shipped
    default if not given."""
    provenance: Annotated[bool, Parameter(negative="--no-provenance")] = True
    hints: Annotated[tuple[Hint, ...], Parameter(name="--hint"), _several(Hint.parse)] = ()
    """The colour of one pixel of a single photo, as row,column,#rrggbb, counted from 0 in the photo as it is
    displayed; may be given several times. It spreads to what is alike in lightness and connected, and neither
    temperature nor saturation change it."""
    keep_grey: Annotated[tuple[Area, ...], _several(parse_area)] = ()
    """What stays as it is, several times if need be: paper, for mounts, borders and pages with their writing;
    likely, for what is more likely grey than not; or a box as top,left,bottom,right."""
    num_hints: Annotated[int, Parameter(name="--suggest-hints")] = 0
    """Name N points, spread over the photo, whose true colours would help most, with the likeliest colours
    there and the share of all doubt that the point settles."""


def colourise(
    inputs: list[str],
    /,
    *,
    out: Annotated[Path, OUT],
    options: _Options = _Options(),
    recursive: Recursive = False,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Outcome:
    """Colour photos: same size, same name, same lightness, their metadata kept.

    JPEG, PNG, TIFF, WebP and AVIF keep their format, 8 or 16 bit and alpha; GIF, HEIC, BMP and others become
    PNG. What cannot be coloured is named, and the rest is done.

    Parameters
    ----------
    inputs
        Photos, folders of photos, or patterns such as 'scans/*.tif'.
    out
        Folder for the coloured photos; for a single photo also a file, whose name decides the format.
        What an earlier run left there of the same name is replaced.
    """
    from pixelwise.colourising.run import colourise_files
    from pixelwise.network.model import DEFAULT_MODEL, open_model

    opened = open_model(options.model or DEFAULT_MODEL, common.device)
    result = colourise_files(inputs, out, opened, options, recursive)
    warned = [photo for photo in result.written if photo.warnings]
    hints, lines = _suggested_hints(result)
    values = {
        "lightness_difference": result.lightness_difference,
        "warned": [{"path": str(photo.path), "warnings": photo.warnings} for photo in warned],
        "hints": hints,
    }
    moved = f"; lightness differs by {result.lightness_difference:.2f} of 100 on average"
    return _outcome(result, out, "coloured", values, common, moved, lines)


def _suggested_hints(result: Colourised) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the hints of each photo that has some: as values, and as lines to read."""
    values, lines = [], []
    for photo in (photo for photo in result.written if photo.hints):
        points = [{"hint": hint.argument} | asdict(hint) for hint in photo.hints]
        values.append({"path": str(photo.path), "points": points})
        lines.append(f"{photo.path}: the true colours here would help most:")
        for hint in photo.hints:
            first, *others = hint.colours
            perhaps = ", ".join(f"{other.colour} ({other.chance:.0%})" for other in others)
            lines.append(
                f"  --hint {hint.argument}   settles {hint.cut:.0%} of all doubt;"
                f" guessed by {first.chance:.0%}{', or ' + perhaps if perhaps else ''}"
            )
    return values, lines


def segment(
    inputs: list[str],
    /,
    *,
    head: list[str],
    out: Annotated[Path, OUT],
    options: Annotated[SegmentOptions, Parameter(name="*")] = SegmentOptions(),  # noqa: B008 - frozen
    recursive: Recursive = False,
    weights: Weights = None,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Outcome:
    """Give each pixel of photos a class: masks of the photos' own size, NAME.png for each NAME.

    A mask is a PNG that holds class numbers and shows them in the classes' colours, turned on display as its
    photo is. What cannot be read is named, and the rest is done.

    Parameters
    ----------
    inputs
        Photos, folders of photos, or patterns such as 'scans/*.tif'.
    head
        A shipped head's name, or a file that finetune wrote. Given several times, the network runs once, and
        masks are called NAME.HEAD.png.
    out
        Folder for the masks; for a single photo also a file that ends in .png. What an earlier run left
        there of the same name is replaced.
    """
    from pixelwise.network.backbone import open_backbone
    from pixelwise.segmenting.heads import open_head
    from pixelwise.segmenting.run import segment_files

    heads = [open_head(name) for name in head]
    backbone = open_backbone(heads[0].backbone, weights, common.device)
    result = segment_files(inputs, out, heads, backbone, options, recursive)
    values = {
        name: [str(path) for photo in result.written for path in getattr(photo, name)]
        for name in ("overlays", "probabilities", "cut_outs")
    }
    return _outcome(result, out, "segmented", values, common)


def _outcome(
    result: PhotoResults[Any],
    out: Path,
    done: str,
    values: dict[str, Any],
    common: Common,
    detail: str = "",
    lines: Sequence[str] = (),
) -> Outcome:
    """Sum up a batch whose photos are `done`, such as coloured; remarks on all of them are printed now."""
    for remark in result.remarks:
        say(remark, quiet=common.quiet)
    written = result.written
    summary = f"no photo was {done}"
    if written:
        place = written[0].path if len(written) == 1 else out
        photos = "1 photo" if len(written) == 1 else f"{len(written)} photos"
        summary = f"{photos} {done} in {result.seconds:.1f} s into {place}{detail}"
    if result.failed:
        summary += f"; {len(result.failed)} failed"
    shared = {
        "written": [str(path) for photo in written for path in photo.paths],
        "failed": [{"path": str(failure.path), "error": failure.error} for failure in result.failed],
        "megapixels": result.megapixels,
        "seconds": result.seconds,
        "remarks": [*(note for photo in written for note in photo.notes), *result.remarks],
    }
    return Outcome(
        values=shared | values, message="\n".join([*lines, summary]), num_failed=len(result.failed)
    )
