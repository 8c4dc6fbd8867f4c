"""The verbs for many photos: batch colourise, batch segment."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from pixelwise.cli.common import OUT, Common, Outcome, Weights
from pixelwise.network.config import MAX_MEGAPIXELS

if TYPE_CHECKING:  # verbs import them when they are called
    from pixelwise.batch.job import Job

Sources = Annotated[
    list[str],
    Parameter(help="Photos; folders, with their subfolders; patterns; plain tar and zip archives."),
]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """Options of every batch."""

    out: Annotated[Path, OUT]
    """Folder for outputs and manifest: an empty or a new one; or that of a batch that was stopped, which goes
    on."""
    workers: Annotated[int | None, Parameter(validator=Number(gte=1))] = None
    """Photos that are done at once, each by a process of its own; as many as processors if not given."""
    retry: Annotated[bool, Parameter(negative="")] = False
    """Try again what failed in earlier runs, too, as for want of memory or of a disk that was away."""
    address: str | None = None
    """A Ray cluster to work on, all of whose machines see SOURCES and OUT; this machine if not given."""
    dry_run: Annotated[bool, Parameter(negative="")] = False
    """Count the photos, time ten of them, and say how long all would take; OUT is left alone."""
    max_megapixels: float = MAX_MEGAPIXELS
    """Refuse larger photos."""


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


def colourise(
    sources: Sources,
    /,
    *,
    batch: BatchOptions,
    options: ColourOptions = ColourOptions(),
    common: Common = Common(),  # noqa: B008 - frozen
) -> Outcome:
    """Colour any number of photos, as `pixelwise colourise` does: one output for each input.

    All inputs are planned first; at the end manifest.parquet in OUT has a row for each: path, output,
    checksum, model, seconds, error. What was stopped, by Ctrl-C, a kill or a full disk, goes on when the same
    command is given again. What cannot be coloured is set aside with its reason.
    """
    from pixelwise.batch.job import Job
    from pixelwise.network.model import DEFAULT_MODEL

    settings = asdict(options) | {"model": options.model or DEFAULT_MODEL}
    job = Job(task="colourise", device=common.device, max_megapixels=batch.max_megapixels, **settings)
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
    from pixelwise.batch.run import estimate_batch, run_batch

    out, workers = options.out, options.workers
    values: dict[str, Any] = {"written": [], "resumed": 0}
    if options.dry_run:
        found = estimate_batch(job, sources, out, workers=workers)
        failed = found.failed
        values |= {"photos": found.num, "seconds_each": found.seconds_each, "seconds": found.seconds}
        message = f"{found.num} photos, {found.seconds_each:.2f} s each: about {found.seconds:.0f} s"
    else:
        done = run_batch(
            job,
            sources,
            out,
            workers=workers,
            address=options.address,
            retry=options.retry,
            list_written=common.json,
        )
        failed = done.failed
        values |= {"written": done.written, "resumed": done.num_resumed}
        values |= {"manifest": str(done.manifest), "seconds": done.seconds}
        message = f"{done.num_written} outputs in {done.seconds:.1f} s into {out}"
        message += f"; {done.num_resumed} were done before" if done.num_resumed else ""
        message += f"; {len(failed)} failed" if failed else ""
    values["failed"] = [{"path": str(failure.path), "error": failure.error} for failure in failed]
    return Outcome(values=values, message=message, num_failed=len(failed))
