"""The tutorials: each step runs after the one before, and prints what the page shows."""

import re
import runpy
import shlex
import subprocess
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.real]

WALK = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "site" / "walk.py"))
NUMBER = re.compile(r"\d[\d.,]*(?:e-?\d+)?")


def without_numbers(text):
    """Return the words of each line without numbers, which depend on the machine."""
    return [NUMBER.sub("0", line).split() for line in text.splitlines()]


@pytest.mark.parametrize(("name", "num_steps"), [("colour", 6), ("cut-out", 7), ("train", 4)])
def test_the_tutorial_does_what_it_says(name, num_steps, pixelwise, tmp_path, monkeypatch, real_data_dir):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    steps = WALK["steps"](WALK["TUTORIALS"] / f"{name}.md")
    assert len(steps) == num_steps
    for step in steps:
        printed = follow(step, pixelwise)
        if step.printed:
            assert without_numbers(printed) == without_numbers(step.printed), step.code


def follow(step, pixelwise):
    if step.language == "python":
        exec(step.code, {})
        return ""
    return "".join(run_line(line, pixelwise) for line in step.code.splitlines())


def run_line(line, pixelwise):
    """Run our own program in this process, others in a shell."""
    if not line.startswith("pixelwise "):
        subprocess.run(["bash", "-ec", line], check=True)
        return ""
    done = pixelwise(*shlex.split(line)[1:])
    assert done.returncode == 0, done.stderr
    return done.stdout
