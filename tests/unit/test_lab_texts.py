"""The writeup's sentences follow the figures: the same texts set from answers that came out otherwise."""

import copy
import json
import shutil
from importlib import resources
from pathlib import Path

import pytest
import typst
from PIL import Image

from pixelwise.lab.seeds import over_seeds

QUICK = json.loads((Path(__file__).parents[1] / "fixtures" / "lab" / "quick.json").read_text())
BETTER, LEVEL, WORSE = [3.0, 3.1, 2.9], [3.0, -3.1, 0.0], [-3.0, -3.1, -2.9]


@pytest.fixture
def said(tmp_path):
    """What the text of a question says to answers: all its words, in one line."""
    with resources.as_file(resources.files("pixelwise.lab") / "typst") as texts:
        shutil.copytree(texts, tmp_path, dirs_exist_ok=True)
    (tmp_path / "figures").mkdir()
    for name in QUICK["figures"]:
        Image.new("RGB", (4, 2)).save(tmp_path / "figures" / f"{name}.png")

    def say(question, answers):
        (tmp_path / "answers.json").write_text(json.dumps(answers))
        source = tmp_path / "query.typ"
        source.write_text(f'#metadata(include "{question.lower()}.typ") <said>')
        found = typst.query(source, "<said>", field="value", one=True, root=tmp_path)
        return " ".join("".join(words(json.loads(found))).split())

    return say


def words(content):
    """The text within content, as it is nested."""
    if isinstance(content, list):
        for one in content:
            yield from words(one)
    elif isinstance(content, dict):
        if content.get("func") in ("space", "parbreak", "linebreak", "item"):
            yield " "
        if content.get("func") == "symbol" or isinstance(content.get("text"), str):
            yield str(content.get("text", ""))
        for key in ("children", "body", "child", "content", "caption"):
            if key in content:
                yield from words(content[key])


@pytest.fixture
def answers():
    return copy.deepcopy(QUICK["answers"])


def came_out(answers, accuracy, loss):
    """B3 where the seeds gained so much."""
    for name, gains in (("accuracy", accuracy), ("loss", loss)):
        answers["B3"]["gain_by_seed"][name] = {"gains": gains, "over_seeds": over_seeds(gains)}
    return answers


def variant(answers, name):
    return next(one for one in answers["B3"]["ablation"] if one["name"] == name)["behind"]


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        (BETTER, "yes."),
        (WORSE, "no, the CNN is better."),
        ([3.0, -2.0], "it is ahead, but 2 seeds do not rule out chance."),
        ([-3.0, 2.0], "not in these runs."),
    ],
)
def test_the_verdict_is_that_of_the_seeds_for_accuracy_and_loss_by_themselves(said, answers, gains, verdict):
    assert f"In accuracy: {verdict} In loss: yes." in said("B3", came_out(answers, gains, BETTER))
    assert f"In accuracy: yes. In loss: {verdict}" in said("B3", came_out(answers, BETTER, gains))


def test_reasons_are_counted_as_they_are_borne_out(said, answers):
    b3 = came_out(answers, BETTER, BETTER)["B3"]
    gradients = b3["depth"]["gradients"]
    b3["more_at_edges"] = over_seeds(BETTER)
    gradients["U-Net"], gradients["CNN"] = (
        [dict.fromkeys(gradients["CNN"][0], size)] * 2 for size in (2.0, 1.0)
    )
    for name in ("U-Net, no skip at full size", b3["as_large"]["name"]):
        variant(answers, name)["unet"] = over_seeds(BETTER)
    text = said("B3", answers)
    assert "four reasons that are given, 4 borne out here" in text
    assert "In the first block it is longer with every seed." in text
    assert "more weights alone do not do what skips do." in text
    assert "do not show that the U-Net" not in text

    b3["more_at_edges"] = over_seeds(WORSE)
    gradients["U-Net"], gradients["CNN"] = gradients["CNN"], gradients["U-Net"]
    for name in ("U-Net, no skip at full size", b3["as_large"]["name"]):
        variant(answers, name)["unet"] = over_seeds(WORSE)
    text = said("B3", came_out(answers, LEVEL, LEVEL))
    assert "four reasons that are given, 0 borne out here" in text
    assert "These seeds do not show that the U-Net is more accurate" in text
    assert "points: it is smaller, against this reason." in text
    assert "In the first block it is shorter with every seed, against this reason." in text
    assert "points: without it the U-Net is better." in text
    assert "more weights are worth more than skips." in text


