"""Options and reports of verbs on many photos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from pixelwise.cli.common import Common, say

if TYPE_CHECKING:  # its module imports libvips
    from pixelwise.photos.find import Failure
    from pixelwise.photos.outputs import PhotoResult, PhotoResults

Recursive = Annotated[bool, Parameter(help="Search folders' subfolders, too, and keep them below OUT.")]
MaxMegapixels = Annotated[float, Parameter(help="Refuse larger photos.")]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ColourOptions:
    """Options of colouring in a batch."""

    model: str | None = None
    """A shipped model's name, a run's folder or a model file; the shipped default if not given."""
    temperature: float = 1.0
    """Below 1 bolder colours, above 1 duller ones; 0.01 to 100."""
    saturation: float = 1.0
    """Factor on the colours' strength, 0 to 10; 0 is grey."""
    provenance: Annotated[bool, Parameter(negative="--no-provenance")] = True
    """Let each copy say, in its XMP, that its colours are guessed, by which model and settings; without it
    metadata is the photo's alone."""


def report_photo(common: Common) -> Callable[[PhotoResult | Failure], None]:
    """Return what is called with each photo as soon as it is done or has failed."""
    from pixelwise.photos.find import Failure

    def report(done: PhotoResult | Failure) -> None:
        if isinstance(done, Failure):
            say(done.error, always=True)
        else:
            for note in done.notes:
                say(note, quiet=common.quiet)

    return report


def values_of(result: PhotoResults[Any], common: Common) -> dict[str, Any]:
    """Return what every verb on photos gives as JSON; remarks on the batch are printed now."""
    for remark in result.remarks:
        say(remark, quiet=common.quiet)
    return {
        "written": [str(path) for one in result.written for path in one.paths],
        "failed": [{"path": str(failure.path), "error": failure.error} for failure in result.failed],
        "megapixels": result.megapixels,
        "seconds": result.seconds,
        "remarks": [*(note for one in result.written for note in one.notes), *result.remarks],
    }


def summary(result: PhotoResults[Any], out: Path, done: str, detail: str = "") -> str:
    """Return what came of a batch, in a sentence; photos are `done`, such as coloured."""
    failed = f"; {len(result.failed)} failed" if result.failed else ""
    if not result.written:
        return f"no photo was {done}{failed}"
    place = result.written[0].path if len(result.written) == 1 else out
    photos = "1 photo" if len(result.written) == 1 else f"{len(result.written)} photos"
    return f"{photos} {done} in {result.seconds:.1f} s into {printable(place)}{detail}{failed}"


def printable(path: Path) -> str:
    """Return a path as standard output takes it: names of other times may not be UTF-8."""
    return str(path).encode(errors="backslashreplace").decode()
