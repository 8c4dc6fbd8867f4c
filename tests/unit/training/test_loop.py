"""Training: it learns, it goes on bit for bit, it refuses what does not fit, and its reports are true."""

import json
import shutil
import time
from dataclasses import replace
from textwrap import indent

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from fixtures.ctrl_c import ctrl_c
from fixtures.pages import Page
from pixelwise.colour.palette import Palette
from pixelwise.errors import CheckpointError, ConfigError, DivergedError, Interrupted
from pixelwise.network.config import RunConfig, TrainConfig, UNetConfig
from pixelwise.network.model import CHECKPOINT
from pixelwise.training import loop
from pixelwise.training.data.pictures import Pictures
from pixelwise.training.data.sources import load_pictures
from pixelwise.training.loop import train
from pixelwise.training.recipes import repeat
from pixelwise.training.report import write_report
from pixelwise.training.runs import METRICS, WEIGHTS, open_torch_model, read_checkpoint, read_metrics

CONFIG = RunConfig(
    net=UNetConfig(num_filters=4),
    source="synthetic:shapes",
    train=TrainConfig(epochs=2, batch_size=7, precision="fp32", flip=True, crop_frac=0.5),
)
MUON = replace(
    CONFIG, train=replace(CONFIG.train, optimiser="muon", schedule="one-cycle", learning_rate=0.02)
)


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    whole = load_pictures("synthetic:shapes", None, 0)
    return replace(whole, train=whole.train[:40], val=whole.val[:10])


@pytest.fixture(scope="module")
def finished(tmp_path_factory, pictures):
    folder = tmp_path_factory.mktemp("runs") / "finished"
    train(CONFIG, pictures, folder, device="cpu")
    return folder


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def weights(folder) -> dict[str, torch.Tensor]:
    return open_torch_model(folder).net.state_dict()


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def interrupted(config, pictures, folder, step: int) -> None:
    with ctrl_c(step), pytest.raises(Interrupted):
        train(config, pictures, folder, device="cpu")


def test_a_run_leaves_model_scores_and_state(tmp_path, pictures):
    result = train(CONFIG, pictures, tmp_path, device="cpu")
    assert (result.epochs, result.steps) == (2, 12)
    rows = read_metrics(tmp_path)
    assert [row["epoch"] for row in rows] == [1, 2]
    assert (rows[-1]["val_loss"], rows[-1]["train_loss"]) == (result.val_loss, result.train_loss)
    for row in rows:  # 5 batches of 7 pictures and one of 5
        by_hand = sum(row["losses"][:5]) * 7 + row["losses"][5] * 5
        assert by_hand == pytest.approx(40 * row["train_loss"], 1e-5)
    manifest = json.loads((tmp_path / "run.json").read_text())
    assert manifest["config"]["train"]["epochs"] == 2
    assert manifest["data_sha256"] == pictures.digest
    assert (tmp_path / WEIGHTS).is_file()
    again = train(CONFIG, pictures, tmp_path, device="cpu", resume=True)
    assert (again.val_loss, again.steps) == (result.val_loss, result.steps)
    (tmp_path / WEIGHTS).unlink()  # as a kill between state and model leaves it
    train(CONFIG, pictures, tmp_path, device="cpu", resume=True)
    assert (tmp_path / WEIGHTS).is_file()


@pytest.mark.parametrize("config", [CONFIG, MUON], ids=["adam", "muon"])
@pytest.mark.parametrize("step", [5, *(pytest.param(one, marks=pytest.mark.slow) for one in (0, 3, 8))])
def test_an_interrupted_run_goes_on_bit_for_bit(tmp_path, pictures, config, step):
    train(config, pictures, tmp_path / "whole", device="cpu")
    interrupted(config, pictures, tmp_path / "parts", step)
    assert read_checkpoint(tmp_path / "parts").step == step + 1
    assert not (tmp_path / "parts" / WEIGHTS).exists()
    with (tmp_path / "parts" / METRICS).open("a") as file:
        file.write('{"epoch": 2, "val_lo')  # cut off by a kill
    assert train(config, pictures, tmp_path / "parts", device="cpu", resume=True).steps == 12
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    whole, parts = read_metrics(tmp_path / "whole"), read_metrics(tmp_path / "parts")
    for row in (*whole, *parts):
        del row["train_seconds"]
    assert whole == parts


@pytest.mark.slow
def test_a_number_of_steps_ends_a_run_within_an_epoch(tmp_path, pictures):
    """8 of 12 steps of 40 pictures: an epoch of 6, and 14 pictures more; interrupted in its last piece."""
    config = replace(CONFIG, train=replace(CONFIG.train, steps=8, crop_frac=0.0))
    whole = train(config, pictures, tmp_path / "whole", device="cpu")
    assert (whole.steps, whole.epochs) == (8, 2)
    rows = read_metrics(tmp_path / "whole")
    assert [(row["epoch"], row["step"], len(row["losses"])) for row in rows] == [(1, 6, 6), (2, 8, 2)]
    interrupted(config, pictures, tmp_path / "parts", 6)
    for _ in range(2):
        parts = train(config, pictures, tmp_path / "parts", device="cpu", resume=True)
        assert (parts.val_loss, parts.train_loss, parts.epochs) == (whole.val_loss, whole.train_loss, 2)
        assert len(read_metrics(tmp_path / "parts")) == 2


