"""The documentation's site builds without a warning and asks nobody for anything; its tutorials work."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
# what a page loads by itself; a link that a reader may follow is none of that
LOADS = re.compile(
    r"""(?:src=|<link[^>]*(?:stylesheet|preconnect|icon)[^>]*href=|url\(|@import)\s*["']?https?://"""
)


@pytest.mark.slow
def test_the_site_is_whole_and_asks_nobody(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path / "site"],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {str(path.relative_to(tmp_path / "site")) for path in (tmp_path / "site").rglob("*.html")}
    assert {"index.html", "models/photo.html", "reference/commands.html", "tutorials/teach.html"} <= pages
    for path in (tmp_path / "site").rglob("*"):
        if path.suffix in (".html", ".css"):
            assert LOADS.search(path.read_text()) is None, path
    commands = (tmp_path / "site" / "reference" / "commands.html").read_text()
    assert "What cannot be coloured is named, and the rest is done." in commands
    python = (tmp_path / "site" / "reference" / "python.html").read_text()
    assert "Learns from pictures and masks which class each pixel has" in python


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorials_commands_work_as_they_stand(tutorial, tmp_path, real_data_dir):
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    for name, code in {
        "pixelwise": f'exec "{sys.executable}" -m pixelwise "$@"',
        "python": f'exec "{sys.executable}" "$@"',
    }.items():
        (bin_dir / name).write_text(f"#!/bin/sh\n{code}\n")
        (bin_dir / name).chmod(0o755)
    (tmp_path / "work").mkdir()
    blocks = re.findall(r"^```sh\n(.*?)^```", tutorial.read_text(), re.DOTALL | re.MULTILINE)
    assert blocks
    done = subprocess.run(
        [shutil.which("bash"), "-euo", "pipefail", "-c", "".join(blocks)],
        cwd=tmp_path / "work",
        env=os.environ
        | {"PATH": f"{bin_dir}:{os.environ['PATH']}", "PIXELWISE_DATA": str(real_data_dir)}
        | {"PIXELWISE_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
