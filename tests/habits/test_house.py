"""The house stays in order: layers, sizes, words, docstrings, reasons, versions."""

import ast
import importlib
import itertools
import re
import runpy
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

import pixelwise

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "pixelwise"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.stem.isidentifier())  # others are no modules
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MAKEFILE = (ROOT / "Makefile").read_text()
LAYERS = PROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()


def text_files():
    """Yield the name and text of every text file that a commit of this tree would hold."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.splitlines():
        try:
            yield name, (ROOT / name).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            continue


def relative(path):
    return str(path.relative_to(ROOT))


def num_lines(place):
    paths = [place] if place.is_file() else place.rglob("*.py")
    return sum(len(path.read_text().splitlines()) for path in paths)


def room_table():
    """Return the rooms of ARCHITECTURE.md, layer by layer, and the lines that it gives each."""
    table = ARCHITECTURE.split("<!-- rooms -->")[1].split("<!-- end of rooms -->")[0].strip().splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("| ").split("|")] for row in table]
    return [
        (re.findall(r"`(\w+)`", names), [int(one) for one in lines.split(", ")]) for names, lines, _ in cells
    ]


def test_imports_only_go_down():
    program = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_architecture_page_has_the_layers_of_the_contract():
    assert [names for names, _ in room_table()] == [layer.split(" : ") for layer in LAYERS]
    assert len(LAYERS) <= 14


def test_the_architecture_page_says_how_large_each_room_is():
    """Lines of Python, rounded up to hundreds: who makes a room larger writes it down."""
    for names, told in room_table():
        places = [PACKAGE / name if (PACKAGE / name).is_dir() else PACKAGE / f"{name}.py" for name in names]
        assert told == [-(-num_lines(place) // 100) * 100 for place in places], names


def test_the_house_stays_small():
    assert num_lines(PACKAGE) <= 24_450  # the aim is 20,000
    assert num_lines(PACKAGE / "lab") <= 2_900
    assert num_lines(ROOT / "tests") <= 14_400  # the aim is 13,000
    assert len([path for path in PACKAGE.iterdir() if path.name != "__pycache__"]) <= 20


def test_a_class_name_means_one_thing():
    trees = {path: ast.parse(path.read_text()) for path in MODULES}
    names = Counter(
        node.name for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
    )
    assert [name for name, num in names.items() if num > 1] == []


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_docstrings_are_there_and_plain(path):
    tree = ast.parse(path.read_text())
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    closed = [node for node in nodes if isinstance(node, ast.FunctionDef) or node.name.startswith("_")]
    inner = {child for node in closed for child in ast.walk(node) if child is not node}
    public = [node for node in nodes if not node.name.startswith("_") and node not in inner]
    public = [node for node in public if "overload" not in map(ast.unparse, node.decorator_list)]
    assert [node.name for node in public if not ast.get_docstring(node)] == []
    texts = [text for node in (tree, *nodes) if (text := ast.get_docstring(node))]
    assert ast.get_docstring(tree)
    assert [text for text in texts if re.match(r"(What|How|Of|The same|It|As) ", text)] == []


@pytest.mark.parametrize("path", [*MODULES, *sorted((ROOT / "tests").rglob("*.py"))], ids=relative)
def test_no_file_is_long(path):
    assert len(path.read_text().splitlines()) <= 400


def test_words_are_the_fields_own():
    ours = re.compile(r"\b(chances|teller|taught|untaught|glimpse|look_at|alarms)\b", re.IGNORECASE)
    found = [f"{relative(path)}: {match[0]}" for path in MODULES for match in ours.finditer(path.read_text())]
    assert found == []
    nothing = {"utils", "util", "helpers", "helper", "manager", "base", "misc", "together"}
    assert [relative(path) for path in MODULES if path.stem in nothing] == []


def test_every_dependency_says_why_it_is_there():
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    floors = [line for line in lines if re.match(r'    "[\w\[\]-]+(>=|==)', line)]
    further = PROJECT["project"]["optional-dependencies"].values()
    dependencies = list(itertools.chain(PROJECT["project"]["dependencies"], *further))
    assert len(floors) == len([name for name in dependencies if not name.startswith("pixelwise[")])
    assert [line for line in floors if not re.search(r"# \w.{4,}", line)] == []


def test_every_exemption_from_a_check_says_why():
    """A warning that is ignored, or a lint rule switched off in the code, carries its reason."""
    bare = re.compile(r"# (?:noqa(?:: [A-Z0-9, ]+)?|type: ignore(?:\[[\w, -]+\])?)\s*$")
    lines = [(path, line) for path in MODULES for line in path.read_text().splitlines()]
    assert [f"{relative(path)}: {line}" for path, line in lines if bare.search(line)] == []


def test_the_version_is_one():
    changelog = (ROOT / "CHANGELOG.md").read_text()
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", changelog, re.MULTILINE)
    assert PROJECT["project"]["version"] == pixelwise.__version__
    assert "## [Unreleased]" in changelog
    assert not released or released[0] == pixelwise.__version__


def test_what_the_pages_tell_to_make_can_be_made():
    targets = set(re.findall(r"^([a-z]+):.*##", MAKEFILE, re.MULTILINE))
    assert set(re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split()) == targets
    for name, text in text_files():
        if name.endswith(".md"):
            code = re.findall(r"^    (.+)$|`([^`\n]+)`", text, re.MULTILINE)
            told = set(re.findall(r"\bmake ([a-z]+)\b", "\n".join(line or inline for line, inline in code)))
            assert told <= targets, name


def test_the_ci_script_runs_the_readmes_test_command():
    assert re.search(r"^make test$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    assert "make test" in (ROOT / "README.md").read_text()


def test_the_tree_names_no_machine():
    """No path of anyone's machine; only the CI script may look beside the checkout."""
    machine = re.compile(r"(?<![\w.])/(?:work|root|Users)/\w|\.\./shared")
    this = relative(Path(__file__))
    found = [name for name, text in text_files() if name not in {this, ".ci/run"} and machine.search(text)]
    assert found == []


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
                for one in node.names:
                    if not hasattr(module, one.name):
                        importlib.import_module(f"{node.module}.{one.name}")
