"""All 13 questions asked of small data in the true formats: every value that the texts are written with."""

import json
import runpy
from pathlib import Path

import pytest

from fixtures.cifar10.make import write_cifar10
from pixelwise.lab import affine, batch_sizes, costs, finetuning
from pixelwise.lab.answer import Setting
from pixelwise.lab.questions import QUESTIONS
from pixelwise.lab.run import run_lab

FIXTURES = Path(__file__).parents[1] / "fixtures"
QUICK = json.loads((FIXTURES / "lab" / "quick.json").read_text())
make = runpy.run_path(str(FIXTURES / "flowers17" / "make.py"))
SOMETIMES = {("ratios", "row", "growing_bytes")}  # where it is more than what the library takes for itself
BY_PHOTO = ("photo_miou", "near_outline_frac", "flower_frac")


def paths(values, path=()):
    """Where values lie: keys from the outside in, one for all rows of a list, and for all photos."""
    if isinstance(values, list):
        return {one for value in values for one in paths(value, (*path, "row"))} or {path}
    if not isinstance(values, dict):
        return {path}
    by_photo = any(name in BY_PHOTO for name in path[-1:])
    return {
        one for key, value in values.items() for one in paths(value, (*path, "photo" if by_photo else key))
    }


@pytest.mark.slow
def test_every_question_of_small_data_has_every_value(tmp_path, monkeypatch):
    write_cifar10(tmp_path, num=100)  # 50 horses to learn from, 10 to validate
    make["write_flowers17"](tmp_path / "flowers17")
    monkeypatch.setattr(finetuning, "_FEW_SHOTS", 5)  # as many as there are
    monkeypatch.setattr(costs, "_FEW_LAYERS", (1, 2))
    monkeypatch.setattr(costs, "_HANDOUT_SIDE", 64)
    monkeypatch.setattr(affine, "QUICK_SCALES", (-1.0, 1.0))
    monkeypatch.setattr(batch_sizes, "QUICK", batch_sizes.Study((10, 50), epochs=1, steps=2))
    out = tmp_path / "out"
    result = run_lab(Setting(out=out, quick=True, data_dir=tmp_path), list(QUESTIONS))
    assert result.not_answered == {}
    answers = json.loads((out / "answers.json").read_text())
    assert list(answers) == [*QUESTIONS, "about"]
    for name in QUICK["answers"].keys() & QUESTIONS.keys():
        there, known = (paths(one[name]) - SOMETIMES for one in (answers, QUICK["answers"]))
        assert there == known, name
    assert (out / "a2-writeup.pdf").read_bytes().startswith(b"%PDF")
