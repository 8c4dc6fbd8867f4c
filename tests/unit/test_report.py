"""Reports: made from the run folder alone, self-contained, and true to metrics.jsonl."""

import io
import json
import runpy
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelwise.config import RunConfig, TrainConfig, UNetConfig
from pixelwise.data import load_pictures
from pixelwise.errors import CheckpointError
from pixelwise.recipes import recipe
from pixelwise.report import repeat, write_report
from pixelwise.runs import MODEL, read_metrics
from pixelwise.train import train

Page = runpy.run_path(str(Path(__file__).parents[1] / "fixtures" / "pages.py"))["Page"]
CONFIG = RunConfig(
    net=UNetConfig(num_filters=4),
    source="synthetic:shapes",
    train=TrainConfig(epochs=2, batch_size=20, precision="fp32", seed=3),
)


@pytest.fixture(scope="module")
def pictures():
    whole = load_pictures("synthetic:shapes", None, 3)
    return replace(whole, train=whole.train[:40], val=whole.val[:20])


@pytest.fixture(scope="module")
def finished(tmp_path_factory, pictures):
    folder = tmp_path_factory.mktemp("runs") / "finished"
    train(CONFIG, pictures, folder, device="cpu")
    return folder


@pytest.fixture
def run(finished, tmp_path):
    return Path(shutil.copytree(finished, tmp_path / "run"))


def test_the_page_says_what_the_run_came_to_and_fetches_nothing(run):
    read = Page(write_report(run).read_text())
    last = read_metrics(run)[-1]
    assert read.faults == []
    for shown in (f"{last['val_accuracy']:.2f} %", f"{last['val_loss']:.4f}", f"{last['train_loss']:.4f}"):
        assert shown in read.text.replace("\N{NO-BREAK SPACE}", " ")
    manifest = json.loads((run / "run.json").read_text())
    for told in (*manifest["reasons"].values(), *manifest["versions"].values(), manifest["data_sha256"]):
        assert told in read.text
    assert "pixelwise train unet synthetic:shapes --recipe handout" in read.text


def test_the_page_shows_curves_and_the_samples(run, pictures):
    read = Page(write_report(run).read_text())
    assert "loss by epoch" in read.pictures
    assert "validation accuracy by epoch" in read.pictures
    truth = np.asarray(read.picture("Truth"))
    assert truth.shape == (32, 8 * 32 + 7 * 2, 4)
    assert np.array_equal(truth[:, :32, :3], pictures.val[0].permute(1, 2, 0).numpy())
    assert np.array_equal(truth[:, -32:, :3], pictures.val[-1].permute(1, 2, 0).numpy())
    assert {"Grey, as the network reads it", "Prediction"} <= read.pictures.keys()
    for name in ("curves.png", "pictures.png"):
        assert Image.open(io.BytesIO((run / name).read_bytes())).width > 1000


def test_an_unfinished_run_has_curves_and_says_how_to_go_on(run):
    (run / MODEL).unlink()
    (run / "metrics.jsonl").write_text((run / "metrics.jsonl").read_text().splitlines()[0] + "\n")
    read = Page(write_report(run).read_text())
    assert "interrupted after 1 of 2 epochs." in read.text
    assert f"pixelwise train --resume --out {run}" in read.text
    assert list(read.pictures) == ["loss by epoch", "validation accuracy by epoch"]
    assert read.faults == []


def test_a_run_stopped_within_its_first_epoch_still_has_a_page(run):
    (run / MODEL).unlink()
    (run / "metrics.jsonl").write_text("")
    read = Page(write_report(run).read_text())
    assert "interrupted after 0 of 2 epochs" in read.text
    assert read.pictures == {}


def test_a_model_without_its_scores_is_named(run):
    (run / "metrics.jsonl").write_text("")
    with pytest.raises(CheckpointError, match=r"holds a model but no scores: metrics.jsonl is empty"):
        write_report(run)


def test_the_page_tells_what_was_left_out_of_the_pictures(run):
    manifest = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(manifest | {"notes": ["left out a.png: cut short"]}))
    assert "left out a.png: cut short" in Page(write_report(run).read_text()).text


def test_the_card_tells_what_was_learned_from_and_how_well(run):
    manifest = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(manifest | {"notes": ["left out a.png: cut short", "else"]}))
    write_report(run)
    card = (run / "card.md").read_text()
    num_train, num_val = manifest["num_images"]
    assert num_train > num_val > 0
    assert f"{CONFIG.source}: {num_train:,} pictures, {num_val:,} others to measure on, 1 left out" in card
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert f"{last['val_accuracy']:.2f} % of the pixels" in card
    assert card.endswith("Left out:\n\n- a.png: cut short\n")
    assert repeat(CONFIG).splitlines()[0] in card


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(
        CheckpointError, match=r"holds no run: run.json is missing or damaged; give the folder"
    ):
        write_report(tmp_path)


@pytest.mark.parametrize(
    ("config", "command"),
    [
        (recipe("fast", "unet", "cifar10:horse"), "train unet cifar10:horse --recipe fast --out again"),
        (
            recipe("handout", "cnn", "folder:my photos", reshuffle=False, seed=7),
            "train cnn 'folder:my photos' --recipe handout --fixed-order --seed 7 --out again",
        ),
        (
            recipe("best", "unet", "cifar10:all", palette="ab.json", kernel=5),
            "train unet cifar10:all --recipe best --kernel 5 --palette ab.json --out again",
        ),
        (
            recipe("photo", "colournet", "folder:mine", film=0.5, softness=1.0, size=128, num_colours=31),
            "train colournet folder:mine --recipe photo --softness 1.0 --film 0.5 --num-colours 31 --size 128"
            " --out again",
        ),
    ],
)
def test_the_command_to_repeat_names_only_what_differs_from_a_recipe(config, command):
    learnt = replace(config, net=replace(config.net, num_colours=31))  # the palette's number, set by training
    assert repeat(learnt) == f"pixelwise {command}"


def test_a_configuration_beyond_the_options_is_repeated_by_a_program():
    config = replace(CONFIG, train=replace(CONFIG.train, momentum=0.123))
    values = {}
    program = repeat(config)
    exec(program[: program.index("train_source(config")], values)
    assert values["config"] == config
