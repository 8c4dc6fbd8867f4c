"""Recipes: complete, changeable, and honest about what does not exist."""

import re

import pytest

from pixelwise import recipes
from pixelwise.config import CNNConfig, UNetConfig
from pixelwise.errors import ConfigError
from pixelwise.recipes import recipe, recipe_names


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


def test_every_recipe_says_its_command_expectation_and_source():
    for build in {
        getattr(recipes, name) for net in ("cnn", "unet", "colournet") for name in recipe_names(net)
    }:
        assert build.__doc__ is not None
        for part in ("Command:", "Expect:", "Source:"):
            assert part in build.__doc__, build.__name__
        assert re.search(r"Expect:.*\d", build.__doc__), f"{build.__name__} promises no number"


@pytest.mark.parametrize(
    ("name", "net", "message"),
    [
        ("quick", "unet", "needed one of the recipes of unet, handout, fast, best, embedded; got 'quick'"),
        ("fast", "colournet", "needed one of the recipes of colournet, photo; got 'fast'"),
        ("fast", "resnet", "needed one of the networks cnn, unet, colournet, got 'resnet'"),
    ],
)
def test_what_does_not_exist_is_named_with_what_does(name, net, message):
    with pytest.raises(ConfigError, match=message):
        recipe(name, net, "cifar10:horse")


@pytest.mark.parametrize(
    ("net", "name", "change_", "message"),
    [
        ("cnn", "handout", {"film": 0.5}, "cnn has no film to change; leave that option out"),
        ("colournet", "photo", {"num_filters": 8}, "colournet has no num filters to change"),
    ],
)
def test_what_a_network_has_not_is_not_changed(net, name, change_, message):
    with pytest.raises(ConfigError, match=message):
        recipe(name, net, "folder:photos", **change_)
