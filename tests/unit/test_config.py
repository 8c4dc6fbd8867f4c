"""Configuration: values are checked where they enter, and survive JSON."""

import json

import pytest

from pixelwise.config import CNNConfig, RunConfig, TrainConfig, UNetConfig, net_from_dict
from pixelwise.errors import ConfigError


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (CNNConfig, {"kernel": 4}, "kernel needs to be odd and positive, got 4"),
        (CNNConfig, {"num_filters": 0}, "num-filters needs to be at least 1, got 0"),
        (UNetConfig, {"num_in_channels": -1}, "num-in-channels needs to be at least 1, got -1"),
        (TrainConfig, {"epochs": 0}, "epochs needs to be at least 1, got 0"),
        (TrainConfig, {"batch_size": -5}, "batch-size needs to be at least 1, got -5"),
        (TrainConfig, {"learning_rate": float("nan")}, "learning-rate needs to be above 0, got nan"),
        (TrainConfig, {"crop_frac": 1.5}, "crop-frac needs to be between 0 and 1, got 1.5"),
        (TrainConfig, {"seed": -1}, "seed needs to be"),
    ],
)
def test_a_value_out_of_range_is_named_with_what_was_needed(kind, values, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        kind(**values)


def test_a_run_configuration_survives_json():
    config = RunConfig(net=UNetConfig(kernel=5), source="cifar10:cat", train=TrainConfig(epochs=3, flip=True))
    assert RunConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_an_unknown_network_is_named_with_those_that_exist():
    with pytest.raises(ConfigError, match="needed one of the networks cnn, unet, got 'vgg'"):
        net_from_dict({"name": "vgg"})


def test_an_unknown_field_is_named_with_those_that_exist():
    with pytest.raises(ConfigError, match="the network cnn has no depth; it has convolution, kernel, "):
        net_from_dict({"name": "cnn", "depth": 3})


def test_a_foreign_dictionary_is_refused():
    with pytest.raises(ConfigError, match="needed a run's configuration"):
        RunConfig.from_dict({"net": {"name": "cnn"}})
