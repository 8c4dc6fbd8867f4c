"""All 13 questions on small data in the true formats, with the writeup of all of them."""

import json
import re

import pytest

from fixtures.cifar10.make import write_cifar10
from fixtures.flowers17 import make
from pixelwise.lab.answer import Setting
from pixelwise.lab.documents import write_writeup
from pixelwise.lab.run import QUESTIONS, run_lab


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
    assert [(row["fixed"], row["batch_size"]) for row in values["B4"]["rows"]] == [
        (fixed, size) for fixed in ("epochs", "steps") for size in (20, 100, 500)
    ]
    for row in values["C2"]["ways"]:
        assert row["after"]["miou"]["value"] > row["before"]["miou"]["value"]
        assert row["certificate"]["before"] == row["certificate"]["after"]
    scores = list(values["C3"]["photo_miou"].values())
    assert scores == sorted(scores)
    assert [row["saved_bytes"] for row in values["C5"]["ratios"]] == pytest.approx([4, 4], rel=0.01)
    content = (out / "a2-writeup.pdf").read_bytes()
    assert len(re.findall(rb"/Type\s*/Page\b", content)) >= 10
    values["B3"]["confounded"] = {"diverged": True, "learning_rate": 0.3, "why": "training diverged"}
    (out / "answers.json").write_text(json.dumps(values))
    assert write_writeup(out).read_bytes() != content
