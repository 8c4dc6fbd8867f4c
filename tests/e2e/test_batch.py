"""Batches, each input once whatever dies, and faults from outside: a full disk, photos that change."""

import io
import json
import shutil
import signal
import subprocess
import tarfile
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fixtures.halves import folder_of_halves
from fixtures.photos.make import write_noise

pytestmark = pytest.mark.slow


@pytest.fixture
def start(program):
    """Start a command as a process of its own: Ray leaves sockets open in one that it was started in."""

    def start_command(*args):
        command = [*program, *map(str, args), "--json"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return start_command


def finish(process):
    output, remarks = process.communicate(timeout=120)
    assert process.returncode == 1, remarks
    return json.loads(output)


def write_photos(folder, num):
    """Small grey photos; each seventh is damaged."""
    for path in write_noise(folder, num, 48, 64)[3::7]:
        path.write_bytes(path.read_bytes()[:150])


def table(out):
    return pq.read_table(out / "manifest.parquet").drop_columns(["seconds"])


def contents(out):
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*.jpg")}


def wait_for_outputs(process, out, num, most_s=100.0):
    until_s = time.monotonic() + most_s
    while len(list(out.glob("*.jpg"))) < num and process.poll() is None and time.monotonic() < until_s:
        time.sleep(0.02)


def test_killed_at_work_it_ends_as_one_that_was_not(start, pixelwise, tmp_path):
    write_photos(tmp_path / "in", 40)
    command = ["batch", "colourise", tmp_path / "in", "--saturation", "0.5"]
    values = finish(start(*command, "-o", tmp_path / "whole", "--workers", 1, "--quiet"))
    assert len(values["written"]) == 34
    assert values["resumed"] == 0
    damaged = [str(tmp_path / "in" / f"{index:03}.jpg") for index in range(3, 40, 7)]
    assert [one["path"] for one in values["failed"]] == damaged
    assert all(one["error"].startswith(one["path"]) for one in values["failed"])

    out = tmp_path / "killed"
    doomed = start(*command, "-o", out, "--workers", 2)
    wait_for_outputs(doomed, out, 5)
    doomed.send_signal(signal.SIGKILL)
    doomed.communicate()
    assert not (out / "manifest.parquet").exists()
    num_kept = len(list(out.glob("*.jpg")))

    again = start(*command, "-o", out, "--workers", 2)
    wait_for_outputs(again, out, num_kept + 3)
    children = psutil.Process(again.pid).children(recursive=True)
    next(one for one in children if "(Worker)" in " ".join(one.cmdline())).kill()
    values = finish(again)
    assert values["resumed"] + len(values["written"]) == 34
    assert values["resumed"] == num_kept
    assert table(out).equals(table(tmp_path / "whole"))
    assert contents(out) == contents(tmp_path / "whole")
    assert {path.name for path in out.iterdir()} == {"batch.sqlite", "manifest.parquet", *contents(out)}

    done = pixelwise(*command, "-o", out, "--workers", 2, "--json", "--quiet")  # needs no Ray
    assert json.loads(done.stdout)["written"] == []
    assert json.loads(done.stdout)["resumed"] == 34

    (tmp_path / "in" / "003.jpg").write_bytes((tmp_path / "in" / "004.jpg").read_bytes())
    repaired = finish(start(*command, "-o", out, "--workers", 1, "--retry"))
    assert repaired["written"] == [str(out / "003.jpg")]
    assert len(repaired["failed"]) == 5


def test_masks_of_a_tar_with_hostile_names(start, tmp_path):
    content = io.BytesIO()
    Image.fromarray(np.zeros((40, 48, 3), np.uint8)).save(content, "png")
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        for name in ("000.png", "../escaped.png", str(tmp_path / "absolute.png")):
            member = tarfile.TarInfo(name)
            member.size = len(content.getvalue())
            tar.addfile(member, io.BytesIO(content.getvalue()))
    out = tmp_path / "a" / "b"
    values = finish(start("batch", "segment", tmp_path / "shard.tar", "--head", "flower", "-o", out))
    assert values["written"] == [str(out / "shard" / "000.png")]
    assert len(values["failed"]) == 2
    assert [path.name for path in tmp_path.rglob("*.png")] == ["000.png"]
    with Image.open(values["written"][0]) as mask:
        assert mask.size == (48, 40)


def test_a_dry_run_counts_and_times(answer, refused, tmp_path):
    write_photos(tmp_path / "in", 3)
    values = answer("batch", "colourise", tmp_path / "in", "-o", tmp_path / "out", "--dry-run")
    assert values["photos"] == 3
    assert values["seconds"] > 0
    assert values["written"] == values["failed"] == []
    assert not (tmp_path / "out").exists()
    assert "workers" in refused("batch", "colourise", tmp_path, "-o", tmp_path / "out", "--workers", 0)


@pytest.fixture
def disk(tmp_path):
    """A disk of its own, and a way to make it larger."""

    def mount(*options) -> int:
        return subprocess.run(
            ["mount", "-t", "tmpfs", "-o", *options], capture_output=True, check=False
        ).returncode

    folder = tmp_path / "disk"
    folder.mkdir()
    if shutil.which("mount") is None or mount("size=200k", "tmpfs", folder):
        pytest.skip("a disk can be mounted by root alone")
    yield folder, lambda size: mount(f"remount,size={size}", folder)
    subprocess.run(["umount", "-l", folder], check=True)


def all_whole(folder: Path) -> list[str]:
    for path in folder.glob("*.jpg"):
        with Image.open(path) as image:
            image.load()
    return sorted(path.name for path in folder.glob("*.jpg"))


def test_a_full_disk_costs_only_the_copies_that_did_not_fit(pixelwise, disk, tmp_path):
    folder, enlarge = disk
    paths = write_noise(tmp_path / "photos", 12, 200, 200)
    done = pixelwise("colourise", tmp_path / "photos", "-o", folder / "out", "--json")
    assert done.returncode == 1
    values = json.loads(done.stdout)
    assert 0 < len(values["written"]) < 12
    assert len(values["written"]) + len(values["failed"]) == 12
    assert all(one["error"].endswith(": no space left on device") for one in values["failed"])
    assert all_whole(folder / "out") == sorted(Path(path).name for path in values["written"])
    assert not list((folder / "out").glob(".*"))
    enlarge("20m")
    assert pixelwise("colourise", tmp_path / "photos", "-o", folder / "out").returncode == 0
    assert all_whole(folder / "out") == [path.name for path in paths]


def test_a_batch_waits_for_room_and_blames_no_photo(program, disk, tmp_path):
    folder, enlarge = disk
    paths = write_noise(tmp_path / "photos", 12, 200, 200)
    command = [*program, "batch", "colourise", tmp_path / "photos", "-o", folder / "out", "--workers", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no space left on device; make room, then go on" in done.stderr
    assert "Traceback" not in done.stderr
    num_before = len(all_whole(folder / "out"))
    assert 0 < num_before < 12
    enlarge("20m")
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["resumed"] == num_before
    assert all_whole(folder / "out") == [path.name for path in paths]


def test_training_on_a_full_disk_goes_on_once_there_is_room(answer, refused, disk):
    folder, enlarge = disk
    enlarge("100k")
    train = ("train", "unet", "synthetic:shapes", "--num-filters", 4, "--epochs", 1, "-o", folder / "run")
    assert "no space left on device" in refused(*train)
    assert not list((folder / "run").glob(".*"))
    enlarge("20m")
    there = (folder / "run" / "checkpoint.safetensors").exists()
    answer(*(("train", "--resume", "-o", folder / "run") if there else train))
    assert (folder / "run" / "model.onnx").exists()


def test_features_that_do_not_fit_on_disk_stay_in_memory(pixelwise, disk, tmp_path, monkeypatch):
    folder, _ = disk
    monkeypatch.setenv("PIXELWISE_CACHE", str(folder))
    data = folder_of_halves(tmp_path / "halves", train=[0, 1, 2, 3], val=[4, 5], test=[6, 7])
    done = pixelwise("finetune", f"folder:{data}", "--sizes", 128, "-o", tmp_path / "head", "--json")
    assert done.returncode == 0, done.stderr
    assert "stay in memory" in done.stderr
    assert json.loads(done.stdout)["after"]["miou"] > 0.8


@pytest.mark.parametrize("fault", ["vanishes", "is replaced"])
def test_a_photo_that_changes_under_way_is_one_photo(program, tmp_path, fault):
    paths = write_noise(tmp_path / "photos", 40, 900, 900)
    other = write_noise(tmp_path / "other", 1, 300, 300)[0]
    out = tmp_path / "out"
    command = [*program, "colourise", tmp_path / "photos", "-o", out, "--json", "--quiet"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not list(out.glob("*.jpg")) and running.poll() is None:
        time.sleep(0.01)
    if fault == "vanishes":
        paths[-1].unlink()
    else:
        other.replace(paths[-1])
    output, remarks = running.communicate(timeout=120)
    values = json.loads(output)
    assert "Traceback" not in remarks
    if fault == "vanishes":
        assert running.returncode == 1
        assert [one["path"] for one in values["failed"]] == [str(paths[-1])]
        assert "no such file" in values["failed"][0]["error"]
    else:
        assert running.returncode == 0
        with Image.open(out / paths[-1].name) as image:
            assert image.size == (300, 300)
    assert len(all_whole(out)) == 40 - len(values["failed"])
