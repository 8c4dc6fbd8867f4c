"""The flow of finetune: what is refused early, written before anything can fail, and told of its photos."""

import pytest
import torch
from PIL import Image

from fixtures.lessons import folder_of_halves, lesson_on
from fixtures.tiny_backbone import tiny_backbone
from pixelwise.config import FinetuneConfig
from pixelwise.errors import ConfigError, DataError
from pixelwise.features import FeatureCache
from pixelwise.files import checksum
from pixelwise.finetune import finetune
from pixelwise.finetune.exact import learn_last_layer
from pixelwise.finetune.lesson import Taught
from pixelwise.finetune.loop import learn_by_adam
from pixelwise.finetune.run import score
from pixelwise.head import Weights
from pixelwise.heads import open_head

RIDGE = {"ridge": 0.01}


@pytest.fixture
def backbone(monkeypatch):
    """What finetune opens."""
    one = tiny_backbone()
    monkeypatch.setattr("pixelwise.finetune.run.open_backbone", lambda *_: one)
    return one


def learn(folder, **options):
    config = FinetuneConfig(source=f"folder:{folder}", sizes=(16, 32), **options)
    return finetune(config, folder / "head", device="cpu", cache=FeatureCache(folder.with_name("cache")))


def test_a_damaged_mask_to_score_on_leaves_the_head(backbone, tmp_path, caplog):
    folder = folder_of_halves(tmp_path / "halves", num=4, train=[0, 1, 2], val=[], test=[3])
    Image.new("L", (3, 3)).save(folder / "masks" / "photo3.png")
    with pytest.raises(DataError, match="needed labels of the size"):
        learn(folder, **RIDGE)
    head = open_head(folder / "head")
    assert head.facts["num_images"] == 3
    assert "scores" not in head.facts
    assert f"{folder / 'head'} has what was learned, without scores" in caplog.text


@pytest.mark.parametrize(
    ("num", "last_stage", "options", "message"),
    [
        (3, True, {"advise": True}, "or 4 that are, got 0 and 3; label more"),
        (4, False, {"advise": True}, "needs to know the last stage of tiny"),
        (4, False, {"policy": "stage"}, "needs to know the last stage of tiny"),
        (1, True, {"policy": "full"}, "the policy full needs a labelled photo to stop by"),
    ],
)
def test_what_would_fail_at_the_end_is_refused_at_the_start(
    backbone, tmp_path, num, last_stage, options, message
):
    folder = folder_of_halves(tmp_path / "halves", num=num)
    backbone.last_stage = backbone.last_stage if last_stage else ()
    with pytest.raises(ConfigError, match=message):
        learn(folder, **RIDGE, **options)
    assert backbone.net.seen == []


def test_a_head_knows_the_photos_that_it_stopped_by(backbone, tmp_path):
    parts = {"train": [0, 1, 2], "val": [3, 4], "test": [5]}
    folder = folder_of_halves(tmp_path / "halves", num=6, **parts)
    head = learn(folder, policy="stage", epochs=1, **RIDGE).head
    known = [head.knows(checksum(folder / "images" / f"photo{number}.png")) for number in range(6)]
    assert known == [True] * 5 + [False]


def test_scores_before_adam_are_of_the_layer_that_it_began_with(tmp_path):
    lesson = lesson_on(
        tiny_backbone(), folder_of_halves(tmp_path / "halves"), solver="adam", epochs=1, learning_rate=1e-9
    )
    taught = learn_by_adam(lesson)
    torch.testing.assert_close(taught.untaught.weight, taught.weights.weight, rtol=0, atol=1e-6)
    before, _, after = score(lesson, taught, lesson.watched)
    assert before.miou.value == pytest.approx(after.miou.value)


def test_a_head_that_learned_is_scored_itself_where_the_backbone_did_not(tmp_path):
    lesson = lesson_on(tiny_backbone(), folder_of_halves(tmp_path / "halves"), **RIDGE)
    exact = learn_last_layer(lesson)
    wrong = Weights(-exact.weights.weight, -exact.weights.bias)
    taught = Taught(
        weights=wrong,
        backbone=lesson.backbone,
        certificate=exact.certificate,
        how="",
        facts={},
        num_learned=0,
        num_looks=0,
        start=exact.weights,
    )
    _, start, after = score(lesson, taught, lesson.watched)
    assert after.miou.value < 0.2
    assert start.miou.value > 0.8


def test_a_class_without_pixels_is_named(backbone, tmp_path, caplog):
    folder = folder_of_halves(tmp_path / "halves", num=4)
    (folder / "classes.json").write_text('{"names": ["background", "red", "green"]}')
    learn(folder, **RIDGE)
    assert "no pixel learned from is of the class green: the head cannot find it" in caplog.text
