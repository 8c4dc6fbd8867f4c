"""What leaves the source tree: exports for other programs, equal to what runs here, and the wheel."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from pixelwise import __version__
from pixelwise.api.demo import FLOWER
from pixelwise.colour.spaces import srgb_to_lab
from pixelwise.evaluate.colour_scores import ciede2000
from pixelwise.network.cards import card_path, shipped_heads, shipped_models, weights_path
from pixelwise.training.export import sample_photos

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
WITHOUT_TORCH = """
import runpy, sys
sys.modules.update(torch=None, pixelwise=None)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory, program) -> Path:
    path = tmp_path_factory.mktemp("export") / "photo.onnx"
    command = [*program, "export", "photo", "-o", str(path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert values["max_difference"] < 0.01
    assert values["bytes"] == path.stat().st_size
    return path


def opened(path):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    facts = session.get_modelmeta().custom_metadata_map
    return session, {key: json.loads(text) for key, text in facts.items()}


def test_the_example_colours_as_the_program_does_without_torch(exported, tmp_path, pixelwise):
    photo = sample_photos()[0]
    example, ours = tmp_path / "example.png", tmp_path / "ours.png"
    script = str(ROOT / "examples" / "colour_with_onnxruntime.py")
    command = [sys.executable, "-c", WITHOUT_TORCH, script, str(exported), str(photo), str(example)]
    subprocess.run(command, check=True, timeout=60)
    assert pixelwise("colourise", photo, "-o", ours).returncode == 0
    both = (np.moveaxis(np.asarray(Image.open(one)), -1, 0) / 255 for one in (example, ours))
    assert ciede2000(*map(srgb_to_lab, both)).mean() < 0.2


def test_any_size_and_any_number(exported, answer, tmp_path):
    session, facts = opened(exported)
    grey = np.random.default_rng(0).random((3, 1, 32, 96), dtype=np.float32)
    (logits,) = session.run(None, {"grey": grey})
    assert logits.shape == (3, 64, 8, 24)
    assert (facts["task"], facts["short_side"], facts["multiple"]) == ("colour", 192, 32)
    assert len(facts["palette"]["colours"]) == 64
    assert facts["licence"].startswith("MIT")
    again = tmp_path / "again.onnx"
    assert answer("export", exported, "-o", again)["max_difference"] < 0.01  # it is a model here, too
    np.testing.assert_allclose(opened(again)[0].run(None, {"grey": grey})[0], logits, atol=1e-3)


def test_a_head_gives_logits_at_the_size_that_is_asked_for(tmp_path, answer):
    path = tmp_path / "flower.onnx"
    assert answer("export", "flower", "-o", path)["equal"] > 0.999
    session, facts = opened(path)
    photos = {f"photo_{size}": np.zeros((1, 3, 64, 96), np.float32) for size in facts["short_side"]}
    (logits,) = session.run(None, photos | {"size": np.array([50, 70])})
    assert logits.shape == (1, len(facts["classes"]["names"]), 50, 70)
    script = [sys.executable, str(ROOT / "examples" / "colour_with_onnxruntime.py")]
    refused = subprocess.run(
        [*script, path, sample_photos()[0], tmp_path / "x.png"], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert "flower.onnx" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(["photo", "-o", "photo.pt"], "photo.onnx"), (["nothing", "-o", "x.onnx"], "flower20")],
)
def test_wrong_use_is_refused_and_nothing_written(arguments, named, tmp_path, refused, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert named in refused("export", *arguments)
    assert not list(tmp_path.iterdir())


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
    assert wheel.stat().st_size < 9e6  # 6.4 MB of it the backbone, before it is packed


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
