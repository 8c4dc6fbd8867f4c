"""The manifest: one row for each input, in the order of the plan, written whole when all are done."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pixelwise.batch.item import Item
from pixelwise.batch.journal import Done, Record
from pixelwise.batch.names import shown
from pixelwise.batch.plan import GROUP_ROWS, Plan
from pixelwise.errors import DataError
from pixelwise.files import whole_file

MANIFEST = "manifest.parquet"
_SCHEMA = pa.schema(
    {
        "index": pa.int64(),
        "path": pa.string(),
        "output": pa.string(),  # null where it failed
        "checksum": pa.string(),  # SHA-256 of the output
        "num_bytes": pa.int64(),
        "megapixels": pa.float64(),
        "model": pa.string(),
        "model_checksum": pa.string(),
        "seconds": pa.float64(),
        "error": pa.string(),  # null where it was done
    }
)


def write_manifest(plan: Plan, done: Done) -> Path:
    """Write the manifest of a batch whose inputs are all done; gives its path.

    Raises:
        DataError: one of them is not, since a journal was changed meanwhile.
        OutputError: it cannot be written.
    """
    path = plan.out / MANIFEST
    about = {"model": plan.job.model, "model_checksum": plan.job.checksum}
    pairs = zip(plan.every_item(), done.records(), strict=True)
    try:
        with whole_file(path) as temporary, pq.ParquetWriter(temporary, _SCHEMA) as writer:
            while some := [_row(item, record) | about for item, record in islice(pairs, GROUP_ROWS)]:
                writer.write_table(pa.Table.from_pylist(some, _SCHEMA))
    except ValueError as error:
        raise DataError(f"{path}: not all of the plan is done; give the same command again") from error
    return path


def read_manifest(out: Path) -> Iterator[dict[str, Any]]:
    """The rows of a manifest, in order, a few thousand held at a time.

    Raises:
        DataError: there is none, or it is damaged.
    """
    try:
        with pq.ParquetFile(out / MANIFEST) as file:
            for batch in file.iter_batches(GROUP_ROWS):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{out / MANIFEST}: needed a manifest: {str(error).splitlines()[0]}") from error


def _row(item: Item, record: Record) -> dict[str, Any]:
    return {
        "index": record.index,
        "path": item.name,
        "output": shown(record.output) or None,
        "checksum": record.checksum or None,
        "num_bytes": record.num_bytes,
        "megapixels": record.megapixels,
        "seconds": record.seconds,
        "error": record.error or None,
    }