def test_what_is_seen_is_told_as_it_was_measured(said, answers):
    looks = answers["B3"]["looks"]
    looks["borders"]["gain"] = looks["near_lightness"]["gain"] = over_seeds(WORSE)
    looks["near_chroma"]["gain"], looks["chroma"]["gain"] = over_seeds(BETTER), over_seeds(LEVEL)
    text = said("B3", answers)
    assert "its pictures have less detail" in text
    assert "The colour proper comes nearer to the truth; for lightness that is not shown." in text
    assert "The seeds show 3 of these four differences." in text


def rows(answers, fixed, *losses):
    of = [one for one in answers["B4"]["rows"] if one["fixed"] == fixed]
    for one, loss in zip((of[0], of[-1]), losses, strict=True):
        one["val_loss"] = loss


@pytest.mark.parametrize(
    ("epochs", "steps", "conclusion"),
    [
        ((1.0, 2.0), (1.5, 1.5), "is the number of steps, and not the size itself."),
        ((1.0, 2.0), (2.0, 1.0), "is the number of steps, and not the size itself."),
        ((1.0, 2.0), (1.0, 2.0), "gain by more than the number of steps."),
        ((2.0, 1.0), (1.5, 1.5), ""),
        ((1.5, 1.5), (1.5, 1.5), ""),
    ],
)
def test_what_small_batches_gain_is_concluded_from_both_halves(said, answers, epochs, steps, conclusion):
    answers["B2"]["apart_by_chance"]["val_loss"] = 0.1
    rows(answers, "epochs", *epochs)
    rows(answers, "steps", *steps)
    text = said("B4", answers)
    assert conclusion in text
    assert ("So what small batches" in text or "So small batches" in text) == bool(conclusion)
    wanted = {
        -1: "the smallest batch ends lower",
        0: "no further apart than seeds explain",
        1: "the largest batch",
    }
    for fixed, (first, last) in (("epochs", epochs), ("steps", steps)):
        sentence = text[text.index(f"number of {fixed} fixed, ") :]
        assert wanted[(first > last) - (first < last)] in sentence[:90]


def test_without_b2_nothing_is_concluded_of_batch_sizes(said, answers):
    del answers["B2"]
    text = said("B4", answers)
    assert "whether the sizes differ by more than seeds explain is not known" in text
    assert "So what small batches" not in text
    assert "nothing is concluded" in text


def test_a_loss_that_turned_up_again_is_told(said, answers):
    b2 = answers["B2"]
    b2["epochs"], b2["least_val_loss"] = 25, {"epoch": 10, "val_loss": 1.0}
    b2["by_seed"][0] |= {"train_loss": 0.9, "val_loss": 1.5}
    b2["apart_by_chance"]["val_loss"] = 0.1
    text = said("B2", answers)
    assert "It did not fall further in the 15 epochs after that." in text
    assert "rising since epoch 10" in text
    b2["apart_by_chance"]["val_loss"] = 0.6
    assert "rising since" not in said("B2", answers)
    b2["least_val_loss"] = {"epoch": 25, "val_loss": 1.5}
    assert "more epochs may still help" in said("B2", answers)


def test_the_cnns_faults_are_those_that_it_has(said, answers):
    a2 = answers["A2"]
    a2["looks"]["prediction"] = dict(a2["looks"]["truth"])
    a2["scores"]["model"]["accuracy"]["value"] = 90.0
    for one in a2["colours"]:
        one["given"] = one["share"]
    text = said("A2", answers)
    assert "They look fair." in text
    assert "There is no less detail than in the truth." in text
    assert "Rare colours are given as often as they are there." in text
    assert "The CNN is better than this table" in text
    assert "can still be read off linearly" in text
    del answers["B3"]
    assert "can still be read off linearly" not in said("A2", answers)


def test_late_statistics_are_explained_by_b_only_where_there_is_one(said, answers):
    every = [row for net in ("cnn", "unet") for row in answers["A4"]["retrained"][net]["rows"]]
    for row in every:
        row["batch"]["mean"] = row["stored"]["mean"] + (10 if row["b"] == 0 else 0)
    text = said("A4", answers)
    assert "Stored statistics take more than 5 points off the CNN on 2x and the U-Net on 2x" in text
    assert "The stored mean is an average" not in text
    for row in every:
        row["batch"]["mean"] = row["stored"]["mean"] + (10 if row["b"] != 0 else 0)
    assert "In all of these b is not 0. The stored mean is an average" in said("A4", answers).replace(
        "( ", "("
    )


def test_c3_compares_the_flowers_of_the_worst_photos_with_all(said, answers):
    c3 = answers["C3"]
    for name in c3["flower_frac"]:
        c3["flower_frac"][name] = 0.9 if name in c3["worst"] else 0.3
    assert "Flowers fill 90 % of the middle one of the worst photos, more than" in said("C3", answers)
    c3["flower_frac"] = dict.fromkeys(c3["flower_frac"], None)
    assert "Flowers fill" not in said("C3", answers)
