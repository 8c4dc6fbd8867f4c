"""What a batch writes down, and what a worker makes of it: plans, journals, chunks, manifests; no Ray."""

import errno
import fcntl
import json
import os
import tarfile
from contextlib import closing
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pixelwise.batch.job import Job
from pixelwise.batch.journal import Done, Journal, Journals, Record, forget
from pixelwise.batch.manifest import read_manifest, write_manifest
from pixelwise.batch.plan import ABOUT, GROUP_ROWS, PLAN, STATE, open_plan, write_plan
from pixelwise.batch.run import chunk_size, run_batch
from pixelwise.batch.sources import items
from pixelwise.batch.work import Todo, Worker, is_of_the_machine
from pixelwise.errors import CheckpointError, ConfigError, DataError, OutputError
from pixelwise.files import checksum

JOB = Job(task="colourise", model="photo", device="cpu")


def planned(tmp_path, names=("a", "b", "c"), poison=("b",), job=JOB):
    """A plan over small photos, some of them damaged."""
    source = tmp_path / "in"
    source.mkdir()
    rng = np.random.default_rng(0)
    for name in names:
        Image.fromarray(rng.integers(0, 255, (24, 32)).astype(np.uint8)).save(source / f"{name}.png")
        if name in poison:
            (source / f"{name}.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    out = tmp_path / "out"
    (out / STATE).mkdir(parents=True)
    return write_plan(out, job.opened()[0], [str(source)], "", items([str(source)], out))


def begin(plan, run="0001"):
    todo = Todo(run=run, size=4, done=Done(plan).mask)
    todo.write(plan.out)
    return closing(Worker(plan.out, run))


def work(plan, run="0001"):
    with begin(plan, run) as worker:
        return worker.do_chunk(0)


def test_a_plan_is_read_as_it_was_written(tmp_path):
    plan = planned(tmp_path)
    assert open_plan(plan.out) == plan
    assert [one.target for one in plan.every_item()] == ["a", "b", "c"]
    assert plan.checksum == checksum(plan.out / PLAN)
    plan.require_same(plan.job, plan.sources, "")
    with pytest.raises(ConfigError, match=r"is of a batch whose saturation is 1\.0, got 0\.5; give the same"):
        plan.require_same(replace(plan.job, saturation=0.5), plan.sources, "")


def test_a_damaged_plan_is_refused(tmp_path):
    plan = planned(tmp_path)
    whole = (plan.out / PLAN).read_bytes()
    (plan.out / PLAN).write_bytes(whole[:-20] + b"x" + whole[-19:])
    with pytest.raises(DataError, match="is damaged: needed the SHA-256"):
        open_plan(plan.out)
    (plan.out / ABOUT).write_text("{")
    with pytest.raises(DataError, match="is damaged"):
        open_plan(plan.out)


def test_a_new_batch_needs_an_empty_folder(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"the only copy")
    with pytest.raises(ConfigError, match=r"needed an empty folder .* with photo\.jpg in it"):
        write_plan(tmp_path, JOB, [], "", [])
    assert (tmp_path / "photo.jpg").read_bytes() == b"the only copy"


def test_a_folder_that_is_refused_stays_as_it_was(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"the only copy")
    with pytest.raises(ConfigError, match="needed an empty folder"):
        run_batch(JOB, [str(tmp_path)], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


def test_two_runs_at_once_are_one_too_many(tmp_path):
    plan = planned(tmp_path)
    with (plan.out / STATE / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="another run is at work on"):
            run_batch(JOB, plan.sources, plan.out)


def test_a_plan_that_a_kill_left_half_written_is_written_anew(tmp_path):
    plan = planned(tmp_path)
    (plan.out / ABOUT).unlink()
    (plan.out / ".plan.half.parquet").write_bytes(b"PAR1")
    sources = list(plan.sources)
    assert write_plan(plan.out, plan.job, sources, "", items(sources, plan.out)) == plan
    assert not list(plan.out.glob(".plan.*"))


def test_a_journal_counts_only_lines_that_are_whole(tmp_path):
    path = tmp_path / STATE / "journal" / "1-a.jsonl"
    with closing(Journal(tmp_path, "1", "a")) as journal:
        for index in range(3):
            journal.begin(index)
            journal.add(Record(index=index, error="x"))
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b'"x"', b'"y"')
    path.write_bytes(b"".join(lines)[:-4])
    read = Journals.of(tmp_path)
    assert [record.index for record in read.records()] == [1]
    assert list(read.begun()) == [0, 1, 2]


def test_a_worker_does_a_chunk_and_the_manifest_tells_of_it(tmp_path):
    plan = planned(tmp_path)
    report = work(plan)
    assert report.written == 2
    ((name, error),) = report.failures
    assert name == str(tmp_path / "in" / "b.png")
    assert error.startswith(f"{name}: damaged or cut short")
    done = Done(plan)
    assert done.mask.all()
    assert done.failed.tolist() == [False, True, False]
    write_manifest(plan, done)
    rows = list(read_manifest(plan.out))
    assert [row["output"] for row in rows] == ["a.png", None, "c.png"]
    assert rows[0]["checksum"] == checksum(plan.out / "a.png")
    assert rows[0]["model_checksum"] == plan.job.checksum
    assert rows[1]["error"] == error
    assert {"path", "output", "checksum", "model", "seconds", "error"} <= set(
        pq.read_schema(plan.out / "manifest.parquet").names
    )
    assert sorted(path.name for path in plan.out.iterdir() if path.suffix == ".png") == ["a.png", "c.png"]


def test_what_is_done_is_not_done_again_but_what_is_gone_is(tmp_path):
    plan = planned(tmp_path)
    work(plan)
    before = (plan.out / "c.png").stat().st_mtime_ns, checksum(plan.out / "a.png")
    (plan.out / "a.png").unlink()
    assert Done(plan).mask.tolist() == [False, True, True]
    assert work(plan, "0002").written == 1
    assert ((plan.out / "c.png").stat().st_mtime_ns, checksum(plan.out / "a.png")) == before


@pytest.mark.parametrize("later", ["0002", "0000"])  # of a clock that was put back
def test_what_failed_and_was_then_done_is_done(tmp_path, later):
    plan = planned(tmp_path)
    work(plan)
    photos = tmp_path / "in"
    (photos / "b.png").write_bytes((photos / "a.png").read_bytes())
    Todo(run=later, size=4, done=Done(plan).mask & ~Done(plan).failed).write(plan.out)
    with closing(Worker(plan.out, later)) as worker:
        assert worker.do_chunk(0).written == 1
    done = Done(plan)
    assert done.mask.all()
    assert not done.failed.any()
    assert [record.output for record in done.records()] == ["a.png", "b.png", "c.png"]


def test_a_new_batch_knows_nothing_of_one_that_was_deleted(tmp_path):
    plan = planned(tmp_path)
    work(plan)
    for left in plan.out.iterdir():
        if left.name != STATE:
            left.unlink()
    (tmp_path / "in" / "b.png").write_bytes((tmp_path / "in" / "a.png").read_bytes())
    forget(plan.out)
    sources = list(plan.sources)
    assert not Done(write_plan(plan.out, plan.job, sources, "", items(sources, plan.out))).mask.any()


def test_a_manifest_waits_for_all(tmp_path):
    plan = planned(tmp_path)
    with pytest.raises(DataError, match="not all of the plan is done"):
        write_manifest(plan, Done(plan))
    assert not (plan.out / "manifest.parquet").exists()


def test_what_killed_its_worker_several_times_is_set_aside(tmp_path):
    plan = planned(tmp_path, poison=())
    with closing(Journal(plan.out, "0001", "dead")) as dead, begin(plan) as worker:
        (worker.todo.folder(plan.out) / "chunk-0").touch()  # a worker had begun it
        dead.add(Record(index=0, output="a.png", num_bytes=7))
        for _ in range(3):
            dead.begin(1)
        report = worker.do_chunk(0)
    ((name, error),) = report.failures
    assert name.endswith("b.png")
    assert error.startswith("its worker died over it 3 times")
    assert report.was_lost
    assert report.written == 2
    assert (plan.out / "c.png").exists()
    assert not (plan.out / "a.png").exists()  # what was recorded as done is not done again in this run


def test_an_archive_that_changes_after_the_plan_is_named(tmp_path):
    shard = tmp_path / "shard.tar"
    with tarfile.open(shard, "w") as tar:
        Image.new("L", (32, 24)).save(tmp_path / "a.png")
        tar.add(tmp_path / "a.png", "a.png")
    out = tmp_path / "out"
    plan = write_plan(out, JOB.opened()[0], [str(shard)], "", items([str(shard)], out))
    os.utime(shard, (1, 1))
    ((_, error),) = work(plan).failures
    assert error == f"{shard}/a.png: {shard} was changed after the batch was planned"


def test_a_photo_that_vanishes_is_named(tmp_path):
    plan = planned(tmp_path, poison=())
    (tmp_path / "in" / "a.png").unlink()
    report = work(plan)
    assert report.failures == [(f"{tmp_path}/in/a.png", f"{tmp_path}/in/a.png: no such file or directory")]


def test_another_model_than_planned_stops_the_batch(tmp_path):
    plan = planned(tmp_path, job=JOB)
    about = json.loads((plan.out / ABOUT).read_text())
    about["job"]["checksum"] = "0" * 64
    (plan.out / ABOUT).write_text(json.dumps(about))
    report = work(plan)
    assert "needed photo with the SHA-256 000000000000, as it was planned" in report.stop
    assert not report.written
    with pytest.raises(CheckpointError, match="put that file back"):
        replace(JOB, checksum="0" * 64).opened()


def test_a_full_disk_is_no_photos_fault(tmp_path):
    full = OutputError("cannot write x: no space left on device")
    full.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert is_of_the_machine(full, tmp_path)
    assert not is_of_the_machine(OutputError("cannot write x: too wide for its format"), tmp_path)
    assert not is_of_the_machine(OSError(errno.ENOENT, "No such file or directory"), tmp_path)


def test_no_chunk_lies_in_two_row_groups():
    sizes = [chunk_size(num, workers) for num in (1, 40, 10_000, 10**6, 10**9) for workers in (1, 2, 1000)]
    assert all(GROUP_ROWS % size == 0 for size in sizes)
    assert (sizes[0], sizes[-1]) == (1, GROUP_ROWS)
