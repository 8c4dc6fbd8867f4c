"""The verbs for many photos: batch colourise, batch segment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pixelwise.cli.common import Common, Outcome, say
from pixelwise.cli.photos import printable

if TYPE_CHECKING:  # its module imports libvips
    from pixelwise.batch.job import Job
    from pixelwise.batch.work import Report


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """Where a batch goes, and who does it.

    Parameters
    ----------
    column
        The column of Parquet files that holds the photos' paths or bytes, where it is not clear.
    workers
        Photos that are done at once, each by a process of its own; as many as processors if not given.
    address
        A Ray cluster to work on, all of whose machines see SOURCE and OUT; this machine if not given.
    max_megapixels
        Refuse larger photos.
    """

    column: str = ""
    workers: int | None = None
    address: str | None = None
    max_megapixels: float = 500.0


def colourise(
    sources: list[str],
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    options: BatchOptions = BatchOptions(),
    model: str | None = None,
    temperature: float = 1.0,
    saturation: float = 1.0,
    provenance: bool = True,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Outcome:
    """Colour any number of photos, as `pixelwise colourise` does: one output for each input.

    A plan of all inputs is fixed first, plan.parquet in OUT; at the end manifest.parquet has a row for each:
    path, output, checksum, model, seconds, error. What was stopped, by Ctrl-C, a kill or a full disk, goes on
    when the same command is given again. What cannot be coloured is set aside with its reason.

    Parameters
    ----------
    sources
        Folders, with their subfolders; patterns; lists of paths (.txt, a path a line); Parquet files with a
        column of paths or of photos' bytes; WebDataset tars.
    out
        Folder for outputs, plan and manifest: an empty or a new one; or that of a batch that was stopped,
        which goes on.
    model
        A shipped model's name, a run's folder or a model file; the shipped default if not given.
    temperature
        Below 1 bolder colours, above 1 duller ones; 0.01 to 100.
    saturation
        Factor on the colours' strength, 0 to 10; 0 is grey.
    provenance
        Let each copy say, in its XMP, that its colours are guessed, by which model and settings.
    """
    from pixelwise.batch.job import Job
    from pixelwise.runs import DEFAULT_MODEL

    job = Job(
        task="colourise",
        model=model or DEFAULT_MODEL,
        device=common.device,
        temperature=temperature,
        saturation=saturation,
        provenance=provenance,
        max_megapixels=options.max_megapixels,
    )
    return _run(job, sources, out, options, common)


def segment(
    sources: list[str],
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    options: BatchOptions = BatchOptions(),
    head: str,
    weights: Path | None = None,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Outcome:
    """Cut things out of any number of photos, as `pixelwise segment` does: one mask for each input.

    A plan of all inputs is fixed first, plan.parquet in OUT; at the end manifest.parquet has a row for each:
    path, output, checksum, model, seconds, error. What was stopped, by Ctrl-C, a kill or a full disk, goes on
    when the same command is given again. What cannot be segmented is set aside with its reason.

    Parameters
    ----------
    sources
        Folders, with their subfolders; patterns; lists of paths (.txt, a path a line); Parquet files with a
        column of paths or of photos' bytes; WebDataset tars.
    out
        Folder for outputs, plan and manifest: an empty or a new one; or that of a batch that was stopped,
        which goes on.
    head
        A shipped head's name, or a file that finetune wrote.
    weights
        The backbone's weights, where they are neither installed nor downloaded.
    """
    from pixelwise.batch.job import Job

    job = Job(
        task="segment",
        model=head,
        weights=str(weights) if weights else None,
        device=common.device,
        max_megapixels=options.max_megapixels,
    )
    return _run(job, sources, out, options, common)


def _run(job: Job, sources: list[str], out: Path, options: BatchOptions, common: Common) -> Outcome:
    from pixelwise.batch.run import run_batch

    finished = run_batch(
        job,
        sources,
        out,
        column=options.column,
        workers=options.workers,
        address=options.address,
        tell=_tell,
    )
    rate = finished.written / max(finished.seconds, 1e-9)
    before = f"; {finished.resumed} were done before" if finished.resumed else ""
    failed = f"; {finished.failed} failed" if finished.failed else ""
    listed = {}
    if common.json:  # of millions of photos else millions of paths would be held
        failures = [{"path": str(one.path), "error": one.error} for one in finished.failures()]
        listed = {"written": list(finished.outputs()), "failed": failures}
    return Outcome(
        values=listed
        | {"resumed": finished.resumed, "manifest": str(finished.manifest), "seconds": finished.seconds},
        message=f"{finished.written} outputs in {finished.seconds:.1f} s ({rate:.1f} photos/s) into "
        f"{printable(out)}{before}{failed}",
        num_failed=finished.failed,
    )


def _tell(report: Report) -> None:
    for _, error in report.failures:
        say(error, always=True)
