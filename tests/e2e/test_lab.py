"""The verb lab: the answers as JSON, what is missing told, one clear line for wrong use."""

import json
import shlex

import pytest

from pixelwise.cli.app import app
from pixelwise.lab.questions import QUESTIONS


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
    assert values["seconds"] > 0
    assert "pixelwise: B2 is not answered: " in done.stderr
    assert "unpack cifar-10-python.tar.gz there" in done.stderr
    again = pixelwise(*command)
    assert f"{out}/a2-writeup.pdf  the writeup, with 1 question answered" in again.stdout
    assert "A3: Weights, outputs and connections" not in again.stderr


def test_a_question_that_there_is_not(pixelwise, tmp_path):
    done = pixelwise("lab", "-o", tmp_path / "lab", "--question", "D1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("pixelwise: needed questions among A1, A2, A3,")
    assert not (tmp_path / "lab").exists()


@pytest.mark.parametrize("line", [one.by_hand for one in QUESTIONS.values() if one.by_hand])
def test_commands_that_the_writeup_tells_are_understood(line):
    app.parse_args(shlex.split(line)[1:], exit_on_error=False, print_error=False)
