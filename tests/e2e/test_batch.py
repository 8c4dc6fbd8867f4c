"""batch through the command line: each input once, poison named, 1 and 2 workers alike, kills survived."""

import io
import json
import signal
import subprocess
import tarfile
import time

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fixtures.photos.make import write_noise

pytestmark = pytest.mark.slow  # Ray takes ten seconds to start


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
