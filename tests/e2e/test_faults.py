"""Faults from outside, injected: a full disk, photos that vanish or change."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from PIL import Image

from fixtures.halves import folder_of_halves
from fixtures.photos.make import write_noise

pytestmark = pytest.mark.slow


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
