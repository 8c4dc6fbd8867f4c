"""Batches without Ray: the plan and its results in one file, a worker, the manifest, an estimate."""

import errno
import os
import sqlite3
import tarfile
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fixtures.foreign import zhang
from pixelwise.batch.job import Job
from pixelwise.batch.run import publish, run_batch
from pixelwise.batch.sources import find_items
from pixelwise.batch.state import STATE, BatchState, open_state
from pixelwise.batch.work import ATTEMPTS, STAGING, Worker, is_of_the_machine
from pixelwise.errors import ConfigError, DataError, OutputError
from pixelwise.files import checksum

JOB = Job(task="colourise", model="photo", device="cpu")


@pytest.fixture(scope="module")
def job():
    return JOB.open()[0]


@pytest.fixture
def photos(tmp_path):
    """a.png, b.png, c.png, of which b.png is damaged."""
    rng = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for name in "abc":
        path = tmp_path / "in" / f"{name}.png"
        Image.fromarray(rng.integers(0, 255, (24, 32)).astype(np.uint8)).save(path)
    (tmp_path / "in" / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    return tmp_path / "in"


@pytest.fixture
def out(tmp_path, job, photos):
    """A folder with a plan over the photos."""
    out = tmp_path / "out"
    with open_state(out) as state:
        state.write_plan(job, [str(photos)], find_items([str(photos)], out))
    for folder in (ATTEMPTS, STAGING):
        (out / folder).mkdir(parents=True)
    return out


def work(out, job, sources, condition="result IS NULL"):
    """Do what is left, as one worker does; return what became of it."""
    worker = Worker(out, job)
    with open_state(out) as state:
        state.forget_missing()
        left = [row for table in state.left(condition) for row in table["index"].to_pylist()]
        items = list(find_items([str(sources)], out))
        return [publish(state, worker.make(index, items[index])) for index in left]


def test_an_option_that_the_model_cannot_have_is_refused_at_once(tmp_path):
    theirs = zhang(tmp_path / "theirs.onnx", 16)
    with pytest.raises(ConfigError, match="temperature"):
        replace(JOB, model=str(theirs), temperature=0.5).open()


def test_a_plan_is_written_whole_and_stays(out, job, photos):
    with open_state(out) as state:
        assert state.plan() == (job, (str(photos),))
        assert state.num() == state.num("result IS NULL") == 3
        with pytest.raises(DataError):
            state.write_manifest(job)
    with pytest.raises(ConfigError, match=r"saturation is 1\.0, got 0\.5"):
        run_batch(replace(job, saturation=0.5), [str(photos)], out)


def test_folders_that_no_batch_can_use_are_refused_and_stay_as_they_were(out, job, photos):
    before = sorted(photos.iterdir())
    with pytest.raises(ConfigError, match=r"a\.png|b\.png|c\.png"):
        run_batch(job, [str(photos)], photos)
    assert sorted(photos.iterdir()) == before
    with open_state(out), pytest.raises(ConfigError, match="another run"):
        run_batch(job, [str(photos)], out)
    (out / STATE).write_bytes(b"noise" * 1000)
    with pytest.raises(DataError, match=STATE):
        run_batch(job, [str(photos)], out)


def test_a_worker_makes_outputs_and_the_manifest_lists_all(out, job, photos):
    results = work(out, job, photos)
    assert [bool(result.error) for result in results] == [False, True, False]
    done = run_batch(job, [str(photos)], out)  # nothing is left, so that Ray is not started
    assert (done.num_written, done.num_resumed) == (0, 2)
    assert [failure.path for failure in done.failed] == [photos / "b.png"]
    rows = pq.read_table(done.manifest).to_pylist()
    assert [row["path"] for row in rows] == [str(photos / f"{name}.png") for name in "abc"]
    assert [row["output"] for row in rows] == ["a.png", None, "c.png"]
    assert rows[0]["checksum"] == checksum(out / "a.png")
    assert rows[0]["model_checksum"] == job.checksum
    assert str(photos / "b.png") in rows[1]["error"]
    assert rows[0]["error"] is None


@pytest.mark.slow
def test_only_what_is_gone_is_made_again(out, job, photos):
    work(out, job, photos)
    before = (out / "c.png").stat().st_mtime_ns, checksum(out / "a.png")
    (out / "a.png").unlink()
    assert [result.index for result in work(out, job, photos)] == [0]
    assert ((out / "c.png").stat().st_mtime_ns, checksum(out / "a.png")) == before
    (photos / "b.png").write_bytes((photos / "a.png").read_bytes())
    (repaired,) = work(out, job, photos, "failed")
    assert repaired.output == "b.png"
    with open_state(out) as state:
        assert state.num("NOT failed") == 3


def test_an_input_that_three_workers_died_over_is_set_aside(out, job, photos):
    (out / ATTEMPTS / "0").write_bytes(b"..")
    (out / ATTEMPTS / "2").write_bytes(b"...")
    first, _, last = work(out, job, photos)
    assert (first.output, first.attempts) == ("a.png", 3)
    assert last.error.startswith(f"{photos}/c.png: 3 workers died over it")
    assert not list((out / ATTEMPTS).iterdir())
    assert not list((out / STAGING).iterdir())


def test_inputs_that_vanish_or_change_are_named(tmp_path, out, job, photos):
    worker = Worker(out, job)
    (photo,) = find_items([str(photos / "a.png")], out)
    (photos / "a.png").unlink()
    assert f"{photos}/a.png: " in worker.make(0, photo).error
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        tar.add(photos / "c.png", "c.png")
    (member,) = find_items([str(tmp_path / "shard.tar")], out)
    assert worker.make(1, member).output == "shard/c.png"
    os.utime(tmp_path / "shard.tar", (1, 1))
    assert "changed" in worker.make(1, member).error


def test_a_full_disk_is_no_photos_fault(tmp_path):
    full = OutputError("cannot write x")
    full.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert is_of_the_machine(full, tmp_path)
    assert not is_of_the_machine(OutputError("too wide for its format"), tmp_path)
    assert not is_of_the_machine(OSError(errno.ENOENT, "No such file or directory"), tmp_path)


def test_no_output_is_without_its_record(out, job, photos):
    (photo, *_) = find_items([str(photos)], out)
    result = Worker(out, job).make(0, photo)
    with open_state(out) as state:
        with pytest.raises(sqlite3.OperationalError), sqlite3.connect(":memory:") as empty:
            publish(BatchState(out, empty), result)
        assert not (out / "a.png").exists()
        failed = publish(state, replace(result, output=f"{'long' * 100}.png"))
        assert "name too long" in failed.error
        assert state.num("failed") == 1
        publish(state, result)
        assert (out / "a.png").is_file()
        assert state.num("NOT failed") == 1
