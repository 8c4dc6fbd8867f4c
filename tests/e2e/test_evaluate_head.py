"""The verb evaluate on heads, through the command line."""

import contextlib
import io
import json
import shutil
from functools import partial

import numpy as np
import pytest
from PIL import Image

from fixtures.discs import folder_of_discs
from pixelwise.cli.app import run

pytestmark = [pytest.mark.core, pytest.mark.slow]


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory):
    """Where the photos, a head that learned from them, and the features of both are."""
    place = tmp_path_factory.mktemp("evaluate")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIXELWISE_CACHE", str(place / "cache"))
        yield place


@pytest.fixture(scope="module")
def discs(place):
    return folder_of_discs(place / "discs")


@pytest.fixture
def folder(discs, tmp_path):
    return shutil.copytree(discs, tmp_path / "discs")


@pytest.fixture(scope="module")
def learned(place, discs):
    arguments = ["finetune", f"folder:{discs}", "--sizes", "64", "--looks", "1", "--json"]
    with contextlib.redirect_stdout(io.StringIO()) as told:
        assert run([*arguments, "-o", str(place / "disc.safetensors")]) == 0
    return json.loads(told.getvalue())


@pytest.fixture
def head(place, learned):
    return place / "disc.safetensors"


@pytest.fixture
def evaluated(answer):
    return partial(answer, "evaluate")


def test_a_head_scores_above_majority_and_as_it_did_when_it_was_learned(evaluated, discs, head, learned):
    values = evaluated(head, f"folder:{discs}")
    assert values["miou"]["value"] == pytest.approx(learned["after"]["miou"])
    assert values["miou"]["low"] > values["baselines"]["majority"]["miou"]["high"]
    assert set(values["baselines"]) == {"majority", "colour histogram"}
    for score in ("boundary_f1", "dice"):
        assert set(values[score]) == {"background", "disc"}
    assert 0 <= values["calibration_error"]["low"] <= values["calibration_error"]["high"] <= 1
    assert (values["part"], values["num_images"], values["duplicates"]) == ("test", 4, [])
    scores = [photo["miou"] for photo in values["photos"]]
    assert scores == sorted(scores)
    assert "baselines learned from 6 photos of the part train" in values["notes"][0]
    means = {name: scores["miou"]["value"] for name, scores in values["baselines"].items()}
    said = [note for note in values["notes"] if note.startswith("no better than")]
    assert [name for name, mean in means.items() if mean >= values["miou"]["value"]] == ["colour histogram"]
    assert said == [
        f"no better than the baseline colour histogram, whose mean IoU is {means['colour histogram']:.3f}: "
        "label more photos, or photos more like these"
    ]


def test_photos_that_a_head_never_saw_are_all_scored(evaluated, folder, head):
    for photo in (folder / "images").iterdir():
        Image.fromarray(np.asarray(Image.open(photo)) // 2 + 60).save(photo)
    (folder / "splits.json").unlink()
    num = len(list((folder / "images").iterdir()))
    values = evaluated(head, f"folder:{folder}")
    assert (values["part"], values["num_images"]) == ("all", num)
    assert values["baselines"] == {}
    assert "--part val" in values["notes"][0]
    assert evaluated(head, f"folder:{folder}", "--part", "val")["num_images"] < num
    stems = [photo.stem for photo in (folder / "images").iterdir()]
    (folder / "splits.json").write_text(json.dumps({"test": stems}))
    assert evaluated(head, f"folder:{folder}", "--no-baselines")["num_images"] == num


def test_masks_in_black_and_white_are_of_any_head_of_two_classes(evaluated, folder, head):
    for mask in (folder / "masks").iterdir():
        codes = np.asarray(Image.open(mask))
        Image.fromarray(np.where(codes == 1, 255, 0).astype(np.uint8)).save(mask)
    (folder / "classes.json").unlink()
    assert evaluated(head, f"folder:{folder}", "--no-baselines")["iou"]["disc"]["value"] > 0.5


def test_scores_on_photos_that_the_head_saw_are_given_only_when_asked_and_said_to_be_too_good(
    evaluated, folder, head
):
    command = (head, f"folder:{folder}", "--no-baselines")
    stems = [f"disc{number:02}" for number in range(10)]
    (folder / "splits.json").write_text(json.dumps({"train": stems[6:], "val": stems[:1], "test": []}))
    values = evaluated(*command)
    assert values["part"] == "val"
    assert values["notes"] == ["the head saw disc00.png as it learned, scored here: its scores are too good"]
    (folder / "splits.json").unlink()
    assert evaluated(*command)["part"] == "val"
    assert "its scores are too good" in evaluated(*command, "--part", "all")["notes"][0]


def test_a_photo_saved_anew_in_both_parts_is_named_and_can_be_left_out(evaluated, folder, head):
    with Image.open(folder / "images" / "disc01.png") as photo:
        photo.save(folder / "images" / "disc07.jpg", quality=90)
    (folder / "images" / "disc07.png").unlink()
    (folder / "masks" / "disc07.png").write_bytes((folder / "masks" / "disc01.png").read_bytes())
    pair = [str(folder / "images" / name) for name in ("disc07.jpg", "disc01.png")]
    for options, num, remedy in (((), 4, "--without-duplicates"), (("--without-duplicates",), 3, "left out")):
        values = evaluated(head, f"folder:{folder}", "--no-baselines", *options)
        assert (values["duplicates"], values["num_images"]) == ([pair], num)
        assert "disc07.jpg (disc01.png)" in values["notes"][0]
        assert remedy in values["notes"][0]


def test_what_does_not_belong_together_is_one_clear_line(refused, discs, head, tmp_path):
    other = folder_of_discs(tmp_path / "other")
    (other / "classes.json").write_text(json.dumps({"background": 0, "balloon": 1}))
    for arguments, value in {
        (head, f"folder:{other}"): "background, balloon",
        (head, f"folder:{discs}", "--part", "val"): "val",
    }.items():
        assert value in refused("evaluate", *arguments)
