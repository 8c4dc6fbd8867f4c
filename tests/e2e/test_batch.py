"""batch through the command line: each input once, poison named, 1 and 2 workers alike, kills survived."""

import io
import json
import signal
import subprocess
import tarfile
import time

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pixelwise.batch.price import family, is_worker

pytestmark = pytest.mark.slow  # Ray takes ten seconds to start


@pytest.fixture
def process(program):
    """Run a command as a process of its own: Ray leaves sockets open in one that it was started in."""

    def run_command(*args):
        command = [*program, *map(str, args)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    return run_command


def write_photos(folder, num):
    """Small grey photos; each seventh is damaged."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(num):
        path = folder / f"{index:03}.jpg"
        Image.fromarray(rng.integers(0, 255, (48, 64)).astype(np.uint8)).save(path)
        if index % 7 == 3:
            path.write_bytes(path.read_bytes()[:150])


def table(out):
    return pq.read_table(out / "manifest.parquet").drop_columns(["seconds"])


def contents(out):
    hidden = out / ".batch"
    files = [path for path in out.rglob("*.jpg") if hidden not in path.parents]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def recorded(out):
    lines = [line for path in out.glob(".batch/journal/*") for line in path.read_bytes().splitlines()]
    return sum(b'"output"' in line for line in lines)


def wait_until(is_so, most_s=100.0):
    until_s = time.monotonic() + most_s
    while not is_so() and time.monotonic() < until_s:
        time.sleep(0.02)


def test_killed_at_work_it_ends_as_one_that_was_not(program, process, pixelwise, tmp_path):
    write_photos(tmp_path / "in", 40)
    command = ["batch", "colourise", tmp_path / "in", "--saturation", "0.5"]
    whole = process(*command, "-o", tmp_path / "whole", "--workers", 1, "--json", "--quiet")
    assert whole.returncode == 1, whole.stderr
    values = json.loads(whole.stdout)
    assert len(values["written"]) == 34
    assert values["resumed"] == 0
    assert [one["path"] for one in values["failed"]] == [
        str(tmp_path / "in" / f"{index:03}.jpg") for index in range(3, 40, 7)
    ]
    assert all(one["error"].count("damaged or cut short") for one in values["failed"])

    out = tmp_path / "killed"
    doomed = subprocess.Popen(
        [*program, *map(str, command), "-o", out, "--workers", "2", "--quiet"], stderr=subprocess.DEVNULL
    )
    wait_until(lambda: recorded(out) >= 5 or doomed.poll() is not None)
    doomed.send_signal(signal.SIGKILL)
    assert doomed.wait() == -signal.SIGKILL
    assert not (out / "manifest.parquet").exists()
    kept = recorded(out)

    again = subprocess.Popen(
        [*program, *map(str, command), "-o", out, "--workers", "2", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: recorded(out) >= kept + 3 or again.poll() is not None)
    next(one for one in family(again.pid) if is_worker(one)).kill()
    told, remarks = again.communicate(timeout=120)
    assert again.returncode == 1, remarks
    values = json.loads(told)
    assert values["resumed"] + len(values["written"]) + len(values["failed"]) == 40
    assert values["resumed"] >= kept - 8
    assert table(out).equals(table(tmp_path / "whole"))
    assert contents(out) == contents(tmp_path / "whole")
    assert not list((out / ".batch").glob("runs/*"))

    done = pixelwise(*command, "-o", out, "--workers", 2, "--json", "--quiet")  # needs no Ray
    assert json.loads(done.stdout)["written"] == []
    assert json.loads(done.stdout)["resumed"] == 34
    other = pixelwise("batch", "colourise", tmp_path / "in", "-o", out)
    assert other.returncode == 2
    assert "is of a batch whose saturation is 0.5, got 1.0" in other.stderr

    (tmp_path / "in" / "003.jpg").write_bytes((tmp_path / "in" / "004.jpg").read_bytes())
    repaired = process(*command, "-o", out, "--workers", 1, "--retry", "--json")
    assert repaired.returncode == 1, repaired.stderr
    assert json.loads(repaired.stdout)["written"] == [str(out / "003.jpg")]
    assert json.loads(repaired.stdout)["resumed"] == 34
    assert len(json.loads(repaired.stdout)["failed"]) == 5


def test_masks_of_a_tar_with_hostile_names(process, tmp_path):
    content = io.BytesIO()
    Image.fromarray(np.zeros((40, 48, 3), np.uint8)).save(content, "png")
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        for name in ("000.png", "../escaped.png", str(tmp_path / "absolute.png")):
            member = tarfile.TarInfo(name)
            member.size = len(content.getvalue())
            tar.addfile(member, io.BytesIO(content.getvalue()))
    done = process(
        "batch", "segment", tmp_path / "shard.tar", "--head", "flower", "-o", tmp_path / "a" / "b", "--json"
    )
    assert done.returncode == 1, done.stderr
    values = json.loads(done.stdout)
    assert values["written"] == [str(tmp_path / "a" / "b" / "shard" / "000.png")]
    assert [one["error"].rpartition(": ")[2] for one in values["failed"]] == [
        "its name climbs out of the archive",
        "its name in the archive is absolute",
    ]
    assert sorted(path.name for path in tmp_path.rglob("*.png")) == ["000.png"]
    with Image.open(values["written"][0]) as mask:
        assert mask.size == (48, 40)