@pytest.mark.slow
def test_it_learns_that_colours_follow_from_shapes(tmp_path, pictures, caplog):
    config = replace(MUON, train=replace(MUON.train, epochs=15, crop_frac=0.0, batch_size=10))
    train(config, pictures, tmp_path / "busy", device="cpu")
    rows = read_metrics(tmp_path / "busy")
    assert rows[-1]["train_loss"] < 0.6 * rows[0]["train_loss"]
    assert caplog.text == ""
    train(
        replace(CONFIG, train=replace(CONFIG.train, epochs=1, learning_rate=1e-9)),
        pictures,
        tmp_path / "idle",
        device="cpu",
    )
    assert "no better than" in caplog.text


@pytest.mark.slow
def test_an_interrupt_in_the_last_step_is_not_lost(tmp_path, pictures):
    interrupted(CONFIG, pictures, tmp_path, 11)
    assert (tmp_path / WEIGHTS).exists()
    assert train(CONFIG, pictures, tmp_path, device="cpu", resume=True).steps == 12


@pytest.mark.slow
def test_a_palette_that_changed_under_its_name_is_noticed(tmp_path, pictures):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(Palette.read("handout24").to_dict()))
    config = replace(CONFIG, palette=str(path))
    train(config, pictures, tmp_path / "run", device="cpu")
    path.write_text(json.dumps(Palette(Palette.read("handout24").colours[::-1], "rgb").to_dict()))
    with pytest.raises(CheckpointError, match="other pictures or colours"):
        train(config, pictures, tmp_path / "run", device="cpu", resume=True)


def test_a_folder_with_a_run_is_not_overwritten(run, pictures):
    with pytest.raises(CheckpointError, match="--resume"):
        train(CONFIG, pictures, run, device="cpu")


def test_resuming_refuses_another_configuration_and_other_pictures(run, pictures):
    other = replace(CONFIG, train=replace(CONFIG.train, batch_size=9))
    with pytest.raises(CheckpointError, match=r"train.batch_size was 7, now 9"):
        train(other, pictures, run, device="cpu", resume=True)
    with pytest.raises(CheckpointError, match="other pictures"):
        train(CONFIG, replace(pictures, digest="0" * 64), run, device="cpu", resume=True)


@pytest.mark.parametrize("damage", ["missing", "cut", "foreign"])
def test_a_damaged_checkpoint_is_named(run, pictures, damage):
    path = run / CHECKPOINT
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    else:
        save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match=CHECKPOINT):
        train(CONFIG, pictures, run, device="cpu", resume=True)


def test_seconds_of_validation_do_not_count(tmp_path, pictures, monkeypatch):
    late_s, now, score = [0.0], time.perf_counter, loop.score

    def score_late(*given):
        late_s[0] += 1000
        return score(*given)

    monkeypatch.setattr(time, "perf_counter", lambda: now() + late_s[0])
    monkeypatch.setattr(loop, "score", score_late)
    assert train(CONFIG, pictures, tmp_path, device="cpu").train_seconds < 1000
    assert late_s[0] == 2000


def test_pictures_that_cannot_be_halved_twice_are_refused(tmp_path, pictures):
    odd = replace(pictures, train=pictures.train[..., :30], val=pictures.val[..., :30])
    with pytest.raises(ConfigError, match="32x30"):
        train(CONFIG, odd, tmp_path / "run", device="cpu")
    assert not list(tmp_path.iterdir())


def test_training_that_diverges_says_so(tmp_path, pictures):
    config = replace(CONFIG, train=replace(CONFIG.train, learning_rate=1e30))
    with pytest.raises(DivergedError, match=r"nan|inf"):
        train(config, pictures, tmp_path, device="cpu")


CURVES = "loss and validation accuracy by epoch"


def test_the_page_has_the_runs_scores_curves_and_samples_and_fetches_nothing(run, pictures):
    read, last = Page(write_report(run, repeat(CONFIG)).read_text()), read_metrics(run)[-1]
    assert read.faults == []
    for shown in (f"{last['val_accuracy']:.2f} %", f"{last['val_loss']:.4f}", f"{last['train_loss']:.4f}"):
        assert shown in read.text.replace("\N{NO-BREAK SPACE}", " ")
    manifest = json.loads((run / "run.json").read_text())
    for value in (*manifest["reasons"].values(), *manifest["versions"].values(), manifest["data_sha256"]):
        assert value in read.text
    assert " ".join(repeat(CONFIG).split()) in read.text
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
    assert f"\n{indent(repeat(CONFIG), '    ')}\n" in card
    assert card.endswith("Left out:\n\n- a.png: cut short\n")
