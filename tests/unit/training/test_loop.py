"""Training: it learns, it repeats, it goes on bit for bit, it refuses what does not fit."""

import json
import shutil
import time
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from fixtures.ctrl_c import ctrl_c
from pixelwise.colour.palette import Palette
from pixelwise.errors import CheckpointError, ConfigError, DivergedError, Interrupted
from pixelwise.network.config import RunConfig, TrainConfig, UNetConfig
from pixelwise.network.model import CHECKPOINT
from pixelwise.training.data.pictures import Pictures
from pixelwise.training.data.sources import load_pictures
from pixelwise.training.loop import train
from pixelwise.training.runs import (
    METRICS,
    WEIGHTS,
    open_torch_model,
    read_checkpoint,
    read_metrics,
)
from pixelwise.training.tasks import ClassTask

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
    """The folder of a finished run, to be changed."""
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
    Palette.read("handout24").write(path)
    config = replace(CONFIG, palette=str(path))
    train(config, pictures, tmp_path / "run", device="cpu")
    Palette(Palette.read("handout24").colours[::-1], "rgb").write(path)
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


@pytest.mark.parametrize("damage", ["missing", "cut", "noise", "foreign"])
def test_a_damaged_checkpoint_is_named(run, pictures, damage):
    path = run / CHECKPOINT
    content = path.read_bytes()
    path.unlink()
    if damage == "foreign":
        save_file({"a": torch.zeros(1)}, path)
    elif damage != "missing":
        path.write_bytes(content[: len(content) // 2] if damage == "cut" else b"\x7fELF" + content[:100])
    with pytest.raises(CheckpointError, match=CHECKPOINT):
        train(CONFIG, pictures, run, device="cpu", resume=True)


def test_seconds_of_validation_do_not_count(tmp_path, pictures, monkeypatch):
    late_s, now, score = [0.0], time.perf_counter, ClassTask.score

    def score_late(task, net):
        late_s[0] += 1000
        return score(task, net)

    monkeypatch.setattr(time, "perf_counter", lambda: now() + late_s[0])
    monkeypatch.setattr(ClassTask, "score", score_late)
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
