"""Configuration: values are checked where they enter, and survive JSON."""

import json

import pytest

from pixelwise.config import CNNConfig, FinetuneConfig, RunConfig, TrainConfig, UNetConfig, net_from_dict
from pixelwise.errors import ConfigError


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (CNNConfig, {"kernel": 4}, "kernel needs to be odd and positive, got 4"),
        (CNNConfig, {"num_filters": 0}, "num-filters needs to be at least 1, got 0"),
        (UNetConfig, {"num_in_channels": -1}, "num-in-channels needs to be at least 1, got -1"),
        (TrainConfig, {"epochs": 0}, "epochs needs to be at least 1, got 0"),
        (TrainConfig, {"steps": -1}, "steps needs to be at least 0, got -1"),
        (TrainConfig, {"batch_size": -5}, "batch-size needs to be at least 1, got -5"),
        (TrainConfig, {"learning_rate": float("nan")}, "learning-rate needs to be above 0, got nan"),
        (TrainConfig, {"crop_frac": 1.5}, "crop-frac needs to be between 0 and 1, got 1.5"),
        (TrainConfig, {"seed": -1}, "seed needs to be between 0 and 2\\^32 - 1, got -1"),
        (TrainConfig, {"weight_decay": -0.1}, "weight-decay needs to be at least 0, got -0.1"),
    ],
)
def test_a_value_out_of_range_is_named_with_what_was_needed(kind, values, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        kind(**values)


def test_a_run_configuration_survives_json():
    config = RunConfig(net=UNetConfig(kernel=5), source="cifar10:cat", train=TrainConfig(epochs=3, flip=True))
    assert RunConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_a_unet_of_before_skips_could_be_left_out_has_all_of_them():
    assert net_from_dict({"name": "unet", "kernel": 3}) == UNetConfig()


def test_an_unknown_network_is_named_with_those_that_exist():
    with pytest.raises(
        ConfigError, match="needed one of the networks cnn, unet, colournet, linear, got 'vgg'"
    ):
        net_from_dict({"name": "vgg"})


def test_an_unknown_field_is_named_with_those_that_exist():
    with pytest.raises(ConfigError, match="the network cnn has no depth; it has convolution, kernel, "):
        net_from_dict({"name": "cnn", "depth": 3})


def test_a_foreign_dictionary_is_refused():
    with pytest.raises(ConfigError, match="needed a run's configuration"):
        RunConfig.from_dict({"net": {"name": "cnn"}})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"solver": "adam", "policy": "stage"}, "solver adam learns the last layer alone, got policy stage"),
        ({"solver": "adam", "ridge": 0.1}, "ridge is an option of solver exact; leave it out"),
        ({"epochs": 3}, "epochs is an option of policy stage or full, or of solver adam; leave it out"),
        ({"learning_rate": 0.1}, "learning-rate is an option of policy stage or full"),
        ({"batch_size": 4}, "batch-size is an option of policy stage or full"),
        ({"solver": "adam", "learning_rate": -1.0}, "learning-rate needs to be above 0, got -1.0"),
        ({"solver": "adam", "batch_size": 0}, "batch-size needs to be at least 1, got 0"),
        ({"policy": "stage", "epochs": -1}, "epochs needs to be at least 0, got -1"),
        ({"policy": "some"}, "policy needs to be last-layer, stage or full, got some"),
        ({"solver": "sgd"}, "solver needs to be exact or adam, got sgd"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_options_of_finetune_that_would_do_nothing_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        FinetuneConfig(source="folder:photos", **options)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"net": "unet"}, "needed a network's name and settings, got unet"),
        ({"net": {"name": []}}, r"needed one of the networks cnn, unet, colournet, linear, got \[\]"),
        ({"net": {"name": "cnn", "kernel": "3"}}, "kernel needs to be a whole number, got 3"),
        (
            {"net": {"name": "cnn", "convolution": "fft"}},
            "convolution needs to be one of torch, unfold, got fft",
        ),
        ({"train": {"epochs": 1.5}}, "epochs needs to be a whole number, got 1.5"),
        ({"train": {"flip": 1}}, "flip needs to be yes or no, got 1"),
        ({"train": {"learning_rate": "fast"}}, "learning-rate needs to be a number, got fast"),
        ({"train": {"precision": "fp8"}}, "precision needs to be one of auto, fp32, bf16, got fp8"),
        ({"train": {"learning_rate": 10**400}}, "learning-rate needs to be a number, got 1000"),
        ({"train": 3}, "needed a run's configuration"),
        ({"source": None}, "source needs to be text, got None"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_values_of_another_kind_are_named(changes, message):
    good = {"net": {"name": "cnn"}, "train": {}, "source": "synthetic:shapes", "palette": "handout24"} | {
        "size": 64
    }
    with pytest.raises(ConfigError, match=message):
        RunConfig.from_dict(good | changes)
