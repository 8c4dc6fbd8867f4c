"""The core on systems without POSIX, where open files stay where they are and names have their rules."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fixtures.as_on_windows import POSIX
from fixtures.photos.make import PHOTOS
from pixelwise.cli.common import as_file_name
from pixelwise.network.session import usable_processors

pytestmark = pytest.mark.core

ROOT = Path(__file__).parents[2]
EXTRAS = {"torch", "torchvision", "kornia", "sklearn", "cv2", "matplotlib", "jaxtyping"}
PRELUDE = """
import sys, warnings
from pathlib import Path
from fixtures.as_on_windows import hide, refuse
refuse(Path())
warnings.filterwarnings("error", category=EncodingWarning, module="pixelwise")
"""


def run(folder, program, *args):
    """Run a program in a folder, as on Windows, its text in an old code page."""
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])
    environment = os.environ | {"PYTHONPATH": paths, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    command = [sys.executable, "-X", "warn_default_encoding", "-c", PRELUDE + program, *args]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False, timeout=100)
    return done.returncode, done.stdout.decode("cp1252"), done.stderr.decode("cp1252")


def test_photos_are_coloured_by_the_program(tmp_path):
    for name in ("camera.jpg", "grey16.png"):
        PHOTOS[name](tmp_path / f"Жук {name}")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "Жук camera.jpg").read_bytes()[:2000])
    program = f"hide({POSIX | EXTRAS!r})\nfrom pixelwise.cli import main\nmain()"
    options = ("--confidence", "--alternatives", "2", "--suggest-hints", "1")
    code, told, failed = run(tmp_path, program, "colourise", ".", "-o", "out", *options)
    assert code == 1, failed
    assert "2 photos coloured" in told
    assert "\\u0416\\u0443\\u043a camera.1.jpg: the true colours here would help most" in told
    assert "Traceback" not in failed
    assert "cut.jpg: damaged or cut short" in failed
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *(f"Жук camera.{end}" for end in ("1.jpg", "2.jpg", "confidence.png")),
        *(f"Жук grey16.{end}" for end in ("1.png", "2.png", "confidence.png")),
    ]


def test_folders_of_processes_that_are_gone_are_removed(tmp_path):
    (tmp_path / "ours-1").mkdir()
    for name in (".in use", "photo"):
        (tmp_path / "ours-1" / name).touch()
    program = "import tempfile\ntempfile.tempdir = '.'\nfrom pixelwise.files import temporary_folder\n"
    program += "with temporary_folder('ours-') as folder: print(*Path().iterdir(), folder.name)"
    code, told, failed = run(tmp_path, program)
    assert code == 0, failed
    first, second = told.split()
    assert first == second
    assert list(tmp_path.iterdir()) == []


def test_no_module_needs_posix():
    needs = re.compile(rf"^(?:import|from) (?:{'|'.join(POSIX)})\b", re.MULTILINE)
    paths = [*(ROOT / "src").rglob("*.py")]
    assert [path for path in paths if needs.search(path.read_text(encoding="utf-8"))] == []


def test_processors_are_counted_where_a_process_is_bound_to_none(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert usable_processors() == os.cpu_count()


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("cifar10:horse", "cifar10-horse"),
        ("folder:a/b", "folder-a-b"),
        (r"folder:C:\photos\new?", "folder-C--photos-new-"),
    ],
)
def test_sources_name_files_that_any_system_takes(source, name):
    assert as_file_name(source) == name
