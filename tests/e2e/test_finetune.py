"""finetune in every way, as its user runs it: masks in, a head out that segment understands."""

import os
import signal

import numpy as np
import pytest
from PIL import Image

from fixtures.discs import folder_of_discs
from fixtures.halves import folder_of_halves
from pixelwise.labels.read import read_mask
from pixelwise.segmenting.heads import open_head
from pixelwise.training import finetune_epochs as epochs

pytestmark = pytest.mark.slow

CONTRACT = {"classes", "num_images", "num_learned", "before", "after", "extract_seconds", "solve_seconds"}
CONTRACT |= {"gradient_norm", "certificate"}
PARTS = {"train": [0, 1, 2, 3], "val": [4, 5], "test": [6, 7]}
SIZES = ("--sizes", 32, 64)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PIXELWISE_CACHE", str(tmp_path / "cache"))
    return folder_of_halves(tmp_path / "halves", **PARTS)


def learn(answer, folder, *options):
    values = answer("finetune", f"folder:{folder}", *SIZES, *options, "-o", folder / "head", "--quiet")
    assert set(values) >= CONTRACT
    certificate = values["certificate"]
    assert certificate["before"] == certificate["after"]
    return values


def overlap_of_masks(answer, folder):
    """Intersection over union of segment's masks of the test photos with those that were drawn."""
    photos = [folder / "images" / f"photo{number}.png" for number in PARTS["test"]]
    answer("segment", *photos, "--head", folder / "head", "-o", folder / "out")
    both = either = 0
    for photo in photos:
        given, true = (read_mask(folder / where / photo.name) for where in ("out", "masks"))
        known = true != 255
        both += np.sum(known & (given == 1) & (true == 1))
        either += np.sum(known & ((given == 1) | (true == 1)))
    return both / either


def test_the_last_layer(answer, folder):
    values = learn(answer, folder)
    assert values["gradient_norm"] < 1e-4
    assert values["last_layer"] is None
    assert values["after"]["iou"]["red"] > 0.9
    assert overlap_of_masks(answer, folder) == pytest.approx(values["after"]["iou"]["red"], abs=0.01)


@pytest.mark.parametrize(("policy", "other_tensors"), [("stage", 281), ("full", 146)])
def test_a_policy_that_thaws(answer, folder, policy, other_tensors):
    values = learn(
        answer, folder, "--policy", policy, "--epochs", 2, "--batch-size", 2, "--learning-rate", 0.001
    )
    assert values["last_layer"]["miou"] > values["before"]["miou"]
    assert values["gradient_norm"] is None
    assert values["certificate"]["num_tensors"] == other_tensors
    assert len(values["watched_miou"]) == 3
    head = open_head(folder / "head")
    assert values["head_bytes"] == head.num_bytes
    if head.tuned:
        assert values["best_epoch"] > 0
        assert head.num_bytes > 1e6
    assert overlap_of_masks(answer, folder) == pytest.approx(values["after"]["iou"]["red"], abs=0.02)


def test_too_few_photos_to_hold_one_out_teach_a_head_without_scores(answer, pixelwise, tmp_path, monkeypatch):
    monkeypatch.setenv("PIXELWISE_CACHE", str(tmp_path / "cache"))
    few = folder_of_halves(tmp_path / "few", num=3)
    values = learn(answer, few)
    assert values["before"] is values["after"] is None
    done = pixelwise("finetune", f"folder:{few}", *SIZES, "-o", few / "head")
    assert "all 3 photos are learned from" in done.stderr
    assert "intersection over union" not in done.stdout
    answer("segment", few / "images", "--head", few / "head", "-o", few / "out")


def test_all_photos_are_learned_from_once_the_head_is_scored(answer, pixelwise, refused, folder):
    (folder / "splits.json").unlink()
    first = learn(answer, folder)
    assert (first["num_images"], first["num_scored"]) == (6, 2)
    values = learn(answer, folder, "--then-all")
    assert values["after"] == first["after"]
    assert (values["num_images"], values["scored_num_images"], values["num_scored"]) == (8, 6, 2)
    head = open_head(folder / "head")
    assert len(head.facts.photos) == 8
    assert head.facts.scores["miou"]["value"] == values["after"]["miou"]
    done = pixelwise("finetune", f"folder:{folder}", *SIZES, "--then-all", "-o", folder / "head")
    assert " numbers learned from 6 photos, " in done.stdout.splitlines()[0]
    assert f"then learned anew from 8 photos, {head.facts.num_looks} views" in done.stdout
    assert f"{head.facts.gradient_norm:.1e}, ridge {head.facts.ridge:g}" in done.stdout.splitlines()[-2]
    told = refused("finetune", f"folder:{folder}", "--then-all", "--shots", 2, "-o", folder / "head")
    assert "--then-all is for the exact last layer" in told


def test_ctrl_c_leaves_a_head(answer, pixelwise, folder, monkeypatch):
    def vary(images, rng, as_ever=epochs.vary):
        os.kill(os.getpid(), signal.SIGINT)
        return as_ever(images, rng)

    monkeypatch.setattr(epochs, "vary", vary)
    done = pixelwise("finetune", f"folder:{folder}", "--sizes", 64, "--policy", "full", "-o", folder / "head")
    assert done.returncode == 130
    assert f"interrupted; {folder / 'head'} has what was learned until then" in done.stderr
    head = open_head(folder / "head")
    assert head.facts.best_epoch == 0
    assert head.facts.scores is None
    assert overlap_of_masks(answer, folder) > 0.9


def test_the_curve_ends_in_the_score_of_all_photos_and_is_drawn_beside_the_head(
    answer, tmp_path, monkeypatch
):
    monkeypatch.setenv("PIXELWISE_CACHE", str(tmp_path / "cache"))
    folder = folder_of_discs(tmp_path / "discs", num_train=3, num_test=2)
    few = ("--sizes", 64, "--looks", 1, "--ridge", 0.01)
    values = answer("finetune", f"folder:{folder}", *few, "--curve", "-o", tmp_path / "disc.safetensors")
    assert [(row["shots"], row["draws"]) for row in values["curve"]] == [(2, 5), (3, 1)]
    for row in values["curve"]:
        assert 0 <= row["miou"]["low"] <= row["miou"]["high"] <= 1
    # both heads are within the certificate of the best: some pixels at the rim may differ
    assert abs(values["curve"][-1]["miou"]["value"] - values["after"]["miou"]) < 0.002
    assert values["forecast"] is None
    assert values["curve_picture"] == str(tmp_path / "disc.curve.png")
    with Image.open(tmp_path / "disc.curve.png") as picture:
        assert picture.width > 500
