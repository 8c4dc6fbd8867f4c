"""Help is instant: nothing heavy is imported behind it, and every option says what it does."""

import inspect
import json
import re
import subprocess
import sys

import pytest

from pixelwise.cli.app import app

HEAVY = [
    "torch",
    "torchvision",
    "kornia",
    "sklearn",
    "scipy",
    "matplotlib",
    "pyvips",
    "PIL",
    "numpy",
    "gradio",
]
VERBS = sorted(name for name in app if not name.startswith("-"))


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], *([verb, "--help"] for verb in VERBS)], ids=" ".join
)
def test_help_imports_nothing_heavy(arguments):
    program = (
        "import json, sys\n"
        "from pixelwise.cli.app import run\n"
        f"code = run({arguments!r})\n"
        f"print(json.dumps([code, [name for name in {HEAVY!r} if name in sys.modules]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    *told, last = done.stdout.splitlines()
    assert json.loads(last) == [0, []]
    assert told


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_says_what_it_does(verb):
    """The parser reads an option's help from the verb's docstring, and stays silent where there is none."""
    function = app[verb].default_command
    explained = re.findall(r"^(\w+)\n {4}\S", inspect.getdoc(function), re.MULTILINE)
    assert [*explained, "common"] == list(inspect.signature(function).parameters)
