"""The state of a batch in one SQLite file: the plan, fixed before any work, and the result of each input.

One process at a time has it open. A kill or a power cut loses at most what was recorded last.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pixelwise.batch.job import Job
from pixelwise.batch.sources import Item
from pixelwise.errors import ConfigError, DataError, OutputError
from pixelwise.files import reason, to_json, whole_file

STATE, MANIFEST, SCRATCH = "batch.sqlite", "manifest.parquet", ".batch"
"""Names below the output folder; SCRATCH is a folder for what is of no use after a run."""
_MOST_TABLES = 4096
_ROWS_AT_ONCE = 2**16  # of the manifest, held in memory
_SETUP = """
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;  -- a power cut may lose the last results, no more
CREATE TABLE IF NOT EXISTS plan (job TEXT, sources TEXT);
CREATE TABLE IF NOT EXISTS input (number INTEGER PRIMARY KEY, item TEXT, result TEXT, failed BOOL);
"""
_TEXTS = ("path", "output", "checksum", "error", "model", "model_checksum")
_SCHEMA = pa.schema(
    {"index": pa.int64(), **dict.fromkeys(_TEXTS, pa.string()), "num_bytes": pa.int64()}
    | {"megapixels": pa.float64(), "seconds": pa.float64(), "remarks": pa.list_(pa.string())}
)


@dataclass(frozen=True, kw_only=True)
class Result:
    """The output of one input, or why there is none."""

    index: int  # in the plan, from 0
    output: str = ""  # path below the output folder; empty if it failed
    checksum: str = ""  # SHA-256 of the output
    num_bytes: int = 0
    megapixels: float = 0.0
    seconds: float = 0.0
    error: str = ""  # why there is no output; empty if there is
    remarks: Sequence[str] = ()  # on the photo and its output
    attempts: int = 1  # one more than workers died over it


class BatchState:
    """Plan and results of a batch."""

    def __init__(self, out: Path, database: sqlite3.Connection) -> None:
        self.out = out
        self._database = database

    def plan(self) -> tuple[Job, tuple[str, ...]] | None:
        """Return the job and the sources that were planned, None if there is no plan yet."""
        row = self._database.execute("SELECT job, sources FROM plan").fetchone()
        return (Job(**json.loads(row[0])), tuple(json.loads(row[1]))) if row else None

    def write_plan(self, job: Job, sources: Sequence[str], items: Iterable[Item]) -> None:
        """Fix job, sources and inputs: all of them or, if something fails, none."""
        rows = ((index, to_json(asdict(item))) for index, item in enumerate(items))
        plan = to_json(asdict(job)), to_json(sources)
        with self._database:
            self._database.executemany("INSERT INTO input (number, item) VALUES (?, ?)", rows)
            self._database.execute("INSERT INTO plan VALUES (?, ?)", plan)

    def add(self, result: Result) -> None:
        """Record a result."""
        row = to_json(asdict(result)), bool(result.error), result.index
        with self._database:
            self._database.execute("UPDATE input SET result = ?, failed = ? WHERE number = ?", row)

    def forget_missing(self) -> None:
        """Forget each result whose output is gone or has another size."""
        missing = []
        for (text,) in self._database.execute("SELECT result FROM input WHERE NOT failed"):
            result = Result(**json.loads(text))
            output = self.out / result.output
            if not output.is_file() or output.stat().st_size != result.num_bytes:
                missing.append((result.index,))
        forget = "UPDATE input SET result = NULL, failed = NULL WHERE number = ?"
        with self._database:
            self._database.executemany(forget, missing)

    def num(self, condition: str = "TRUE") -> int:
        """Count the inputs: those `failed`, `NOT failed`, not done (`result IS NULL`), or all."""
        return int(self._database.execute(f"SELECT count(*) FROM input WHERE {condition}").fetchone()[0])

    def left(self, condition: str) -> list[pa.Table]:
        """Return number and item, as JSON, of the inputs of a condition, in as many tables as Ray likes."""
        num_rows = -(-self.num(condition) // _MOST_TABLES)
        rows = self._database.execute(f"SELECT number, item FROM input WHERE {condition}")
        tables = []
        while some := rows.fetchmany(num_rows):
            numbers, items = zip(*some, strict=True)
            tables.append(pa.table({"index": numbers, "item": items}))
        return tables

    def rows(self, job: Job, condition: str = "TRUE") -> Iterator[dict[str, Any]]:
        """Yield the manifest's rows of the inputs of a condition, in the order of the plan."""
        query = f"SELECT item, result FROM input WHERE {condition} ORDER BY number"
        for item, text in self._database.execute(query):
            row = json.loads(text) | {"path": json.loads(item)["name"]}
            row |= {"model": job.model, "model_checksum": job.checksum}
            for name in _TEXTS:
                row[name] = _as_utf8(row[name]) or None
            row["remarks"] = [_as_utf8(remark) for remark in row.get("remarks", ())]
            yield row

    def write_manifest(self, job: Job) -> Path:
        """Write a row for each input, in the order of the plan; return the file's path."""
        path = self.out / MANIFEST
        if self.num("result IS NULL"):
            raise DataError(f"{path}: not all of the plan is done; give the same command again")
        rows = self.rows(job)
        with whole_file(path) as temporary, pq.ParquetWriter(temporary, _SCHEMA) as file:
            while some := list(islice(rows, _ROWS_AT_ONCE)):
                file.write_table(pa.Table.from_pylist(some, _SCHEMA))
        return path


def _as_utf8(text: str) -> str:
    """Return a text as UTF-8 can have it, which names of files need not be."""
    return text.encode(errors="backslashreplace").decode()


@contextlib.contextmanager
def open_state(out: Path) -> Iterator[BatchState]:
    """Open the state of the batch in the folder `out`, or a new one if the folder is empty or new.

    Raises:
        ConfigError: another process has it open, or the folder holds something that outputs could replace.
        DataError: the state is damaged.
        OutputError: it cannot be written.
    """
    path = out / STATE
    try:
        if not path.exists():
            out.mkdir(parents=True, exist_ok=True)
            if others := sorted(entry.name for entry in out.iterdir() if entry.name != SCRATCH):
                raise ConfigError(
                    f"needed an empty folder for a new batch, got {out} with {others[0]}; choose another -o"
                )
        with contextlib.closing(sqlite3.connect(path, timeout=1)) as database:
            database.executescript(_SETUP)
            yield BatchState(out, database)
    except OSError as error:
        raise OutputError(
            f"cannot write into {out}: {reason(error)}; choose another folder with -o"
        ) from error
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
            raise ConfigError(f"another run is at work on {out}; wait for it, or choose another -o") from None
        is_full = error.sqlite_errorcode == sqlite3.SQLITE_FULL
        why = "no space left on device; make room, then go on" if is_full else error
        raise OutputError(f"cannot write {path}: {why}. What was done is kept") from error
    except sqlite3.DatabaseError as error:
        raise DataError(f"{path}: is damaged ({error}); begin anew with another -o") from error
