"""The notebook: it needs nothing of ours, its networks are ours, and its starter can be solved."""

import ast
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import jupytext
import nbformat
import numpy as np
import pytest
import torch
from packaging.requirements import Requirement

import pixelwise.lab
from fixtures.cifar10.make import write_cifar10
from fixtures.flowers17 import make
from pixelwise.colour.palette import Palette
from pixelwise.errors import OutputError
from pixelwise.lab import documents
from pixelwise.lab.answer import Setting
from pixelwise.lab.documents import make_notebook, write_notebook, write_starter
from pixelwise.network.config import CNNConfig, UNetConfig
from pixelwise.training.models import build
from pixelwise.training.models.handout import MyConv2d

SOURCE = (Path(pixelwise.lab.__file__).parent / "a2-cnn.py").read_text()
PACKAGES = ("torch", "torchvision", "numpy", "matplotlib")
KERNEL = ("nbclient", "ipykernel")  # what runs it


@pytest.fixture(scope="module")
def handed_in():
    """What the notebook's cells define, without what they run: imports, networks, functions, the colours."""
    kinds = (ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef)
    chosen = [
        node
        for node in ast.parse(SOURCE).body
        if isinstance(node, kinds)
        or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "COLOURS")
    ]
    names = {"DEVICE": "cpu"}
    exec(compile(ast.Module(chosen, []), "a2-cnn.py", "exec"), names)
    return names


def in_order(state, keys):
    return dict(zip(keys, state.values(), strict=True))


