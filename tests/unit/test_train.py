"""Training: it learns, it repeats, it goes on bit for bit, it refuses what does not fit."""

import json
import os
import signal
from dataclasses import replace

import pytest
import torch

from pixelwise.config import RunConfig, TrainConfig, UNetConfig
from pixelwise.data import Pictures, load_pictures
from pixelwise.errors import CheckpointError, ConfigError, DivergedError, Interrupted
from pixelwise.labelspace import Palette
from pixelwise.runs import CHECKPOINT, METRICS, MODEL, open_model, read_checkpoint, read_metrics
from pixelwise.train import train

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


def weights(folder) -> dict[str, torch.Tensor]:
    return open_model(folder).net.state_dict()


def assert_same(one, other) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def interrupt_at(monkeypatch, step: int) -> None:
    """A real signal, sent to this process after the given step, as Ctrl-C would be."""
    from pixelwise.optimise import Optimiser

    original = Optimiser.step

    def step_then_signal(self, loss, done):
        original(self, loss, done)
        if done == step:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Optimiser, "step", step_then_signal)


def test_a_run_leaves_model_scores_and_state(tmp_path, pictures):
    result = train(CONFIG, pictures, tmp_path, device="cpu")
    assert (result.epochs, result.steps) == (2, 12)
    rows = read_metrics(tmp_path)
    assert [row["epoch"] for row in rows] == [1, 2]
    assert (rows[-1]["val_loss"], rows[-1]["train_loss"]) == (result.val_loss, result.train_loss)
    for row in rows:  # 5 batches of 7 pictures and one of 5
        assert sum(row["losses"][:5]) * 7 + row["losses"][5] * 5 == pytest.approx(
            40 * row["train_loss"], 1e-5
        )
    manifest = json.loads((tmp_path / "run.json").read_text())
    assert manifest["config"]["train"]["epochs"] == 2
    assert manifest["reasons"]["precision"] == "fp32: as asked"
    assert manifest["data_sha256"] == pictures.digest
    assert (tmp_path / MODEL).is_file()


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path, pictures):
    for name, config in (("a", MUON), ("b", MUON), ("c", replace(MUON, train=replace(MUON.train, seed=1)))):
        train(config, pictures, tmp_path / name, device="cpu")
    assert_same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not torch.equal(
        weights(tmp_path / "a")["classes.weight"], weights(tmp_path / "c")["classes.weight"]
    )


@pytest.mark.parametrize("config", [CONFIG, MUON], ids=["adam", "muon"])
@pytest.mark.parametrize("step", [0, 3, 5, 8])
def test_an_interrupted_run_goes_on_bit_for_bit(tmp_path, pictures, config, step, monkeypatch):
    train(config, pictures, tmp_path / "whole", device="cpu")
    with (
        monkeypatch.context() as patch,
        pytest.raises(Interrupted, match=f"{step + 1} of 12 steps are saved"),
    ):
        interrupt_at(patch, step)
        train(config, pictures, tmp_path / "parts", device="cpu")
    assert read_checkpoint(tmp_path / "parts").step == step + 1
    assert not (tmp_path / "parts" / MODEL).exists()
    result = train(config, pictures, tmp_path / "parts", device="cpu", resume=True)
    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    whole, parts = read_metrics(tmp_path / "whole"), read_metrics(tmp_path / "parts")
    for row in (*whole, *parts):
        del row["train_seconds"]
    assert whole == parts
    assert result.steps == 12


def test_an_interrupt_in_the_last_step_is_not_lost(tmp_path, pictures, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Interrupted, match="is finished; what was to follow"):
        interrupt_at(patch, 11)
        train(CONFIG, pictures, tmp_path, device="cpu")
    assert (tmp_path / MODEL).exists()
    assert train(CONFIG, pictures, tmp_path, device="cpu", resume=True).steps == 12


def test_resuming_a_finished_run_says_what_it_came_to(tmp_path, pictures):
    first = train(CONFIG, pictures, tmp_path, device="cpu")
    again = train(CONFIG, pictures, tmp_path, device="cpu", resume=True)
    assert (again.val_loss, again.steps) == (first.val_loss, first.steps)


def test_a_number_of_steps_ends_a_run_within_an_epoch(tmp_path, pictures, monkeypatch):
    """8 of 12 steps of 40 pictures: an epoch of 6, and 14 pictures more; interrupted in its last piece."""
    config = replace(CONFIG, train=replace(CONFIG.train, steps=8, crop_frac=0.0))
    whole = train(config, pictures, tmp_path / "whole", device="cpu")
    assert (whole.steps, whole.epochs) == (8, 2)
    rows = read_metrics(tmp_path / "whole")
    assert [(row["epoch"], row["step"], len(row["losses"])) for row in rows] == [(1, 6, 6), (2, 8, 2)]
    assert rows[1]["train_loss"] == pytest.approx(sum(rows[1]["losses"]) / 2, rel=1e-5)
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        interrupt_at(patch, 6)
        train(config, pictures, tmp_path / "parts", device="cpu")
    parts = train(config, pictures, tmp_path / "parts", device="cpu", resume=True)
    assert (parts.val_loss, parts.train_loss) == (whole.val_loss, whole.train_loss)
    again = train(config, pictures, tmp_path / "parts", device="cpu", resume=True)
    assert (again.val_loss, again.epochs) == (whole.val_loss, 2)
    assert len(read_metrics(tmp_path / "parts")) == 2


