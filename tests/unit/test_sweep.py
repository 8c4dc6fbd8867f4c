"""Batch sizes compared: equal epochs, equal steps, runs found again, and what is shown of them."""

import os
import runpy
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.cifar10.make import write_cifar10
from pixelwise.config import CNNConfig, RunConfig, TrainConfig
from pixelwise.errors import ConfigError, Interrupted
from pixelwise.figures import ON_LIGHT
from pixelwise.optimise import Optimiser
from pixelwise.sweep import compare_pictures, draw_losses, draw_outcomes, sweep, write_study

Page = runpy.run_path(str(Path(__file__).parents[1] / "fixtures" / "pages.py"))["Page"]
CONFIG = RunConfig(
    net=CNNConfig(num_filters=3),
    source="cifar10:horse",
    train=TrainConfig(epochs=2, learning_rate=0.01, precision="fp32"),
)
SIZES = (2, 5, 8)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """10 horses to learn from, 2 to validate."""
    folder = tmp_path_factory.mktemp("data")
    write_cifar10(folder)
    return folder


@pytest.fixture(scope="module")
def study(data_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return folder, sweep(CONFIG, SIZES, folder, data_dir=data_dir, device="cpu")


def test_epochs_are_equal_and_then_steps(study):
    _, rows = study
    assert [(row.fixed, row.batch_size, row.steps, row.epochs) for row in rows] == [
        ("epochs", 2, 10, 2.0),
        ("epochs", 5, 4, 2.0),
        ("epochs", 8, 4, 2.0),
        ("steps", 2, 4, 0.8),
        ("steps", 5, 4, 2.0),
        ("steps", 8, 4, 2.0),
    ]


def test_one_run_serves_both_where_they_come_to_the_same(study):
    folder, rows = study
    assert [row.run for row in rows[1:3]] == [row.run for row in rows[4:]]
    names = ["batch-2-epochs-2", "batch-2-steps-4", "batch-5-epochs-2", "batch-8-epochs-2"]
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == names


def test_what_is_finished_is_found_again(study, data_dir, monkeypatch):
    folder, rows = study

    def refuse(*_):
        raise AssertionError("a finished run was trained again")

    monkeypatch.setattr(Optimiser, "step", refuse)
    assert sweep(CONFIG, SIZES, folder, data_dir=data_dir, device="cpu") == rows


def test_an_interrupted_study_says_how_far_it_is_and_goes_on(study, data_dir, tmp_path, monkeypatch):
    original, calls = Optimiser.step, []

    def step_then_signal(self, step):
        original(self, step)
        calls.append(step)
        if len(calls) == 12:  # in the second run
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch, pytest.raises(Interrupted, match=r"^1 of 6 runs are finished in "):
        patch.setattr(Optimiser, "step", step_then_signal)
        sweep(CONFIG, SIZES, tmp_path, data_dir=data_dir, device="cpu")
    again = sweep(CONFIG, SIZES, tmp_path, data_dir=data_dir, device="cpu")
    assert [row.val_loss for row in again] == [row.val_loss for row in study[1]]


@pytest.mark.parametrize(("sizes", "given"), [((), "none"), ((5, 5), "5, 5"), ((0, 3), "0, 3")])
def test_sizes_that_are_no_study_are_refused(sizes, given, tmp_path):
    with pytest.raises(
        ConfigError, match=f"^a sweep needs different batch sizes of at least 1, got {given}$"
    ):
        sweep(CONFIG, sizes, tmp_path)


def test_a_run_of_steps_is_refused(tmp_path):
    config = replace(CONFIG, train=replace(CONFIG.train, steps=7))
    with pytest.raises(ConfigError, match="a sweep needs a number of epochs, got a run of 7 steps"):
        sweep(config, SIZES, tmp_path)


def test_the_figures_hold_the_rows(study):
    _, rows = study
    lines = draw_outcomes(rows).figure.axes[1].lines
    drawn = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in lines}
    assert drawn == {
        "equal epochs": ([2, 5, 8], [row.val_accuracy for row in rows[:3]]),
        "equal steps": ([2, 5, 8], [row.val_accuracy for row in rows[3:]]),
    }
    by_epoch, by_step = draw_losses(rows, ON_LIGHT).figure.axes
    assert list(by_epoch.lines[0].get_xdata()) == pytest.approx([0.1 + 0.2 * i for i in range(10)])
    assert list(by_step.lines[0].get_xdata()) == [0.5, 1.5, 2.5, 3.5]


def test_pictures_stand_below_the_truth(study):
    titles = [strip.title for strip in compare_pictures(study[1], "steps")]
    assert titles[:2] == ["Truth", "Truth in the 24 colours to choose from"]
    assert [title.split(":")[0] for title in titles[2:]] == ["Batches of 2", "Batches of 5", "Batches of 8"]


def test_the_page_fetches_nothing_and_tells_every_row(study):
    folder, rows = study
    read = Page(write_study(folder, CONFIG, rows, "pixelwise sweep cnn cifar10:horse").read_text())
    assert read.faults == []
    for row in rows:
        assert f"{row.val_loss:.3f}" in read.text
    assert "pixelwise sweep cnn cifar10:horse" in read.text
    written = {path.name for path in folder.iterdir() if path.is_file()}
    assert written == {
        "sweep.html",
        "outcomes.png",
        "curves.png",
        "pictures-epochs.png",
        "pictures-steps.png",
    }
