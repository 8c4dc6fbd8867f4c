"""The wheel: it holds what the program needs and nothing else, and works without the source tree."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from pixelwise import __version__
from pixelwise.api.demo import FLOWER
from pixelwise.network.cards import card_path, shipped_heads, shipped_models, weights_path

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Installed in a folder of its own; what it depends on is this environment's."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", folder, wheel], check=True, capture_output=True, timeout=120)
    return folder


@pytest.fixture(scope="module")
def run(installed, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {"PYTHONPATH": str(installed), "XDG_CACHE_HOME": str(elsewhere / "cache")}

    def run_program(*arguments):
        command = [str(installed / "bin" / "pixelwise"), *map(str, arguments)]
        done = subprocess.run(
            command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run_program.environment, run_program.folder = environment, elsewhere
    return run_program


@pytest.fixture(scope="module")
def photo():
    return FLOWER.path


def test_it_holds_the_package_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    about = {name for name in names if name.startswith(f"pixelwise-{__version__}.dist-info/")}
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "src/pixelwise"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert names - about == {name.removeprefix("src/") for name in tracked if (ROOT / name).exists()}
    for name in (*shipped_models(), *shipped_heads()):
        for path in (weights_path(name), card_path(name)):
            assert str(path.relative_to(ROOT / "src")) in names
    others = "py.typed colour/palettes/handout24.json lab/a2-cnn.py lab/typst/writeup.typ lab/typst/frame.typ"
    others += " api/photographs/temple.jpg api/photographs/flower.jpg api/photographs/hopper.jpg"
    assert {f"pixelwise/{name}" for name in others.split()} <= names
    facts = "METADATA WHEEL RECORD entry_points.txt LICENSE"
    assert {name.rpartition("/")[2] for name in about} == set(facts.split())
    assert wheel.stat().st_size < 11e6  # 9.1 MB of it the backbone, before it is packed


def test_it_colours_and_cuts_out(run, photo):
    with Image.open(photo) as original:
        original.convert("L").save(run.folder / "flower.jpg")
    coloured = json.loads(run("colourise", "flower.jpg", "-o", "coloured", "--json", "--quiet"))
    assert coloured["failed"] == []
    cut = json.loads(run("segment", photo, "-o", "cut", "--head", "flower", "--cut-out", "--json", "--quiet"))
    with Image.open(run.folder / "coloured" / "flower.jpg") as image, Image.open(photo) as original:
        assert image.size == original.size
        assert max(high - low for low, high in image.convert("LAB").getextrema()[1:]) > 20
    with Image.open(run.folder / cut["cut_outs"][0]) as image:
        share = image.getchannel("A").histogram()[255] / (image.width * image.height)
    assert 0.05 < share < 0.5
