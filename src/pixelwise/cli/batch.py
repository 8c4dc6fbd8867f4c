"""The verbs for many photos: batch colourise, batch segment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pixelwise.cli.common import Common, Outcome, Weights, say
from pixelwise.cli.photos import ColourOptions, MaxMegapixels, printable

if TYPE_CHECKING:  # its module imports libvips
    from pixelwise.batch.job import Job
    from pixelwise.batch.work import Report

Sources = Annotated[
    list[str],
    Parameter(
        help="Folders, with their subfolders; patterns; lists of paths (.txt, a path a line); Parquet files "
        "with a column of paths or of photos' bytes; WebDataset tars."
    ),
]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """Where a batch goes, and who does it.

    Parameters
    ----------
    out
        Folder for outputs, plan and manifest: an empty or a new one; or that of a batch that was stopped,
        which goes on.
    column
        The column of Parquet files that holds the photos' paths or bytes, where it is not clear.
    workers
        Photos that are done at once, each by a process of its own; as many as processors if not given.
    retry
        Try again what failed in earlier runs, too, as for want of memory or of a disk that was away.
    address
        A Ray cluster to work on, all of whose machines see SOURCE and OUT; this machine if not given.
    """

    out: Annotated[Path, Parameter(name=["--out", "-o"])]
    column: str = ""
    workers: int | None = None
    retry: Annotated[bool, Parameter(negative="")] = False
    address: str | None = None
    max_megapixels: MaxMegapixels = 500.0


def colourise(
    sources: Sources,
    /,
    *,
    batch: BatchOptions,
    options: ColourOptions = ColourOptions(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> Outcome:
    """Colour any number of photos, as `pixelwise colourise` does: one output for each input.

    A plan of all inputs is fixed first, plan.parquet in OUT; at the end manifest.parquet has a row for each:
    path, output, checksum, model, seconds, error. What was stopped, by Ctrl-C, a kill or a full disk, goes on
    when the same command is given again. What cannot be coloured is set aside with its reason.
    """
    from pixelwise.batch.job import Job
    from pixelwise.runs import DEFAULT_MODEL

    job = Job(
        task="colourise",
        model=options.model or DEFAULT_MODEL,
        device=common.device,
        temperature=options.temperature,
        saturation=options.saturation,
        provenance=options.provenance,
        max_megapixels=batch.max_megapixels,
    )
    return _run(job, sources, batch, common)


def segment(
    sources: Sources,
    /,
    *,
    batch: BatchOptions,
    head: str,
    weights: Weights = None,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Outcome:
    """Cut things out of any number of photos, as `pixelwise segment` does: one mask for each input.

    The plan, the manifest, and how a batch that was stopped goes on are those of `pixelwise batch colourise`.

    Parameters
    ----------
    head
        A shipped head's name, or a file that finetune wrote.
    """
    from pixelwise.batch.job import Job

    job = Job(
        task="segment",
        model=head,
        weights=str(weights) if weights else None,
        device=common.device,
        max_megapixels=batch.max_megapixels,
    )
    return _run(job, sources, batch, common)


def _run(job: Job, sources: list[str], options: BatchOptions, common: Common) -> Outcome:
    from pixelwise.batch.run import run_batch

    finished = run_batch(
        job,
        sources,
        options.out,
        column=options.column,
        workers=options.workers,
        address=options.address,
        retry=options.retry,
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
        f"{printable(options.out)}{before}{failed}",
        num_failed=finished.failed,
    )


def _tell(report: Report) -> None:
    for _, error in report.failures:
        say(error, always=True)
