"""Reports: made from the run folder alone, self-contained, and true to metrics.jsonl."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fixtures.pages import Page
from pixelwise.errors import CheckpointError
from pixelwise.network.config import RunConfig, TrainConfig, UNetConfig
from pixelwise.training.data.sources import load_pictures
from pixelwise.training.loop import train
from pixelwise.training.recipes import repeat
from pixelwise.training.report import write_report
from pixelwise.training.runs import WEIGHTS, read_metrics

CONFIG = RunConfig(
    net=UNetConfig(num_filters=4),
    source="synthetic:shapes",
    train=TrainConfig(epochs=2, batch_size=20, precision="fp32", seed=3),
)
CURVES = "loss and validation accuracy by epoch"


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


def test_the_page_has_the_runs_scores_curves_and_samples_and_fetches_nothing(run, pictures):
    read, last = Page(write_report(run, repeat(CONFIG)).read_text()), read_metrics(run)[-1]
    assert read.faults == []
    for shown in (f"{last['val_accuracy']:.2f} %", f"{last['val_loss']:.4f}", f"{last['train_loss']:.4f}"):
        assert shown in read.text.replace("\N{NO-BREAK SPACE}", " ")
    manifest = json.loads((run / "run.json").read_text())
    for value in (*manifest["reasons"].values(), *manifest["versions"].values(), manifest["data_sha256"]):
        assert value in read.text
    assert "pixelwise train unet synthetic:shapes --recipe handout" in read.text
    assert {CURVES, "Grey, as the network reads it", "Prediction"} <= read.pictures.keys()
    truth = np.asarray(read.picture("Truth"))
    assert truth.shape == (32, 8 * 32 + 7 * 2, 4)
    assert np.array_equal(truth[:, :32, :3], pictures.val[0].permute(1, 2, 0).numpy())
    assert np.array_equal(truth[:, -32:, :3], pictures.val[-1].permute(1, 2, 0).numpy())
    for name in ("curves.png", "pictures.png"):
        with Image.open(run / name) as picture:
            assert picture.width > 1000


@pytest.mark.parametrize("num_epochs", [0, 1])
def test_an_unfinished_run_has_a_page_and_how_to_go_on(run, num_epochs):
    (run / WEIGHTS).unlink()
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(lines[:num_epochs]))
    read = Page(write_report(run, repeat(CONFIG)).read_text())
    assert f"{num_epochs} of 2 epochs" in read.text
    assert f"pixelwise train --resume --out {run}" in read.text
    assert [*read.pictures] == [CURVES] * num_epochs
    assert read.faults == []


def test_a_folder_without_a_run_or_a_model_without_scores_is_refused(run, tmp_path):
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        write_report(tmp_path, repeat(CONFIG))
    (run / "metrics.jsonl").write_text("")
    with pytest.raises(CheckpointError, match="no scores"):
        write_report(run, repeat(CONFIG))


@pytest.mark.slow
def test_page_and_card_name_what_was_left_out(run):
    manifest = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(manifest | {"notes": ["left out a.png: cut short", "else"]}))
    assert "left out a.png: cut short" in Page(write_report(run, repeat(CONFIG)).read_text()).text
    card, (num_train, num_val) = (run / "card.md").read_text(), manifest["num_images"]
    assert f"{CONFIG.source}: {num_train:,} pictures, {num_val:,} others to measure on, 1 left out\n" in card
    assert f"{read_metrics(run)[-1]['val_accuracy']:.2f} % of the pixels" in card
    assert f"\n    {repeat(CONFIG)}\n" in card
    assert card.endswith("Left out:\n\n- a.png: cut short\n")
