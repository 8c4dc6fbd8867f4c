"""The lab: answers kept and found again, what is missing told, the writeup and the notebook made of them."""

import itertools
import json
import re
import sys
import types
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from PIL import Image

from fixtures.cifar10.make import write_cifar10
from pixelwise.data import sources
from pixelwise.errors import ConfigError, DownloadError, Interrupted, OutputError
from pixelwise.lab import run as lab_run
from pixelwise.lab.answer import PICTURES, Answer, Setting
from pixelwise.lab.counting import answer_a3
from pixelwise.lab.notebook import NOTEBOOK, make_notebook, write_notebook
from pixelwise.lab.questions import QUESTIONS, Question
from pixelwise.lab.run import run_lab
from pixelwise.lab.writeup import write_writeup

QUICK = json.loads((Path(__file__).parents[1] / "fixtures" / "lab" / "quick.json").read_text())
"""What `pixelwise lab --quick` answered once, A3 left out, in four digits."""


@pytest.fixture
def asked(monkeypatch):
    """A question A4 whose answer is made by a function of the test's."""

    def put(answer, needs=""):
        module = types.ModuleType("pixelwise.lab.of_the_test")
        module.answer_a4 = answer
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(QUESTIONS, "A4", Question("A4", "Of the test", "of_the_test", 1, 1, needs))

    return put


def test_one_question_leaves_its_answer_with_its_figure_and_a_writeup_of_what_there_is(tmp_path):
    result = run_lab(Setting(out=tmp_path, quick=True), ["A3"])
    assert list(result.answers) == ["A3"]
    assert (result.not_answered, result.notebook) == ({}, None)
    answers = json.loads((tmp_path / "answers.json").read_text())
    assert answers["A3"]["weights"]["value"] == 86_112
    assert answers["about"]["command"] == f"pixelwise lab --out {tmp_path} --quick --precision fp32"
    assert answers["about"]["made_on"]["A3"]["machine"]["threads"] == torch.get_num_threads()
    assert (tmp_path / "a2-writeup.pdf").read_bytes().startswith(b"%PDF")
    figure = tmp_path / "figures" / "a3-shares.png"
    figure.unlink()
    run_lab(Setting(out=tmp_path, quick=True), ["A3"])
    assert figure.exists()


def test_an_answer_is_made_once_for_each_setting(tmp_path, asked):
    made = []
    asked(
        lambda setting: (
            made.append(setting.seed) or Answer(values={"seed": setting.seed, "none": float("nan")})
        )
    )
    for seed in (0, 0, 1, 0):
        with pytest.raises(OutputError, match="cannot write"):  # the text of A4 tells of other values
            run_lab(Setting(out=tmp_path, seed=seed), ["A4"])
        answers = json.loads((tmp_path / "answers.json").read_text())
        assert answers["A4"] == {"seed": seed, "none": None}
    assert made == [0, 1, 0]


def test_what_is_interrupted_goes_on_where_it_was(tmp_path, asked):
    def interrupted(_setting):
        raise KeyboardInterrupt

    asked(interrupted)
    with pytest.raises(Interrupted, match=re.escape(f"{tmp_path} keeps A3; the same command goes on")):
        run_lab(Setting(out=tmp_path), ["A3", "A4"])
    written = (tmp_path / "answers" / "A3.json").stat().st_mtime_ns
    assert list(run_lab(Setting(out=tmp_path), ["A3"]).answers) == ["A3"]
    assert (tmp_path / "answers" / "A3.json").stat().st_mtime_ns == written


def test_a_missing_data_set_costs_the_questions_that_need_it(tmp_path):
    (tmp_path / "data" / "cifar-10-batches-py").mkdir(parents=True)
    out = tmp_path / "lab"
    result = run_lab(Setting(out=out, quick=True, data_dir=tmp_path / "data"), ["A3", "B2"])
    assert list(result.answers) == ["A3"]
    assert list(result.not_answered) == ["B2"]
    assert "unpack cifar-10-python.tar.gz there" in result.not_answered["B2"]
    about = json.loads((out / "answers.json").read_text())["about"]
    assert about["not_answered"] == result.not_answered
    assert (out / "a2-writeup.pdf").exists()


def test_no_download_costs_one_try_and_the_questions_that_read_pictures(tmp_path, monkeypatch):
    tries = []

    def refuse(*_):
        tries.append(1)
        raise DownloadError("no network here")

    monkeypatch.setattr(sources, "load_cifar10", refuse)
    result = run_lab(Setting(out=tmp_path, quick=True, data_dir=tmp_path), ["A2", "A3", "A4", "B1", "B4"])
    assert list(result.answers) == ["A3", "B1"]
    assert result.not_answered == dict.fromkeys(("A2", "A4", "B4"), "no network here")
    assert len(tries) == 1


