"""The verb lab: the answers as JSON, missing data named, one clear line for wrong use."""

import json

import pytest


@pytest.mark.slow
def test_some_questions_with_a_data_set_missing(pixelwise, tmp_path):
    (tmp_path / "data" / "cifar-10-batches-py").mkdir(parents=True)
    out = tmp_path / "lab"
    command = ("lab", "-o", out, "--quick", "--question", "a3", "B2", "--data-dir", tmp_path / "data")
    done = pixelwise(*command, "--json")
    assert done.returncode == 1
    values = json.loads(done.stdout)
    assert values["answers"]["A3"]["connections"]["value"] == 15_630_336
    assert list(values["not_answered"]) == ["B2"]
    assert (values["writeup"], values["notebook"]) == (str(out / "a2-writeup.pdf"), None)
    assert values["report"] == str(out / "lab-report.pdf")
    assert values["seconds"] > 0
    assert "B2" in done.stderr
    again = pixelwise(*command)
    assert str(out / "a2-writeup.pdf") in again.stdout
    assert "A3" not in again.stderr


def test_a_question_that_there_is_not(refused, tmp_path):
    assert "D1" in refused("lab", "-o", tmp_path / "lab", "--question", "D1")
    assert not (tmp_path / "lab").exists()


def test_weights_that_are_not_there(refused, tmp_path):
    gone = tmp_path / "gone.pth"
    assert "gone.pth" in refused("lab", "-o", tmp_path / "lab", "--question", "C1", "--weights", gone)
    assert not (tmp_path / "lab").exists()


def test_a_starter_for_students(pixelwise, refused, tmp_path):
    path = tmp_path / "course" / "a2-cnn.ipynb"
    done = pixelwise("lab", "--starter", path)
    assert (done.returncode, str(path) in done.stdout) == (0, True)
    cells = json.loads(path.read_text())["cells"]
    assert sum("NotImplementedError" in "".join(cell["source"]) for cell in cells) == 8
    assert "there already" in refused("lab", "--starter", path)
    assert [*path.parent.iterdir()] == [path]


def test_options_that_would_do_nothing_are_refused(refused, tmp_path):
    starter = refused("lab", "--starter", tmp_path / "a2-cnn.ipynb", "--num-filters", "5")
    assert "--starter writes the notebook for students and nothing else" in starter
    weights = refused("lab", "-o", tmp_path / "lab", "--question", "A3", "--weights", tmp_path / "gone.pth")
    assert "--weights is for C1 to C3, got --question A3" in weights
    assert list(tmp_path.iterdir()) == []
