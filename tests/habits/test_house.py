"""What keeps the house in order: floors, sizes, docstrings, reasons, versions, words that do not belong."""

import ast
import importlib
import itertools
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import pixelwise

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "pixelwise"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.stem.isidentifier())  # others are no modules
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MAKEFILE = (ROOT / "Makefile").read_text()


def text_files():
    """Every file that a commit of this tree would hold, if it is text."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.splitlines():
        try:
            yield name, (ROOT / name).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            continue


def relative(path):
    return str(path.relative_to(ROOT))


def test_imports_only_go_down():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_the_architecture_page_has_the_floors_of_the_contract():
    layers = PROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
    page = (ROOT / "ARCHITECTURE.md").read_text()
    table = page.split("<!-- floors -->")[1].split("<!-- end of floors -->")[0].strip().splitlines()[2:]
    told = [re.findall(r"`(\w+)`", row.split("|")[1]) for row in table]
    assert told == [layer.split(" : ") for layer in layers]


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_everything_public_has_a_docstring(path):
    tree = ast.parse(path.read_text())
    public = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    named = {node.name: node for node in public if not node.name.startswith("_")}
    inner = {
        child
        for node in public
        if isinstance(node, ast.FunctionDef)
        for child in ast.walk(node)
        if child is not node
    }
    bare = [name for name, node in named.items() if node not in inner and not ast.get_docstring(node)]
    assert not bare
    assert ast.get_docstring(tree)


@pytest.mark.parametrize("path", [*MODULES, *sorted((ROOT / "tests").rglob("*.py"))], ids=relative)
def test_no_file_is_long(path):
    assert len(path.read_text().splitlines()) <= 400


def test_no_room_is_named_after_nothing():
    nothing = {"utils", "util", "helpers", "helper", "manager", "base", "common_utils", "misc"}
    assert not [relative(path) for path in MODULES if path.stem in nothing]


def test_every_dependency_says_why_it_is_there():
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    floors = [line for line in lines if re.match(r'    "[\w\[\]-]+(>=|==)', line)]
    further = PROJECT["project"]["optional-dependencies"].values()
    dependencies = list(itertools.chain(PROJECT["project"]["dependencies"], *further))
    assert len(floors) == len(dependencies)
    assert not [line for line in floors if not re.search(r"# \w.{4,}", line)]


def test_every_exemption_from_a_check_says_why():
    """A warning that is ignored, or a lint rule switched off in the code, carries its reason."""
    bare = re.compile(r"# (?:noqa(?:: [A-Z0-9, ]+)?|type: ignore(?:\[[\w, -]+\])?)\s*$")
    found = [
        f"{relative(path)}:{number}"
        for path in MODULES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if bare.search(line)
    ]
    assert not found


def test_the_version_is_one():
    changelog = (ROOT / "CHANGELOG.md").read_text()
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", changelog, re.MULTILINE)
    assert PROJECT["project"]["version"] == pixelwise.__version__
    assert "## [Unreleased]" in changelog
    assert not released or released[0] == pixelwise.__version__


def test_what_the_pages_tell_to_make_can_be_made():
    targets = set(re.findall(r"^([a-z]+):.*##", MAKEFILE, re.MULTILINE))
    phony = set(re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split())
    assert phony == targets
    for name, text in text_files():
        if name.endswith(".md"):
            code = [
                line or inline for line, inline in re.findall(r"^    (.+)$|`([^`\n]+)`", text, re.MULTILINE)
            ]
            told = set(re.findall(r"\bmake ([a-z]+)\b", "\n".join(code)))
            assert told <= targets, name


def test_the_ci_script_runs_the_readmes_test_command():
    assert re.search(r"^make test$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    assert "make test" in (ROOT / "README.md").read_text()


def test_the_tree_names_no_machine():
    """No path of anyone's machine; only the CI script may look beside the checkout."""
    machine = re.compile(r"(?<![\w.])/(?:work|root|Users)/\w|\.\./shared")
    this = relative(Path(__file__))
    found = [name for name, text in text_files() if name not in {this, ".ci/run"} and machine.search(text)]
    assert not found


def test_links_between_pages_lead_somewhere():
    """To a file, or to a page that is made while the site is built; `test_site.py` follows these."""
    made = {ROOT / "docs" / name for name in runpy.run_path(str(ROOT / "docs/site/pages.py"))["made"]()}
    for name, text in text_files():
        if name.endswith(".md"):
            for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text):
                path = (ROOT / name).parent / target
                assert path.exists() or path in made, f"{name} -> {target}"


@pytest.mark.parametrize("path", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=relative)
def test_what_examples_import_is_there(path):
    for block in re.findall(r"```python\n(.*?)```", path.read_text(), flags=re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Import):
                for one in node.names:
                    importlib.import_module(one.name)
            elif isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module)
                missing = [one.name for one in node.names if not hasattr(module, one.name)]
                assert not missing, f"{path.name}: {node.module} has no {', '.join(missing)}"