def test_a_line_cut_off_by_a_kill_is_done_again(tmp_path, pictures, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        interrupt_at(patch, 8)
        train(CONFIG, pictures, tmp_path, device="cpu")
    with (tmp_path / METRICS).open("a") as file:
        file.write('{"epoch": 2, "val_lo')
    train(CONFIG, pictures, tmp_path, device="cpu", resume=True)
    assert [row["epoch"] for row in read_metrics(tmp_path)] == [1, 2]


def test_it_learns_that_colours_follow_from_shapes(tmp_path, pictures):
    config = replace(MUON, train=replace(MUON.train, epochs=15, crop_frac=0.0, batch_size=10))
    train(config, pictures, tmp_path, device="cpu")
    rows = read_metrics(tmp_path)
    assert rows[-1]["train_loss"] < 0.6 * rows[0]["train_loss"]


def test_a_folder_with_a_run_is_not_overwritten(tmp_path, pictures):
    train(CONFIG, pictures, tmp_path, device="cpu")
    with pytest.raises(
        CheckpointError, match=r"already holds a run; go on with --resume or choose another --out"
    ):
        train(CONFIG, pictures, tmp_path, device="cpu")


def test_resuming_with_other_options_names_the_difference(tmp_path, pictures):
    train(CONFIG, pictures, tmp_path, device="cpu")
    other = replace(CONFIG, train=replace(CONFIG.train, batch_size=9))
    with pytest.raises(CheckpointError, match=r"another configuration \(train.batch_size was 7, now 9\)"):
        train(other, pictures, tmp_path, device="cpu", resume=True)


def test_resuming_on_other_pictures_is_refused(tmp_path, pictures):
    train(CONFIG, pictures, tmp_path, device="cpu")
    with pytest.raises(CheckpointError, match="was trained on other pictures"):
        train(CONFIG, replace(pictures, digest="0" * 64), tmp_path, device="cpu", resume=True)


def test_resuming_nothing_says_so(tmp_path, pictures):
    with pytest.raises(CheckpointError, match=f"has no {CHECKPOINT}; leave out --resume"):
        train(CONFIG, pictures, tmp_path, device="cpu", resume=True)


@pytest.mark.parametrize("damage", ["cut", "noise", "foreign"])
def test_a_damaged_checkpoint_is_named(tmp_path, pictures, damage):
    from safetensors.torch import save_file

    train(CONFIG, pictures, tmp_path, device="cpu")
    path = tmp_path / CHECKPOINT
    if damage == "foreign":
        save_file({"a": torch.zeros(1)}, path)
    else:
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2] if damage == "cut" else b"\x7fELF" + content[:100])
    with pytest.raises(CheckpointError, match=CHECKPOINT):
        train(CONFIG, pictures, tmp_path, device="cpu", resume=True)


def test_pictures_that_cannot_be_halved_twice_are_refused(tmp_path, pictures):
    odd = replace(pictures, train=pictures.train[..., :30], val=pictures.val[..., :30])
    with pytest.raises(ConfigError, match="divisible by 4, got 32x30; crop to 32x28"):
        train(CONFIG, odd, tmp_path / "run", device="cpu")
    assert not list(tmp_path.iterdir())


def test_a_network_with_another_number_of_classes_than_the_palette_is_refused(tmp_path, pictures):
    config = replace(CONFIG, net=UNetConfig(num_colours=9))
    with pytest.raises(ConfigError, match="palette handout24 has 24 colours, the network 9"):
        train(config, pictures, tmp_path, device="cpu")


def test_training_that_diverges_says_so(tmp_path, pictures):
    config = replace(CONFIG, train=replace(CONFIG.train, learning_rate=1e30))
    with pytest.raises(DivergedError, match=r"the loss of step \d+ is (nan|inf); lower the learning rate"):
        train(config, pictures, tmp_path, device="cpu")


def test_a_palette_that_changed_under_its_name_is_noticed(tmp_path, pictures):
    colours = Palette.read("handout24").colours
    path = tmp_path / "mine.json"
    Palette(colours, "rgb", "mine").write(path)
    config = replace(CONFIG, palette=str(path))
    train(config, pictures, tmp_path / "run", device="cpu")
    Palette(colours.flip(0), "rgb", "mine").write(path)
    with pytest.raises(CheckpointError, match="was trained on other pictures or colours"):
        train(config, pictures, tmp_path / "run", device="cpu", resume=True)


def test_a_kill_between_state_and_model_leaves_a_run_that_goes_on(tmp_path, pictures):
    train(CONFIG, pictures, tmp_path, device="cpu")
    (tmp_path / MODEL).unlink()
    train(CONFIG, pictures, tmp_path, device="cpu", resume=True)
    assert (tmp_path / MODEL).is_file()


def test_a_network_that_learned_nothing_is_said_to_be_of_no_use(tmp_path, pictures, caplog):
    idle = replace(CONFIG, train=replace(CONFIG.train, epochs=1, learning_rate=1e-9))
    train(idle, pictures, tmp_path / "idle", device="cpu")
    assert "no better than always choosing the commonest class" in caplog.text
    assert "6 steps on 40 pictures" in caplog.text
    caplog.clear()
    busy = replace(MUON, train=replace(MUON.train, epochs=15, crop_frac=0.0, batch_size=10))
    train(busy, pictures, tmp_path / "busy", device="cpu")
    assert caplog.text == ""