def test_why_a_question_was_not_answered_is_kept_until_it_is(tmp_path, asked):
    def fail(_setting):
        raise ConfigError("no such luck")

    asked(fail)
    assert run_lab(Setting(out=tmp_path), ["A4"]).not_answered == {"A4": "no such luck"}
    assert run_lab(Setting(out=tmp_path), ["B1"]).not_answered == {}
    about = json.loads((tmp_path / "answers.json").read_text())["about"]
    assert about["not_answered"] == {"A4": "no such luck"}


def test_a_failure_of_linear_algebra_costs_its_question_alone(tmp_path, asked):
    asked(lambda _setting: Answer({"solved": torch.linalg.inv(torch.zeros(2, 2))}))
    result = run_lab(Setting(out=tmp_path), ["A3", "A4"])
    assert list(result.answers) == ["A3"]
    assert "singular" in result.not_answered["A4"]
    assert (tmp_path / "a2-writeup.pdf").exists()


def test_a_notebook_that_fails_costs_no_writeup(tmp_path, monkeypatch, asked):
    asked(lambda _setting: Answer({}))
    monkeypatch.setattr(lab_run, "QUESTIONS", {"B1": QUESTIONS["B1"]})
    monkeypatch.setattr(
        "pixelwise.lab.notebook.make_notebook",
        lambda _setting: nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")]),
    )
    result = run_lab(Setting(out=tmp_path))
    assert (tmp_path / "a2-writeup.pdf").exists()
    assert result.notebook is None
    assert "a cell ended with ZeroDivisionError" in result.not_answered[NOTEBOOK]
    assert list(result.answers) == ["B1"]


def test_an_answer_of_other_pictures_is_made_anew(tmp_path, asked):
    for seed in (0, 1):
        write_cifar10(tmp_path / str(seed), num=20, seed=seed)
    asked(lambda setting: Answer({"runs": str(setting.runs)}), PICTURES)
    folders = []
    for data in ("0", "0", "1"):
        with pytest.raises(OutputError, match="cannot write"):  # the text of A4 tells of other values
            run_lab(Setting(out=tmp_path / "out", data_dir=tmp_path / data), ["A4"])
        folders.append(json.loads((tmp_path / "out" / "answers.json").read_text())["A4"]["runs"])
    assert folders[0] == folders[1] != folders[2]


def test_precision_is_chosen_once_for_all_that_is_trained(tmp_path, monkeypatch):
    chosen = iter(["bf16", "fp32"])
    monkeypatch.setattr(lab_run, "choose_precision", lambda *_: (next(chosen), "as this test has it"))
    for name in ("A3", "B1"):
        run_lab(Setting(out=tmp_path, precision="auto"), [name])
        about = json.loads((tmp_path / "answers.json").read_text())["about"]
        assert about["precision"] == "bf16"
    assert list(about["made_on"]) == ["A3", "B1"]
    run_lab(Setting(out=tmp_path, precision="auto", seed=1), ["A3"])
    assert json.loads((tmp_path / "answers.json").read_text())["about"]["precision"] == "fp32"


def test_two_seeds_of_the_lab_share_no_run(tmp_path):
    first, second = (
        {Setting(out=tmp_path, seed=seed).seed_of(number) for number in range(1000)} for seed in (0, 1)
    )
    assert not first & second


def test_what_was_made_otherwise_lies_elsewhere(tmp_path, monkeypatch):
    write_cifar10(tmp_path, num=20)
    one = Setting(out=tmp_path, data_dir=tmp_path)
    others = [
        Setting(out=tmp_path, data_dir=tmp_path, **change)
        for change in ({"seed": 1}, {"quick": True}, {"precision": "bf16"})
    ]
    folders = {setting.runs for setting in (one, *others)}
    monkeypatch.setattr("pixelwise.lab.answer.__version__", "0.0.1")
    folders.add(one.runs)
    assert len(folders) == 5


def test_a_question_that_there_is_not(tmp_path):
    with pytest.raises(ConfigError, match=r"needed questions among A1, A2, .* C5, got 'D1'"):
        run_lab(Setting(out=tmp_path), ["A3", "D1"])
    assert not list(tmp_path.iterdir())


