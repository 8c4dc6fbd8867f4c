"""Configuration: values are checked where they enter, and survive JSON."""

import json
import re

import pytest

from pixelwise.errors import ConfigError
from pixelwise.network.config import (
    CNNConfig,
    ColourFinetuneConfig,
    ColourNetConfig,
    FinetuneConfig,
    RunConfig,
    TrainConfig,
    UNetConfig,
    net_from_dict,
)

pytestmark = pytest.mark.core


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (CNNConfig, {"kernel": 4}),
        (CNNConfig, {"num_filters": 0}),
        (CNNConfig, {"scale": float("inf")}),
        (UNetConfig, {"num_in_channels": -1}),
        (ColourNetConfig, {"num_colours": 0}),
        (ColourNetConfig, {"dropout": 1.0}),
        (ColourNetConfig, {"backbone": 3}),
        (TrainConfig, {"epochs": 0}),
        (TrainConfig, {"steps": -1}),
        (TrainConfig, {"batch_size": -5}),
        (TrainConfig, {"weight_decay": -0.1}),
        (TrainConfig, {"learning_rate": float("nan")}),
        (TrainConfig, {"crop_frac": 1.5}),
        (TrainConfig, {"window": 33}),
        (TrainConfig, {"seed": -1}),
        (FinetuneConfig, {"source": "folder:photos", "learning_rate": -1.0}),
        (FinetuneConfig, {"source": "folder:photos", "solver": "adam", "batch_size": 0}),
        (FinetuneConfig, {"source": "folder:photos", "policy": "stage", "epochs": -1}),
        (FinetuneConfig, {"source": "folder:photos", "policy": "some"}),
        (FinetuneConfig, {"source": "folder:photos", "solver": "sgd"}),
        (FinetuneConfig, {"source": "folder:photos", "sizes": (8,)}),
        (FinetuneConfig, {"source": "folder:photos", "sizes": 5}),
        (FinetuneConfig, {"source": "folder:photos", "sizes": ("a",)}),
        (FinetuneConfig, {"source": "folder:photos", "weights": 7}),
        (FinetuneConfig, {"source": "folder:photos", "epochs": -1}),
        (RunConfig, {"source": "folder:photos", "net": 3}),
        (ColourFinetuneConfig, {"source": "folder:photos", "ridge": 0.0}),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_a_value_out_of_range_is_named(kind, values):
    name, value = list(values.items())[-1]
    with pytest.raises(ConfigError, match=rf"^{name.replace('_', '-')} needs .*{re.escape(str(value))}"):
        kind(**values)


@pytest.mark.parametrize(
    "config",
    [
        RunConfig(net=UNetConfig(kernel=5), source="cifar10:cat", train=TrainConfig(epochs=3, flip=True)),
        RunConfig(net=ColourNetConfig(width=8), source="folder:photos", palette="learned", size=192),
    ],
)
def test_a_run_configuration_survives_json(config):
    assert RunConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("values", "offending"),
    [({"name": []}, r"\[\]"), ({"name": "vgg"}, "vgg"), ({"name": "cnn", "depth": 3}, "depth")],
)
@pytest.mark.usefixtures("unchecked")
def test_a_network_that_is_not_known_is_named_and_an_earlier_unet_has_all_skips(values, offending):
    with pytest.raises(ConfigError, match=offending):
        net_from_dict(values)
    assert net_from_dict({"name": "unet", "kernel": 3}) == UNetConfig()


@pytest.mark.parametrize(
    ("options", "offending"),
    [
        ({"solver": "adam", "policy": "stage"}, "policy stage"),
        ({"solver": "adam", "ridge": 0.1}, "ridge"),
        ({"epochs": 3}, "epochs"),
        ({"learning_rate": 0.1}, "learning-rate"),
        ({"batch_size": 4}, "batch-size"),
    ],
)
def test_options_of_finetune_that_would_do_nothing_are_refused(options, offending):
    with pytest.raises(ConfigError, match=offending):
        FinetuneConfig(source="folder:photos", **options)


@pytest.mark.parametrize(
    ("changes", "offending"),
    [
        ({"net": {"name": "cnn", "kernel": "3"}}, "kernel"),
        ({"train": {"epochs": 1.5}}, "1.5"),
        ({"train": {"flip": 1}}, "flip"),
        ({"train": {"precision": "fp8"}}, "fp8"),
        ({"train": {"learning_rate": 10**400}}, "1000"),
        ({"train": 3}, "configuration"),
        ({"source": None}, "nothing"),
        ({"size": 4}, "4"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_values_of_another_kind_are_named(changes, offending):
    good = {"net": {"name": "cnn"}, "train": {}, "source": "synthetic:shapes", "palette": "handout24"}
    with pytest.raises(ConfigError, match=offending):
        RunConfig.from_dict(good | {"size": 64} | changes)
