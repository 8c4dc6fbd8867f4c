"""Batches without Ray: the plan and its results in one file, a worker, the manifest, an estimate."""

import contextlib
import errno
import io
import os
import sqlite3
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fixtures.foreign import zhang
from fixtures.photos.make import scene
from pixelwise.batch import run
from pixelwise.batch.job import Job
from pixelwise.batch.run import publish, run_batch
from pixelwise.batch.sources import extract, find_items
from pixelwise.batch.state import STATE, BatchState, Result, open_state
from pixelwise.batch.work import ATTEMPTS, STAGING, Worker, is_of_the_machine
from pixelwise.errors import ConfigError, DataError, OutputError
from pixelwise.files import checksum

JOB = Job(task="colourise", model="photo", device="cpu")


@pytest.fixture(scope="module")
def job():
    return JOB.open()[0]


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for name in "abc":
        path = tmp_path / "in" / f"{name}.png"
        Image.fromarray(rng.integers(0, 255, (24, 32)).astype(np.uint8)).save(path)
    (tmp_path / "in" / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    return tmp_path / "in"


@pytest.fixture
def out(tmp_path, job, photos):
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
    assert (done.written, done.num_resumed) == ([], 2)
    assert [failure.path for failure in done.failed] == [photos / "b.png"]
    rows = pq.read_table(done.manifest).to_pylist()
    assert [row["path"] for row in rows] == [str(photos / f"{name}.png") for name in "abc"]
    assert [row["output"] for row in rows] == ["a.png", None, "c.png"]
    assert rows[0]["checksum"] == checksum(out / "a.png")
    assert rows[0]["model_checksum"] == job.checksum
    assert str(photos / "b.png") in rows[1]["error"]
    assert rows[0]["error"] is None


def test_what_is_to_be_known_of_a_photo_stands_in_the_manifest(out, job, photos):
    first, second = (Image.fromarray(scene(seed=seed)) for seed in range(2))
    first.save(photos / "b.png", format="TIFF", save_all=True, append_images=[second])
    work(out, job, photos)
    rows = pq.read_table(run_batch(job, [str(photos)], out).manifest).to_pylist()
    remarks = rows[1]["remarks"]
    assert f"{photos / 'b.png'}: took the first of 2 pictures" in remarks
    assert any(remark.startswith(f"{photos / 'b.png'} was in colour already") for remark in remarks)


def test_of_remarks_only_warnings_are_on_the_screen_and_photos_with_any_are_counted(
    out, job, photos, caplog, monkeypatch
):
    remarks = [("a: warning: dull", "a was in colour already"), ("b was in colour already",), ()]
    results = (Result(index=index, error="no", remarks=those) for index, those in enumerate(remarks))
    said = []
    monkeypatch.setattr(run, "start_ray", lambda *_: contextlib.nullcontext(1))
    monkeypatch.setattr(run, "work", lambda *_: results)
    monkeypatch.setattr(run, "announce", said.append)
    run_batch(job, [str(photos)], out)
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [remarks[0][0]]
    assert said[-1] == "the manifest has remarks on 2 of these photos"


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


OUT = Path("nowhere")


def photo_bytes(shade=120):
    content = io.BytesIO()
    Image.fromarray(np.full((8, 8), shade, np.uint8)).save(content, "png")
    return content.getvalue()


def find(*sources, out=OUT):
    return list(find_items([str(one) for one in sources], out))


def write_tar(path, members):
    """Members are names and bytes, or ready-made TarInfo."""
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def write_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content)


def test_a_folder_gives_its_photos_in_order_and_no_output_of_the_batch(tmp_path):
    for name in ("b/x.jpg", "a.png", "a.jpg", "notes.txt", ".hidden.png", "out/a.png", "set.tar"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = find(tmp_path, out=tmp_path / "out")
    targets = [(os.path.relpath(one.path, tmp_path), one.target) for one in found]
    assert targets == [("a.jpg", "a"), ("a.png", "a.png"), ("b/x.jpg", "b/x")]
    assert [one.target for one in find(tmp_path / "a.*", tmp_path / "a.jpg")] == ["a", "a.png", "a.jpg"]


@pytest.mark.parametrize("write", [write_tar, write_zip])
def test_an_archive_gives_its_photos_and_follows_no_name_of_it(tmp_path, write):
    path = tmp_path / f"shard.{write.__name__[-3:]}"
    names = ["000.png", "../../climbs.png", "/absolute.png", "C:\\windows.png", ".batch/x.png", "b/1.png"]
    write(path, [("000.json", b"{}"), *((name, photo_bytes(shade)) for shade, name in enumerate(names))])
    found = find(path)
    targets = [one.target for one in found]
    assert targets[:3] == ["shard/000", "shard/climbs", "shard/absolute"]
    assert targets[4:] == ["shard/_batch/x", "shard/b/1"]
    assert [bool(one.refused) for one in found] == [False, True, True, True, False, False]
    for index in (5, 0, 4):
        extract(found[index], tmp_path / "photo")
        assert (tmp_path / "photo").read_bytes() == photo_bytes(index)


def test_links_in_a_tar_are_refused(tmp_path):
    link, hard = tarfile.TarInfo("link.png"), tarfile.TarInfo("hard.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    hard.type, hard.linkname = tarfile.LNKTYPE, "000.png"
    write_tar(tmp_path / "shard.tar", [("000.png", photo_bytes()), (link, b""), (hard, b"")])
    assert ["link" in one.refused for one in find(tmp_path / "shard.tar")] == [False, True, True]


def test_a_tar_that_is_cut_short_gives_what_is_whole_and_names_the_rest(tmp_path):
    write_tar(tmp_path / "a.tar", [("0.png", photo_bytes()), ("1.png", bytes(5000))])
    (tmp_path / "a.tar").write_bytes((tmp_path / "a.tar").read_bytes()[:3000])
    first, *others = find(tmp_path / "a.tar")
    assert not first.refused
    assert "damaged" in others[-1].refused


@pytest.mark.parametrize("name", ["none.tar", "empty", "noise.tar", "noise.zip", "shard.tar.gz", "*.jpg"])
def test_a_source_that_cannot_be_read_is_named(tmp_path, name):
    (tmp_path / "empty").mkdir()
    for noise in ("noise.tar", "noise.zip", "shard.tar.gz"):
        (tmp_path / noise).write_bytes(b"noise" * 300)
    with pytest.raises(DataError, match=name.replace("*", r"\*")):
        find(tmp_path / name)


PARTS = st.sampled_from(["a", "A", "b", "..", ".", ".batch", "é", "a.jpg", "a.png", "A.JPG", ""])


@given(st.lists(st.lists(PARTS, max_size=3).map("/".join), min_size=1, max_size=12))
def test_every_output_has_a_name_of_its_own_below_the_folder(tmp_path_factory, names):
    path = tmp_path_factory.mktemp("names") / "x.tar"
    write_tar(path, [(f"{name}/p.png", b"") for name in names])
    targets = [one.target for one in find(path)]
    assert len(targets) == len(names)
    assert len({one.casefold() for one in targets}) == len(targets)
    assert not any(part.startswith(".") for one in targets for part in Path(one).parts)
    assert not any(Path(one).is_absolute() for one in targets)