@pytest.fixture
def answered(tmp_path):
    """A folder with answers to every question, and figures of their names."""
    values = answer_a3(Setting(out=tmp_path, quick=True)).values
    (tmp_path / "answers.json").write_text(json.dumps(QUICK["answers"] | {"A3": values}))
    for name in QUICK["figures"]:
        Image.new("RGB", (40, 20), "grey").save(tmp_path / "figures" / f"{name}.png")
    return tmp_path


def test_the_writeup_of_every_question(answered):
    content = write_writeup(answered).read_bytes()
    assert content.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", content)) > 13
    assert write_writeup(answered).read_bytes() == content


def test_figures_of_photographs_take_little_of_the_writeup(answered):
    before = len(write_writeup(answered).read_bytes())
    smooth = np.random.default_rng(0).normal(size=(1000, 1500, 3)).cumsum(0).cumsum(1)
    levels = (
        255 * (smooth - smooth.min()) / np.ptp(smooth) + np.random.default_rng(1).normal(size=smooth.shape)
    ).clip(0, 255)
    figure = answered / "figures" / "c3-best.png"
    Image.fromarray(levels.astype(np.uint8)).save(figure)
    assert len(write_writeup(answered).read_bytes()) - before < figure.stat().st_size / 4
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_the_writeup_where_the_handouts_rate_diverged_and_no_peak_grows(answered):
    answers = json.loads((answered / "answers.json").read_text())
    answers["B3"]["confounded"] = {"diverged": True, "learning_rate": 0.3, "why": "training diverged"}
    for one in answers["C5"]["ratios"]:
        one.pop("growing_bytes", None)
    (answered / "answers.json").write_text(json.dumps(answers))
    assert write_writeup(answered).read_bytes().startswith(b"%PDF")


def test_a_figure_that_is_missing_is_named(answered):
    (answered / "figures" / "a4-grid.png").unlink()
    with pytest.raises(
        OutputError, match=r"figures/a4-grid\.png.*including `a4\.typ`.*to have the answers made anew"
    ):
        write_writeup(answered)
    assert not (answered / "a2-writeup.pdf").exists()


def test_the_notebook_says_what_the_setting_says(tmp_path):
    notebook = make_notebook(Setting(out=tmp_path, quick=True, seed=3, data_dir=tmp_path))
    nbformat.validate(notebook)
    assert notebook == make_notebook(Setting(out=tmp_path, quick=True, seed=3, data_dir=tmp_path))
    (parameters,) = (cell for cell in notebook.cells if cell.metadata.get("tags") == ["parameters"])
    chosen = {}
    exec(parameters.source, chosen)
    names = ("QUICK", "SEED", "DATA_DIR", "DEVICE", "PRECISION", "RUNS")
    assert [chosen[name] for name in names] == [True, 3, str(tmp_path), "auto", "fp32", None]


def test_the_notebook_knows_where_the_labs_own_runs_are(tmp_path):
    write_cifar10(tmp_path, num=20)
    setting = Setting(out=tmp_path / "out", data_dir=tmp_path)
    for wanted in (None, str(setting.runs)):
        (parameters,) = (cell for cell in make_notebook(setting).cells if cell.metadata.get("tags"))
        assert f"\nRUNS = {wanted!r}  #" in parameters.source
        setting.runs.mkdir(parents=True, exist_ok=True)


def test_before_each_cell_of_code_it_says_what_to_look_at(tmp_path):
    cells = make_notebook(Setting(out=tmp_path)).cells
    part_a = next(place for place, cell in enumerate(cells) if cell.source.startswith("# Part A"))
    pairs = list(itertools.pairwise(cells[part_a:]))
    bare = [
        after.source
        for before, after in pairs
        if after.cell_type == "code" and "look at" not in " ".join(before.source.lower().split())
    ]
    assert not bare


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom_without_any_data_set(tmp_path):
    data_dir = tmp_path / "data"
    for name in ("cifar-10-batches-py", "flowers17/jpg"):
        (data_dir / name).mkdir(parents=True)
    (data_dir / "flowers17" / "jpg" / "image_0001.jpg").touch()
    path = write_notebook(Setting(out=tmp_path, quick=True, data_dir=data_dir, precision="auto"))
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    said = "".join(output.get("text", "") for cell in code for output in cell.outputs)
    assert "CIFAR-10 is not here" in said
    assert "The flowers are not here" in said
    assert "classifier.4.weight, classifier.4.bias: 514 of" in said
    pictures = [output for cell in code for output in cell.outputs if "image/png" in output.get("data", {})]
    assert len(pictures) >= 10
