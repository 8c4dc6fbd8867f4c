"""The commands that the writeup tells: read by the program's own parser, they make what ran."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from pixelwise.cli.app import app
from pixelwise.lab import batch_sizes, colouring, commands, finetuning
from pixelwise.lab.answer import PHOTOS, Setting

SETTINGS = [
    Setting(out=Path("out"), seed=2, precision="bf16", device="cpu", data_dir=Path("some data")),
    Setting(out=Path("out"), quick=True),
]


def read(line):
    """What a command's function is given, after the defaults."""
    _, bound, _ = app.parse_args(shlex.split(line)[1:], exit_on_error=False, print_error=False)
    bound.apply_defaults()
    return bound.arguments


@pytest.mark.parametrize("setting", SETTINGS, ids=["whole", "quick"])
@pytest.mark.parametrize("net", ["cnn", "unet"])
def test_training_by_hand_is_the_run_that_was_trained(setting, net):
    config = colouring.comparison_config(setting, net, 0)
    for wanted in (config, replace(config, train=replace(config.train, learning_rate=0.3, reshuffle=False))):
        given = read(commands.train_command(setting, wanted))
        options, common = given["options"], given["common"]
        assert options.config(given["net"], given["source"], common.seed) == wanted
        assert str(options.folder(given["net"], given["source"])) == commands.default_run(wanted)
        assert (options.data_dir, common.device) == (setting.data_dir, setting.device)
    train, score = colouring.by_hand(setting, net)
    assert train == commands.train_command(setting, config)
    given = read(score)
    assert (given["model"], given["source"]) == (commands.default_run(config), config.source)
    assert (given["common"].seed, given["data_dir"]) == (setting.seed, setting.data_dir)


@pytest.mark.parametrize("setting", SETTINGS, ids=["whole", "quick"])
def test_a_sweep_by_hand_is_the_one_that_was_done(setting):
    config, study = batch_sizes.study_config(setting)
    given = read(commands.sweep_command(setting, config, study.batch_sizes, study.steps))
    assert given["batch_size"] == ",".join(map(str, study.batch_sizes))
    assert (given["epochs"], given["steps"]) == (study.epochs, study.steps)
    train = config.train
    assert (given["learning_rate"], given["precision"]) == (train.learning_rate, setting.precision)
    assert (given["common"].seed, given["common"].device) == (train.seed, setting.device)


@pytest.mark.parametrize("setting", SETTINGS, ids=["whole", "quick"])
def test_heads_by_hand_are_those_that_were_learned(setting):
    for way in finetuning.ways(setting):
        given = read(commands.finetune_command(setting, way.config, way.file))
        options, common = given["options"], given["common"]
        assert options.config(given["source"], common.seed) == way.config
        assert str(options.out) == way.file
        given = read(commands.evaluate_command(setting, way.file, PHOTOS, page="flowers.html"))
        assert (given["model"], str(given["page"])) == (way.file, "flowers.html")


@pytest.mark.parametrize("setting", SETTINGS, ids=["whole", "quick"])
def test_the_lab_by_hand_is_this_lab(setting):
    given = read(commands.lab_command(setting))
    names = ("out", "quick", "data_dir", "precision")
    assert [given[name] for name in names] == [getattr(setting, name) for name in names]
    assert (given["common"].seed, given["common"].device) == (setting.seed, setting.device)