def test_it_imports_four_packages_and_the_standard_library():
    nodes = [node for node in ast.walk(ast.parse(SOURCE)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {one.name for node in nodes if isinstance(node, ast.Import) for one in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    foreign = {name.partition(".")[0] for name in names} - sys.stdlib_module_names
    assert foreign == set(PACKAGES)


@pytest.mark.parametrize(("kernel", "nf", "nc", "nic"), [(3, 32, 24, 1), (5, 4, 7, 3), (1, 3, 2, 2)])
@pytest.mark.parametrize(("name", "config"), [("CNN", CNNConfig), ("UNet", UNetConfig)])
def test_its_networks_are_ours(handed_in, name, config, kernel, nf, nc, nic):
    options = {"kernel": kernel, "num_filters": nf, "num_colours": nc, "num_in_channels": nic}
    ours, theirs = build(config(**options)), handed_in[name](**options)
    theirs.load_state_dict(in_order(ours.state_dict(), theirs.state_dict()))
    pictures = torch.rand(3, nic, 16, 24)
    for mode in (True, False):  # training first, which moves the stored statistics of both
        torch.testing.assert_close(theirs.train(mode)(pictures), ours.train(mode)(pictures))


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_its_convolution_is_ours(handed_in, kernel):
    ours, theirs, maps = MyConv2d(2, 5, kernel), handed_in["MyConv2d"](2, 5, kernel), torch.rand(2, 2, 6, 9)
    assert abs(theirs.weight).max() <= 1 / (2 * kernel**2) ** 0.5
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(theirs(maps), ours(maps))
    torch.testing.assert_close(theirs.as_product(maps), ours(maps))


def test_its_colours_are_the_assignments(handed_in):
    palette = Palette.read("handout24")
    np.testing.assert_allclose(handed_in["COLOURS"], palette.colours, atol=6e-6)
    pictures = torch.randint(0, 256, (150, 3, 32, 32), dtype=torch.uint8)
    grey, labels = handed_in["encode"](pictures)
    torch.testing.assert_close(grey[:, 0], pictures.float().mean(1) / 255)
    assert (labels.numpy() == palette.encode(pictures.numpy())).mean() > 0.9999  # colours are rounded


def test_it_holds_the_setting(tmp_path):
    setting = Setting(out=tmp_path, quick=True, seed=3, data_dir=tmp_path)
    notebook = make_notebook(setting)
    nbformat.validate(notebook)
    assert notebook == make_notebook(setting)
    (parameters,) = (cell for cell in notebook.cells if cell.metadata.get("tags") == ["parameters"])
    chosen = {}
    exec(parameters.source, chosen)
    assert [chosen[name] for name in ("QUICK", "SEED", "DATA_DIR", "DEVICE")] == [
        True,
        3,
        str(tmp_path),
        "auto",
    ]


def test_it_is_run_once_for_each_setting(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("run again")

    monkeypatch.setattr(documents.subprocess, "Popen", refuse)
    path = tmp_path / "a2-cnn.ipynb"
    nbformat.write(make_notebook(Setting(out=tmp_path)), path)
    written = path.read_bytes()
    assert write_notebook(Setting(out=tmp_path)) == path
    for other in (Setting(out=tmp_path, seed=1), Setting(out=tmp_path, digests={"flowers17": "other"})):
        with pytest.raises(AssertionError, match="run again"):
            write_notebook(other)
    path.write_bytes(written[:-100])
    with pytest.raises(AssertionError, match="run again"):
        write_notebook(Setting(out=tmp_path))


def required(*packages):
    """Packages, and all that they require here."""
    found, left = set(), [*packages]
    while left:
        name = re.sub(r"[-_.]+", "-", left.pop()).lower()
        if name not in found:
            found.add(name)
            requirements = map(Requirement, metadata.requires(name) or [])
            left += [
                one.name for one in requirements if one.marker is None or one.marker.evaluate({"extra": ""})
            ]
    return found


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """Let new processes import only what comes with the notebook's packages and those that run it."""
    allowed = required(*PACKAGES, *KERNEL)
    refused = [
        module
        for module, owners in metadata.packages_distributions().items()
        if not {re.sub(r"[-_.]+", "-", owner).lower() for owner in owners} & allowed
    ]
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "sitecustomize.py").write_text(
        "import sys\n"
        "from importlib.machinery import PathFinder\n"
        f"REFUSED = {set(refused) | {'pixelwise'}!r}\n"
        "class Bare(PathFinder):\n"
        "    @classmethod\n"
        "    def find_spec(cls, name, *more):\n"
        "        return None if name.partition('.')[0] in REFUSED else PathFinder.find_spec(name, *more)\n"
        "sys.meta_path[:] = [Bare if one is PathFinder else one for one in sys.meta_path]\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "bare"))
    return refused


def printed(path):
    """What an executed notebook printed, and how many pictures it shows."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    text = "".join(output.get("text", "") for output in outputs)
    return text, sum("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.slow
def test_it_runs_where_nothing_of_ours_is_installed(tmp_path, bare):
    assert {"scipy", "jupytext", "pytest"} <= set(bare)
    with pytest.raises(subprocess.CalledProcessError):
        subprocess.run([sys.executable, "-c", "import pixelwise"], capture_output=True, check=True)
    write_cifar10(tmp_path, num=100)  # 50 training and 10 validation pictures
    make.write_flowers17(tmp_path / "flowers17")
    text, num_pictures = printed(write_notebook(Setting(out=tmp_path, quick=True, data_dir=tmp_path)))
    assert "50 training pictures, 10 validation pictures" in text
    assert "No CIFAR-10" not in text
    assert "No flowers" not in text
    assert "86112" in text
    assert "15630336" in text
    assert "514 numbers are learned" in text
    assert num_pictures == 7


@pytest.mark.slow
def test_it_runs_without_any_data_set(tmp_path):
    for name in (
        "cifar-10-batches-py",
        "flowers17/jpg",
        "flowers17/trimaps",
    ):  # there, so no download is tried
        (tmp_path / name).mkdir(parents=True)
    text, num_pictures = printed(write_notebook(Setting(out=tmp_path, quick=True, data_dir=tmp_path)))
    assert "No CIFAR-10" in text
    assert "No flowers" in text
    assert num_pictures == 7


BLANK = re.compile(r"( *)# --- your code, (\w+): .*\n((?:\1# .*\n)*)((?:.*\n)*?)\1# --- end")
GAP = re.compile(r' *raise NotImplementedError\("(\w+): your code"\)\n')


@pytest.fixture
def starter(tmp_path):
    """The cells of the starter, as students get them."""
    write_starter(tmp_path / "starter.ipynb")
    notebook = nbformat.read(tmp_path / "starter.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    return notebook.cells


def test_putting_the_solutions_into_the_starter_gives_the_notebook(starter):
    solved = [cell.source for cell in jupytext.reads(SOURCE, fmt="py:percent").cells]
    solutions = [blank[4] for source in solved for blank in BLANK.finditer(source)]
    assert not any(GAP.search(solution) for solution in solutions)
    left = iter(solutions)
    assert [GAP.sub(lambda _: next(left), cell.source) for cell in starter] == solved
    assert next(left, None) is None


def test_every_gap_of_the_starter_raises(starter):
    """A gap holds nothing else, so whoever forgets it learns which question it belongs to."""
    code = [cell.source for cell in starter if cell.cell_type == "code"]
    gaps = [blank for source in code for blank in BLANK.finditer(source)]
    assert all(GAP.fullmatch(gap[4])[1] == gap[2] for gap in gaps)
    assert list(dict.fromkeys(gap[2] for gap in gaps)) == ["A1", "A3", "A4", "B1", "B2", "B4", "C1", "C2"]
    calls = [
        node.exc for source in code for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Raise)
    ]
    raised = [ast.literal_eval(call.args[0]) for call in calls if call.func.id == "NotImplementedError"]
    assert raised == [f"{gap[2]}: your code" for gap in gaps]


def test_a_starter_overwrites_nothing(tmp_path):
    path = tmp_path / "starter.ipynb"
    path.write_text("answers of a student")
    with pytest.raises(OutputError, match="there already"):
        write_starter(path)
    assert path.read_text() == "answers of a student"
