"""What a batch is said to cost: the sums, the photos it is tried on, memory of a family of processes."""

import os
import subprocess
import sys

import pytest
from PIL import Image

from pixelwise.batch.job import Job
from pixelwise.batch.names import NAME_BYTES
from pixelwise.batch.price import Rehearsed, family_bytes, make_photo, plan_batch
from pixelwise.errors import ConfigError

REHEARSED = Rehearsed(
    flops=10**9,
    start_s=10.0,
    photo_s=0.5,
    finish_s=1.0,
    own_bytes=10**9,
    worker_bytes=5 * 10**8,
    plan_s=1e-5,
    manifest_s=2e-5,
    num_here=2,
)


def test_photos_are_divided_among_workers_and_papers_are_not():
    cost = REHEARSED.cost(10**6, 1000, started_s=3.0)
    parts = {part.name: part.amount for part in cost.seconds_by}
    assert parts == pytest.approx(
        {
            "start": 13.0,
            "planning": 10.0,
            "photos": 500.0,
            "the last": 8.0,  # half of 32 photos
            "the manifest": 20.0,
            "finish": 1.0,
        }
    )
    assert cost.flops == 10**15
    assert cost.memory_bytes == 1000 * 5 * 10**8 + 500 * 10**9 + 10**6 * NAME_BYTES


def test_one_worker_takes_as_long_as_all_photos_together():
    few = REHEARSED.cost(10, 1, started_s=0.0)
    assert few.seconds == pytest.approx(10.0 + 5.0 + 0.25 + 1.0, abs=1e-3)
    assert few.memory_bytes == 1.5e9 + 10 * NAME_BYTES


@pytest.mark.parametrize("megapixels", [0.01, 0.5])
def test_the_photos_that_are_made_up_have_the_size_asked_for(tmp_path, megapixels):
    make_photo(tmp_path / "a.jpg", megapixels, seed=0)
    make_photo(tmp_path / "b.jpg", megapixels, seed=0)
    with Image.open(tmp_path / "a.jpg") as photo:
        assert photo.mode == "L"
        assert photo.width * photo.height / 1e6 == pytest.approx(megapixels, rel=0.02)
    assert (tmp_path / "a.jpg").read_bytes() == (tmp_path / "b.jpg").read_bytes()


def test_memory_is_that_of_a_process_and_its_children():
    program = "held = bytearray(b'x') * 60_000_000; print(flush=True); input()"
    alone, _ = family_bytes(os.getpid())
    with subprocess.Popen([sys.executable, "-c", program], stdin=-1, stdout=-1, text=True) as child:
        child.stdout.readline()
        with_child, workers = family_bytes(os.getpid())
        child.communicate("\n")
    assert with_child - alone > 40e6
    assert workers == []


def test_numbers_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="got 0, 2 and 12"):
        plan_batch(Job(task="colourise", model="photo"), 0, 2)
