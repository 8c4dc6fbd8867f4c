"""The verb that colours photos: colourise."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pixelwise.cli.common import Common, Outcome
from pixelwise.cli.photos import summary, teller, values_of


def colourise(
    inputs: list[str],
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    model: str | None = None,
    temperature: float = 1.0,
    saturation: float = 1.0,
    confidence: Annotated[bool, Parameter(negative="")] = False,
    recursive: Annotated[bool, Parameter(negative="")] = False,
    max_megapixels: float = 500.0,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Outcome:
    """Colour photos: same size, same name, same metadata, same lightness.

    JPEG, PNG, TIFF, WebP and AVIF keep their format, 8 or 16 bit and alpha; GIF, HEIC, BMP and others become
    PNG. What cannot be coloured is named, and the rest is done.

    Parameters
    ----------
    inputs
        Photos, folders of photos, or patterns such as 'scans/*.tif'.
    out
        Folder for the coloured photos; for a single photo also a file, whose name decides the format.
        What an earlier run left there of the same name is replaced.
    model
        A shipped model's name, a run's folder or a model file; the shipped default if not given.
    temperature
        Below 1 bolder colours, above 1 duller ones; 0.01 to 100.
    saturation
        Factor on the colours' strength, 0 to 10; 0 is grey.
    confidence
        Beside each photo write NAME.confidence.png: white where one colour is certain, black where all are
        equally likely.
    recursive
        Look into folders' subfolders, too, and keep them below OUT.
    max_megapixels
        Refuse larger photos.
    """
    from pixelwise.predict import ColouriseOptions
    from pixelwise.predict import colourise as colourise_photos
    from pixelwise.processor import choose_device
    from pixelwise.runs import DEFAULT_MODEL, open_model

    options = ColouriseOptions(
        temperature=temperature, saturation=saturation, confidence=confidence, max_megapixels=max_megapixels
    )
    opened = open_model(model or DEFAULT_MODEL)
    opened.net.to(choose_device(common.device))
    result = colourise_photos(inputs, out, opened, options, recursive, teller(common))
    values = values_of(result, common) | {"lightness_difference": result.lightness_difference}
    moved = f"; L moved by {result.lightness_difference:.2f} of 100 on average"
    return Outcome(
        values=values,
        message=summary(result, out, "coloured", moved, "outdated confidence map"),
        num_failed=len(result.failed),
    )
