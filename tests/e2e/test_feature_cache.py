"""The cache of features among processes: killed, interrupted, several at once."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
from filelock import FileLock
from PIL import Image

from fixtures.photos.make import scene
from fixtures.tiny_backbone import num_seen, tiny_backbone
from pixelwise.segmenting.feature_cache import FeatureCache

pytestmark = [pytest.mark.core, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
PATHS = os.pathsep.join((str(ROOT / "tests"), str(ROOT / "src")))
NUM_PHOTOS = 20
_FILL = """
import sys
from pathlib import Path
from fixtures.tiny_backbone import num_seen, tiny_backbone
from pixelwise.segmenting.feature_cache import FeatureCache

folder, photos, pause_s, limit_bytes = sys.argv[1:]
backbone = tiny_backbone(pause_s=float(pause_s))
print("ready", flush=True)
sys.stdin.readline()
maps = FeatureCache(Path(folder), int(limit_bytes)).maps(sorted(Path(photos).iterdir()), backbone)
total = sum(float(one.sum(dtype="f8")) for photo in maps for one in photo.read())
print(num_seen(backbone), total)
"""


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(NUM_PHOTOS):
        Image.fromarray(scene(40, 56, seed=number)).save(folder / f"{number:02}.png")
    return folder


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def filling(folder: Path, photos: Path, pause_s: float = 0.0, limit_bytes: int = 10**9) -> subprocess.Popen:
    """A process that is ready to fill the cache, and waits for a line to begin."""
    process = subprocess.Popen(
        [sys.executable, "-c", _FILL, folder, photos, str(pause_s), str(limit_bytes)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": PATHS, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout.readline() == "ready\n", process.stderr.read()
    return process


def begin(process: subprocess.Popen) -> None:
    process.stdin.write("\n")
    process.stdin.flush()


def entries(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def wait_for_entries(folder: Path, num: int) -> None:
    deadline_s = time.monotonic() + 30
    while len(entries(folder)) < num:
        assert time.monotonic() < deadline_s
        time.sleep(0.002)


def fill_here(folder: Path, photos: Path) -> tuple[int, float]:
    """What is computed in this process, and the sum of all features."""
    backbone = tiny_backbone()
    maps = FeatureCache(folder).maps(sorted(photos.iterdir()), backbone)
    return num_seen(backbone), sum(float(one.sum(dtype="f8")) for photo in maps for one in photo.read())


def test_a_kill_loses_nothing_that_was_finished(folder, photos):
    num_before = 0
    for _ in range(2):
        process = filling(folder, photos, pause_s=0.004)
        begin(process)
        wait_for_entries(folder, num_before + 6)
        time.sleep(random.random() * 0.02)
        process.kill()
        process.communicate()
        num_after = len(entries(folder))
        assert num_before + 6 <= num_after < NUM_PHOTOS
        num_before = num_after
    num_computed, total = fill_here(folder, photos)
    assert num_computed == 2 * (NUM_PHOTOS - num_before)
    assert total == fill_here(folder.with_name("undisturbed"), photos)[1]


def test_an_interruption_leaves_the_cache_whole_and_nothing_else(folder, photos):
    process = filling(folder, photos, pause_s=0.01)
    begin(process)
    wait_for_entries(folder, 4)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode != 0
    assert "KeyboardInterrupt" in errors
    num = len(entries(folder))
    assert num < NUM_PHOTOS
    assert {path.name for path in folder.iterdir()} - {path.name for path in entries(folder)} == {"lock"}
    assert fill_here(folder, photos)[0] == 2 * (NUM_PHOTOS - num)


@pytest.mark.parametrize("limit_bytes", [10**9, 50_000], ids=["enough", "too little"])
def test_two_that_fill_one_cache_at_once_agree_and_keep_the_limit(folder, photos, limit_bytes):
    both = [filling(folder, photos, limit_bytes=limit_bytes) for _ in range(2)]
    for process in both:
        begin(process)
    most_bytes = 0
    while any(process.poll() is None for process in both):
        with FileLock(folder / "lock") if folder.exists() else nullcontext():  # nothing is added meanwhile
            most_bytes = max(most_bytes, sum(path.stat().st_size for path in entries(folder)))
    totals = {process.communicate()[0].split()[1] for process in both}
    assert totals == {str(fill_here(folder.with_name("undisturbed"), photos)[1])}
    assert most_bytes <= limit_bytes
    if limit_bytes == 10**9:
        assert fill_here(folder, photos)[0] == 0
        assert len(entries(folder)) == NUM_PHOTOS
