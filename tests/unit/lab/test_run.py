"""The lab: answers kept and reused, missing data named, the writeup made of them."""

import json
import re
import sys
import types

import pytest

from fixtures.cifar10.make import write_cifar10
from fixtures.flowers17 import make
from pixelwise.errors import ConfigError, DownloadError, Interrupted, OutputError
from pixelwise.lab.answer import Answer, Setting
from pixelwise.lab.documents import write_pdfs
from pixelwise.lab.run import QUESTIONS, Question, run_lab
from pixelwise.training.data import sources


@pytest.fixture
def asked(monkeypatch):
    """Return a function that lets question A4 be answered by a function of the test."""

    def put(answer, source=""):
        module = types.ModuleType("pixelwise.lab.of_the_test")
        module.answer_a4 = answer
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(QUESTIONS, "A4", Question("Of the test", "of_the_test", source))

    return put


def num_pages(pdf):
    return len(re.findall(rb"/Type\s*/Page\b", pdf))


def answers_in(out):
    return json.loads((out / "answers.json").read_text())


@pytest.mark.slow
def test_one_question_leaves_its_answer_its_figure_and_a_writeup(tmp_path):
    result = run_lab(Setting(out=tmp_path, quick=True), ["B1", "A3"])
    assert list(result.answers) == ["A3", "B1"]
    assert (result.not_answered, result.notebook) == ({}, None)
    assert answers_in(tmp_path)["A3"]["weights"]["value"] == 86_112
    for name in ("a2-writeup.pdf", "lab-report.pdf"):
        assert (tmp_path / name).read_bytes().startswith(b"%PDF")
    figure = tmp_path / "figures" / "b1-network.png"
    figure.unlink()
    run_lab(Setting(out=tmp_path, quick=True), ["B1"])
    assert figure.exists()


def test_an_answer_is_made_once_for_each_setting(tmp_path, asked):
    made = []

    def answer(setting):
        made.append(setting.seed)
        return Answer({"seed": setting.seed, "none": float("nan")})

    asked(answer)
    for seed in (0, 0, 1, 0):
        with pytest.raises(OutputError, match=r"a2-writeup\.pdf"):  # the text of A4 needs other values
            run_lab(Setting(out=tmp_path, seed=seed), ["A4"])
        assert answers_in(tmp_path)["A4"] == {"seed": seed, "none": None}
    assert made == [0, 1, 0]


@pytest.mark.slow
def test_a3_counts_the_network_that_is_chosen_and_no_other_question_takes_one(tmp_path):
    chosen = Setting(out=tmp_path, counted={"num_filters": 16, "kernel": 5})
    values = run_lab(chosen, ["A3"]).answers["A3"]
    assert values["weights"]["value"] == 25 * (16 + 8 * 16**2 + 16 * 24 + 24**2)
    assert "--question A3 --num-filters 16 --kernel 5" in answers_in(tmp_path)["about"]["command"]
    assert run_lab(Setting(out=tmp_path), ["A3"]).answers["A3"]["weights"]["value"] == 86_112
    for questions in ([], ["A1"], ["A3", "A1"]):
        with pytest.raises(ConfigError, match="--num-filters 16 --kernel 5 needs --question A3"):
            run_lab(chosen, questions)
    with pytest.raises(ConfigError, match="kernel needs to be odd"):
        run_lab(Setting(out=tmp_path, counted={"kernel": 4}), ["A3"])


@pytest.mark.slow
def test_an_interrupted_lab_keeps_its_answers(tmp_path, asked):
    def interrupted(_setting):
        raise KeyboardInterrupt

    asked(interrupted)
    with pytest.raises(Interrupted, match="A3"):
        run_lab(Setting(out=tmp_path), ["A3", "A4"])
    written = (tmp_path / "answers" / "A3.json").stat().st_mtime_ns
    assert list(run_lab(Setting(out=tmp_path), ["A3"]).answers) == ["A3"]
    assert (tmp_path / "answers" / "A3.json").stat().st_mtime_ns == written


@pytest.mark.slow
def test_no_download_costs_one_try_and_the_questions_that_need_pictures(tmp_path, monkeypatch):
    tries = []

    def refuse(*_):
        tries.append(1)
        raise DownloadError("no network here")

    monkeypatch.setattr(sources, "load_cifar10", refuse)
    result = run_lab(Setting(out=tmp_path, quick=True, data_dir=tmp_path), ["A2", "A3", "A4", "B4"])
    assert list(result.answers) == ["A3"]
    assert result.not_answered == dict.fromkeys(("A2", "A4", "B4"), "no network here")
    assert answers_in(tmp_path)["about"]["not_answered"] == result.not_answered
    assert len(tries) == 1


@pytest.mark.slow
def test_every_question_is_answered(tmp_path):
    write_cifar10(tmp_path, num=100)  # 50 training and 10 validation pictures
    make.write_flowers17(tmp_path / "flowers17")
    out = tmp_path / "out"
    result = run_lab(Setting(out=out, quick=True, data_dir=tmp_path), list(QUESTIONS))
    assert result.not_answered == {}
    values = json.loads((out / "answers.json").read_text())
    assert list(values) == [*QUESTIONS, "about"]
    assert values["A2"]["by_seed"] == values["B3"]["cnn"]["by_seed"]
    assert values["B2"]["by_seed"] == values["B3"]["unet"]["by_seed"]
    assert len(values["B3"]["ablation"]) == 6
    counts = values["A3"]
    assert (counts["outputs"]["value"], counts["outputs_with_resizing"]["value"]) == (86_016, 131_072)
    assert values["B4"]["num_seeds"] == 3
    sizes = [(row["fixed"], row["batch_size"]) for row in values["B4"]["rows"]]
    assert sizes == [*(("epochs", size) for size in (50, 100, 500)), ("steps", 50), ("steps", 100)]
    for row in values["B4"]["rows"]:
        assert row["val_loss"]["low"] < row["val_loss"]["value"] < row["val_loss"]["high"]
    for row in values["C2"]["ways"]:
        assert row["after"]["miou"]["value"] > row["before"]["miou"]["value"]
        assert row["certificate"]["before"] == row["certificate"]["after"]
    scores = list(values["C3"]["photo_miou"].values())
    assert scores == sorted(scores)
    assert [row["saved_bytes"] for row in values["C5"]["ratios"]] == pytest.approx([4, 4], rel=0.01)
    writeup, report = ((out / name).read_bytes() for name in ("a2-writeup.pdf", "lab-report.pdf"))
    assert 2 <= num_pages(writeup) <= 10 < num_pages(report)
    write_pdfs(out)
    assert (out / "a2-writeup.pdf").read_bytes() == writeup
    values["B3"]["confounded"] = {"diverged": True, "learning_rate": 0.3, "why": "training diverged"}
    (out / "answers.json").write_text(json.dumps(values))
    write_pdfs(out)
    assert (out / "a2-writeup.pdf").read_bytes() != writeup
