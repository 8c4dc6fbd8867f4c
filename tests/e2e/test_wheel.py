"""The wheel that is built holds all it needs, and works without the source tree."""

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_wheel_works_without_the_source_tree(tmp_path):
    build = "from hatchling.build import build_wheel; import sys; print(build_wheel(sys.argv[1]))"
    name = subprocess.check_output([sys.executable, "-c", build, tmp_path], cwd=ROOT, text=True).split()[-1]
    with zipfile.ZipFile(tmp_path / name) as wheel:
        names = wheel.namelist()
        wheel.extractall(tmp_path / "installed")
    assert {
        "pixelwise/weights/photo.safetensors",
        "pixelwise/weights/photo.md",
        "pixelwise/weights/heads/flower.safetensors",
        "pixelwise/palettes/handout24.json",
        "pixelwise/lab/a2-cnn.py",
        "pixelwise/py.typed",
    } <= set(names)
    assert not [one for one in names if "test" in one or one.endswith(".pyc")]
    assert (tmp_path / name).stat().st_size < 10e6

    Image.fromarray(load_sample_image("flower.jpg")).save(tmp_path / "flower.jpg")

    def run(*words):
        # -I leaves out the working folder and PYTHONPATH, -S the site's, in which the source tree is linked
        paths = [str(tmp_path / "installed"), sysconfig.get_paths()["purelib"]]
        code = (
            f"import sys; sys.path += {paths}; import pixelwise; "
            f"assert pixelwise.__file__.startswith({str(tmp_path)!r}); "
            "from pixelwise.cli import main; main()"
        )
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", code, *map(str, words)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("--version").strip() == "0.1.0"
    assert "photo" in run("models")
    run("colourise", "flower.jpg", "-o", "coloured.jpg")
    run("segment", "flower.jpg", "--head", "flower", "-o", "mask.png")
    for name in ("coloured.jpg", "mask.png"):
        with Image.open(tmp_path / name) as image:
            assert image.size == (640, 427)
