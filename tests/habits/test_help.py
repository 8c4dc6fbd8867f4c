"""Help is instant: nothing heavy is imported behind it, and every option says what it does."""

import inspect
import json
import re
import shlex
import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from pixelwise.cli.app import app

ROOT = Path(__file__).parents[2]
HEAVY = ["torch", "torchvision", "sympy", "kornia", "sklearn", "scipy", "matplotlib", "pyvips", "PIL"]
HEAVY += ["numpy", "gradio", "pyarrow", "ray"]
VERBS = {
    (*above, name): group[name]
    for above, group in (((), app), (("batch",), app["batch"]))
    for name in sorted(group)
    if not name.startswith("-")
}


def test_help_imports_nothing_heavy():
    asked = [["--help"], ["--version"], *([*verb, "--help"] for verb in VERBS)]
    program = (
        "import json, sys\n"
        "from pixelwise.cli.app import run\n"
        f"codes = [run(arguments) for arguments in {asked!r}]\n"
        f"print(json.dumps([codes, [name for name in {HEAVY!r} if name in sys.modules]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    *shown, last = done.stdout.splitlines()
    assert json.loads(last) == [[0] * len(asked), []]
    assert len(shown) > 5 * len(asked)


@pytest.mark.parametrize(
    "verb", [verb for verb, found in VERBS.items() if found.default_command], ids=" ".join
)
def test_every_option_says_what_it_does(verb):
    """The parser reads help from docstrings, and is silent where one is missing or misnamed."""
    options = VERBS[verb].assemble_argument_collection(parse_docstring=True)
    assert not [option.name for option in options if option.show and not option.parameter.help]
    parameters = inspect.signature(VERBS[verb].default_command).parameters
    assert explained(VERBS[verb].default_command) <= parameters.keys()
    for one in parameters.values():
        if is_dataclass(one.default):
            assert explained(type(one.default)) <= {field.name for field in fields(one.default)}


def explained(documented):
    """What the docstring of a verb or of options explains, by name."""
    return set(re.findall(r"^(\w+)\n {4}\S", inspect.getdoc(documented), re.MULTILINE))


def commands_told():
    """Each command line with our program in a code block of a page that users read."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    lines = [line.strip() for page in pages for line in page.read_text().splitlines()]
    return [line for line in lines if re.match(r"(\.venv/bin/)?pixelwise ", line)]


@pytest.mark.parametrize("line", commands_told())
def test_commands_that_the_pages_tell_are_understood(line):
    app.parse_args(shlex.split(line, comments=True)[1:], exit_on_error=False, print_error=False)


def test_the_readme_lists_every_verb():
    table = (ROOT / "README.md").read_text().split("## Commands")[1]
    american = {"colorize", "visualize"}
    verbs = {name for name, *rest in VERBS if not rest}
    assert set(re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE)) == verbs - american
