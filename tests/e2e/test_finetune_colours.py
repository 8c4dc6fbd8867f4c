"""finetune --task colour, as its user runs it: photos in, a model out that colours and is evaluated."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from fixtures.sunsets import folder_of_sunsets, sunset
from pixelwise.network.model import open_model

SIZE = ("--sizes", 64)


@pytest.fixture
def folder(tmp_path):
    return folder_of_sunsets(tmp_path / "album", 11)


def learn(pixelwise, folder, *options):
    model = folder.parent / "mine.safetensors"
    done = pixelwise(
        "finetune", f"folder:{folder}", "--task", "colour", *SIZE, *options, "-o", model, "--json"
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.mark.slow
def test_a_colouriser_of_ones_own(answer, pixelwise, folder):
    values, _ = learn(pixelwise, folder)
    assert (values["num_images"], values["num_scored"]) == (9, 2)
    assert values["gradient_norm"] < 1e-4
    assert values["certificate"]["before"] == values["certificate"]["after"]
    assert values["num_learned"] == values["num_colours"] * 769
    scores = {name: values["before"][name]["ciede2000"]["value"] for name in ("grey", "mean ab")}
    assert values["after"]["ciede2000"]["value"] < 0.5 * min(scores.values())
    assert 0.8 < values["after"]["colourfulness_ratio"]["value"] < 1.2

    model, others = folder.parent / "mine.safetensors", folder.parent / "others"
    others.mkdir()
    Image.fromarray(sunset(99)).convert("L").save(others / "grey.png")
    answer("colourise", others, "-o", folder.parent / "out", "--model", model)
    coloured = np.asarray(Image.open(folder.parent / "out" / "grey.png")).astype(int)
    assert coloured[4, :, 0].mean() > coloured[4, :, 2].mean() + 60  # the sky
    assert coloured[-5, :, 2].mean() > coloured[-5, :, 0].mean() + 30  # the sea
    Image.fromarray(sunset(98)).save(others / "true.png")
    answer("evaluate", model, f"folder:{others}")

    card = (folder.parent / "mine.md").read_text()
    assert f"- learned from: folder:{folder}, 9 photos" in card
    assert "On 2 photos held out" in card
    assert "Left out" not in card


@pytest.mark.slow
def test_what_teaches_no_colour_is_left_out_and_named(pixelwise, folder):
    shutil.copy(folder / "03.png", folder / "again.png")
    Image.fromarray(sunset(50)).convert("L").save(folder / "grey.png")
    (folder / "text.jpg").write_text("no photo")
    values, told = learn(pixelwise, folder)
    assert values["num_images"] + values["num_scored"] == 11
    for name, reason in (
        ("again.png", f": it is the same photo as {folder}/03.png"),
        ("grey.png", ": it is grey"),
        ("text.jpg", ": "),
    ):
        note = f"left out {folder}/{name}{reason}"
        assert any(one.startswith(note) for one in values["left_out"])
        assert note in told
    assert "Left out:" in (folder.parent / "mine.md").read_text()


@pytest.mark.slow
def test_few_photos_teach_a_model_without_scores(pixelwise, folder):
    few = folder_of_sunsets(folder.parent / "few", 3)
    values, told = learn(pixelwise, few, "--colours", 4)
    assert values["before"] is values["after"] is None
    assert values["num_colours"] == 4
    assert "all 3 photos are learned from" in told
    model = open_model(folder.parent / "mine.safetensors")
    assert (model.trained_on, model.palette.num_classes) == (f"folder:{few}", 4)


def test_options_of_the_other_task_are_refused(refused, folder):
    for options, message in (
        (("--task", "colour", "--policy", "stage"), "--policy is an option of --task mask"),
        (("--task", "colour", "--rebalance", 0.5), "--rebalance is an option of --task mask"),
        (("--task", "colour", "--curve"), "options of --task mask"),
        (("--task", "colour", "--sizes", 64, 128), "--task colour reads photos at one size"),
        (("--task", "colour", "--shots", 500), "needed 500"),
        (("--task", "colour", "--colours", 300), "got 300"),
    ):
        assert message in refused("finetune", f"folder:{folder}", *options)


def test_a_source_without_colour_photos_is_refused(refused, tmp_path):
    (tmp_path / "grey").mkdir()
    Image.fromarray(sunset(0)).convert("L").save(tmp_path / "grey" / "a.png")
    for source, message in (
        ("cifar10:horse", "needed a folder of colour photos as folder:PATH, got cifar10:horse"),
        (f"folder:{tmp_path}/nowhere", "is not there"),
        (f"folder:{tmp_path}/grey", "photos in colour"),
    ):
        assert message in refused("finetune", source, "--task", "colour")
