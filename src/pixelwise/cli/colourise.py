"""The verb that colours photos: colourise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter, Token

from pixelwise.cli.common import Common, Outcome
from pixelwise.cli.photos import Recursive, printable, report_photo, summary, values_of
from pixelwise.colourising.options import Area, ColouriseOptions, Hint, parse_area

if TYPE_CHECKING:  # its module imports torch
    from pixelwise.colourising.run import Colourised


def _several(parse: Callable[[str], Any]) -> Parameter:
    """Return an option that may be given several times, each time as one text."""

    def convert(_type: Any, tokens: Sequence[Token]) -> tuple[Any, ...]:
        return tuple(parse(one.value) for one in tokens)

    return Parameter(converter=convert, n_tokens=1, accepts_keys=False)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class _Options(ColouriseOptions):
    """Options of the verb: those of the job, some under other names."""

    model: str | None = None
    """A shipped model's name, a run's folder or a model file; the shipped default if not given."""
    provenance: Annotated[bool, Parameter(negative="--no-provenance")] = True
    """Let each copy say, in its XMP, that its colours are guessed, by which model and settings; without it
    metadata is the photo's alone."""
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
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
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
    from pixelwise.network.device import choose_device
    from pixelwise.network.runs import DEFAULT_MODEL, open_model

    opened = open_model(options.model or DEFAULT_MODEL)
    opened.net.to(choose_device(common.device))
    result = colourise_files(inputs, out, opened, options, recursive, report_photo(common))
    values = values_of(result, common) | {
        "lightness_difference": result.lightness_difference,
        "warned": [
            {"path": str(one.path), "warnings": [*one.warnings]} for one in result.written if one.warnings
        ],
        "hints": [
            {"path": str(one.path), "points": [{"hint": hint.argument} | asdict(hint) for hint in one.hints]}
            for one in result.written
            if one.hints
        ],
    }
    moved = f"; lightness differs by {result.lightness_difference:.2f} of 100 on average"
    lines = [*_suggested_hints(result), summary(result, out, "coloured", moved)]
    return Outcome(values=values, message="\n".join(lines), num_failed=len(result.failed))


def _suggested_hints(result: Colourised) -> list[str]:
    """Describe the points worth a hint: each as --hint takes it, with its likeliest colour."""
    lines = []
    for one in result.written:
        if one.hints:
            lines.append(f"{printable(one.path)}: the true colours here would help most:")
        for hint in one.hints:
            first, *others = hint.colours
            perhaps = ", ".join(f"{other.colour} ({other.chance:.0%})" for other in others)
            lines.append(
                f"  --hint {hint.argument}   settles {hint.cut:.0%} of all doubt;"
                f" guessed by {first.chance:.0%}{', or ' + perhaps if perhaps else ''}"
            )
    return lines
