"""The plan of a batch: its inputs in a fixed order, in a file with a checksum, before any work begins."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pixelwise.batch.item import Item
from pixelwise.batch.job import Job
from pixelwise.errors import ConfigError, DataError, OutputError
from pixelwise.files import checksum, plain_json, reason, whole_file, write_text

PLAN, ABOUT, STATE = "plan.parquet", "plan.json", ".batch"
GROUP_ROWS = 4096
"""Inputs of a row group; a worker reads one at a time."""
_FORMAT = 1
_SCHEMA = pa.schema(
    {
        "name": pa.string(),
        "target": pa.binary(),  # paths are bytes: names of other times may not be UTF-8
        "kind": pa.string(),
        "path": pa.binary(),
        "group": pa.int64(),
        "place": pa.int64(),
        "size": pa.int64(),
        "column": pa.string(),
        "stamp": pa.int64(),
        "refused": pa.string(),
    }
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be done, as it was fixed."""

    out: Path
    job: Job
    sources: tuple[str, ...]
    """Absolute, where they are paths."""
    column: str
    num: int
    """Inputs."""
    checksum: str
    """SHA-256 of the file that lists them."""

    def require_same(self, job: Job, sources: Sequence[str], column: str) -> None:
        """Make sure that a batch that goes on is the one that was begun.

        Raises:
            ConfigError: it is another.
        """
        began = self.job.to_dict() | {"sources": list(self.sources), "column": self.column}
        comes = job.to_dict() | {"sources": list(sources), "column": column}
        for name, before in began.items():
            if comes[name] != before:
                raise ConfigError(
                    f"{self.out} is of a batch whose {name.replace('_', ' ')} is {before}, got {comes[name]}"
                    "; give the same to go on with it, or begin another with another -o"
                )

    def items(self, group: int) -> list[Item]:
        """The inputs of a row group.

        Raises:
            DataError: the file cannot be read.
        """
        try:
            with pq.ParquetFile(self.out / PLAN) as file:
                return [_item(row) for row in file.read_row_group(group).to_pylist()]
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self.out / PLAN}: cannot be read: {str(error).splitlines()[0]}") from error

    def every_item(self) -> Iterator[Item]:
        """All inputs, in order; a row group is held at a time."""
        for group in range(-(-self.num // GROUP_ROWS)):
            yield from self.items(group)


def write_plan(out: Path, job: Job, sources: Sequence[str], column: str, items: Iterable[Item]) -> Plan:
    """Fix what is to be done.

    Raises:
        ConfigError: the folder holds something else already.
        DataError: there is no input.
        OutputError: it cannot be written.
    """
    require_fresh(out)
    for left in out.glob(".plan.*"):  # by a kill
        left.unlink()
    num = 0
    with whole_file(out / PLAN) as temporary, pq.ParquetWriter(temporary, _SCHEMA) as writer:
        rows = map(_row, items)
        while some := list(islice(rows, GROUP_ROWS)):
            num += len(some)
            writer.write_table(pa.Table.from_pylist(some, _SCHEMA))
    about = {
        "format": _FORMAT,
        "job": job.to_dict(),
        "sources": list(sources),
        "column": column,
        "num": num,
        "checksum": checksum(out / PLAN),
    }
    write_text(out / ABOUT, plain_json(about, indent=2) + "\n")
    return open_plan(out)


def open_plan(out: Path) -> Plan:
    """The plan of a batch that was begun.

    Raises:
        DataError: it is damaged, or of another version.
    """
    remedy = "the batch cannot go on; begin anew with another -o"
    try:
        about: dict[str, Any] = json.loads((out / ABOUT).read_text())
        if about["format"] != _FORMAT:
            raise DataError(
                f"{out / ABOUT}: needed a plan of format {_FORMAT}, got {about['format']}; {remedy}"
            )
        plan = Plan(
            out=out,
            job=Job(**about["job"]),
            sources=tuple(about["sources"]),
            column=about["column"],
            num=about["num"],
            checksum=about["checksum"],
        )
        found = checksum(out / PLAN)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{out / ABOUT}: is damaged ({error}); {remedy}") from error
    if found != plan.checksum:
        raise DataError(
            f"{out / PLAN}: is damaged: needed the SHA-256 {plan.checksum[:12]}, got {found[:12]}; {remedy}"
        )
    return plan


def require_fresh(out: Path) -> None:
    """Make sure that a folder holds nothing that outputs could replace, but for a plan left half-written.

    Raises:
        ConfigError: it holds something.
        OutputError: it is no folder, or cannot be made or read.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        for entry in out.iterdir():
            if entry.name not in (PLAN, STATE) and not entry.name.startswith(".plan."):
                raise ConfigError(
                    f"needed an empty folder for the outputs of a new batch, got {out} with {entry.name} "
                    "in it; choose another -o"
                )
    except OSError as error:
        raise OutputError(
            f"cannot write into {out}: {reason(error)}; choose another folder with -o"
        ) from error


def _row(item: Item) -> dict[str, Any]:
    values = {field.name: getattr(item, field.name) for field in fields(item)}
    return values | {"target": os.fsencode(item.target), "path": os.fsencode(item.path)}


def _item(row: dict[str, Any]) -> Item:
    return Item(**row | {"target": os.fsdecode(row["target"]), "path": os.fsdecode(row["path"])})
