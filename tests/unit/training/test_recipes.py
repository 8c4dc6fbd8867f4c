"""Recipes: complete, changeable, and honest about what does not exist."""

from dataclasses import replace
from pathlib import Path

import pytest

from pixelwise.errors import ConfigError
from pixelwise.network.config import CNNConfig, UNetConfig
from pixelwise.training import loop
from pixelwise.training.recipes import recipe, repeat


def test_the_handout_recipe_has_the_handouts_numbers():
    config = recipe("handout", "unet", "cifar10:horse")
    train = config.train
    assert (train.epochs, train.batch_size, train.learning_rate, train.seed) == (25, 100, 0.001, 0)
    assert (train.optimiser, train.schedule, train.flip, train.crop_frac) == ("adam", "constant", False, 0.0)
    assert config.net == UNetConfig(kernel=3, num_filters=32, num_colours=24, num_in_channels=1)
    assert recipe("handout", "cnn", "cifar10:horse").train.learning_rate == 0.3
    assert recipe("handout", "cnn", "cifar10:horse").net == CNNConfig()


def test_given_values_replace_the_recipes_and_none_replaces_nothing():
    config = recipe("fast", "unet", "cifar10:cat", epochs=7, kernel=5, palette="other", batch_size=None)
    assert (config.train.epochs, config.net.kernel, config.palette) == (7, 5, "other")
    assert config.train.batch_size == recipe("fast", "unet", "cifar10:cat").train.batch_size


@pytest.mark.parametrize(
    ("name", "net", "changes", "offending"),
    [
        ("quick", "unet", {}, "'quick'"),
        ("fast", "colournet", {}, "'fast'"),
        ("fast", "resnet", {}, "'resnet'"),
        ("handout", "cnn", {"film": 0.5}, "film"),
        ("photo", "colournet", {"num_filters": 8}, "num filters"),
    ],
)
def test_what_does_not_exist_is_named(name, net, changes, offending):
    with pytest.raises(ConfigError, match=offending):
        recipe(name, net, "cifar10:horse", **changes)


@pytest.mark.parametrize(
    ("config", "command"),
    [
        (recipe("fast", "unet", "cifar10:horse"), "unet cifar10:horse --recipe fast"),
        (
            recipe("handout", "cnn", "folder:my photos", reshuffle=False, seed=7),
            "cnn 'folder:my photos' --recipe handout --fixed-order --seed 7",
        ),
        (
            recipe("best", "unet", "cifar10:all", palette="ab.json", kernel=5),
            "unet cifar10:all --recipe best --kernel 5 --palette ab.json",
        ),
        (
            recipe("photo", "colournet", "folder:mine", film=0.5, softness=1.0, size=128, num_colours=31),
            "colournet folder:mine --recipe photo --num-colours 31 --softness 1.0 --film 0.5 --size 128",
        ),
    ],
)
def test_the_command_to_repeat_names_only_what_differs_from_a_recipe(config, command):
    trained = replace(config, net=replace(config.net, num_colours=31))  # the palette's, set by training
    assert repeat(trained) == f"pixelwise train {command} --out again"


def test_a_program_repeats_what_no_command_can(monkeypatch):
    usual = recipe("best", "unet", "cifar10:all")
    config = replace(usual, net=replace(usual.net, skip_half=False), train=replace(usual.train, steps=7))
    trained = []
    monkeypatch.setattr(loop, "train_source", lambda *given: trained.append(given))
    exec(repeat(config), {})
    assert trained == [(config, Path("again"))]
