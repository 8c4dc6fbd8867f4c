"""The verb that colours photos: colourise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pixelwise.cli.common import Common, Outcome, say

if TYPE_CHECKING:  # its module imports torch
    from pixelwise.predict import Colourised


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
    from pixelwise.photos.find import Failure
    from pixelwise.predict import Coloured, ColouriseOptions
    from pixelwise.predict import colourise as colourise_photos
    from pixelwise.processor import choose_device
    from pixelwise.runs import DEFAULT_MODEL, open_model

    options = ColouriseOptions(
        temperature=temperature, saturation=saturation, confidence=confidence, max_megapixels=max_megapixels
    )
    opened = open_model(model or DEFAULT_MODEL)
    opened.net.to(choose_device(common.device))

    def tell(done: Coloured | Failure) -> None:
        if isinstance(done, Failure):
            say(done.error, always=True)
        else:
            for note in done.notes:
                say(note, quiet=common.quiet)

    result = colourise_photos(inputs, out, opened, options, recursive, tell)
    for remark in result.remarks:
        say(remark, quiet=common.quiet)
    values = {
        "written": [str(one.path) for one in result.written],
        "failed": [{"path": str(failure.path), "error": failure.error} for failure in result.failed],
        "megapixels": result.megapixels,
        "seconds": result.seconds,
        "lightness_difference": result.lightness_difference,
        "replaced": [str(one.path) for one in result.written if one.replaced],
        "removed": [str(path) for one in result.written for path in one.removed],
        "remarks": [*(note for one in result.written for note in one.notes), *result.remarks],
    }
    return Outcome(values=values, message=_summary(result, out), num_failed=len(result.failed))


def _summary(result: Colourised, out: Path) -> str:
    """What came of a batch, in a sentence."""
    num = len(result.written)
    failed = f"; {len(result.failed)} failed" if result.failed else ""
    if not num:
        return f"no photo was coloured{failed}"
    place = result.written[0].path if num == 1 else out
    return (
        f"{_counted(num, 'photo')} coloured in {result.seconds:.1f} s into {_printable(place)}; "
        f"L moved by {result.lightness_difference:.2f} of 100 on average{_replaced(result)}{failed}"
    )


def _replaced(result: Colourised) -> str:
    """What became of files of an earlier run."""
    num = sum(one.replaced for one in result.written)
    num_removed = sum(len(one.removed) for one in result.written)
    removed = f", {_counted(num_removed, 'outdated confidence map')} removed" if num_removed else ""
    return f"; {_counted(num, 'earlier file')} replaced{removed}" if num else ""


def _counted(num: int, what: str) -> str:
    return f"{num} {what}{'s' if num != 1 else ''}"


def _printable(path: Path) -> str:
    """A path as standard output takes it: names of other times may not be UTF-8."""
    return str(path).encode(errors="backslashreplace").decode()
