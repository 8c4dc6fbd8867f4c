"""The verb that colours photos: colourise."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pixelwise.cli.common import Common, Outcome
from pixelwise.cli.photos import (
    ColourOptions,
    MaxMegapixels,
    Recursive,
    printable,
    summary,
    teller,
    values_of,
)

if TYPE_CHECKING:  # its module imports torch
    from pixelwise.colourising import Colourised


def colourise(
    inputs: list[str],
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    options: ColourOptions = ColourOptions(),  # noqa: B008 - frozen
    hint: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    reference: Path | None = None,
    reference_strength: float = 0.5,
    alternatives: int = 1,
    keep_grey: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    confidence: Annotated[bool, Parameter(negative="")] = False,
    top_k: int = 0,
    suggest_hints: int = 0,
    recursive: Recursive = False,
    max_megapixels: MaxMegapixels = 500.0,
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
    hint
        The colour of one pixel of a single photo, as row,column,#rrggbb, counted from 0 in the photo as it
        is displayed; may be given several times. It spreads to what is alike in lightness and connected,
        and neither temperature nor saturation change it.
    reference
        A photo in colour whose colours are followed: each as often as there, where it is likeliest here.
    reference_strength
        How far they are, 0 to 1.
    alternatives
        Write this many copies, NAME.1, NAME.2 and so on, each coloured another way; the first is the usual
        one. Only what the network doubts differs.
    keep_grey
        What stays as it is, several times if need be: paper, for mounts, borders and pages with their
        writing; likely, for what is more probably grey than not; or a box as top,left,bottom,right.
    confidence
        Beside each photo write NAME.confidence.png: white where one colour is certain, black where all are
        equally likely; the surer, the more light.
    top_k
        Beside each photo write NAME.top.safetensors: each pixel's K likeliest colours, with probabilities.
    suggest_hints
        Name N points, spread over the photo, whose true colours would tell most, with the likeliest
        colours there and the share of all doubt that the point settles. Four of them took the error of
        chroma from 17.6 to 13.5, where four at random left 14.6 (60 photos, benchmarks/next_hint.py).
    """
    from pixelwise.colourising import colourise as colourise_photos
    from pixelwise.control.options import ColouriseOptions
    from pixelwise.processor import choose_device
    from pixelwise.runs import DEFAULT_MODEL, open_model

    how = ColouriseOptions.parse(
        temperature=options.temperature,
        saturation=options.saturation,
        hints=hint,
        reference=reference,
        reference_strength=reference_strength,
        alternatives=alternatives,
        keep_grey=keep_grey,
        confidence=confidence,
        top_k=top_k,
        num_hints=suggest_hints,
        provenance=options.provenance,
        max_megapixels=max_megapixels,
    )
    opened = open_model(options.model or DEFAULT_MODEL)
    opened.net.to(choose_device(common.device))
    result = colourise_photos(inputs, out, opened, how, recursive, teller(common))
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
    return Outcome(
        values=values,
        message="\n".join([*_hints_told(result), summary(result, out, "coloured", moved, "outdated file")]),
        num_failed=len(result.failed),
    )


def _hints_told(result: Colourised) -> list[str]:
    """Points worth a hint, for people: each as --hint takes it, with its likeliest colour."""
    lines = []
    for one in result.written:
        if one.hints:
            lines.append(f"{printable(one.path)}: to tell the true colours here would help most:")
        for hint in one.hints:
            first, *others = hint.colours
            perhaps = ", ".join(f"{other.colour} ({other.chance:.0%})" for other in others)
            lines.append(
                f"  --hint {hint.argument}   settles {hint.cut:.0%} of all doubt;"
                f" guessed by {first.chance:.0%}{', or ' + perhaps if perhaps else ''}"
            )
    return lines
