"""Named, complete run configurations; each says where it comes from, its command, and what to expect."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from typing import Any

from pixelwise.errors import ConfigError
from pixelwise.network.config import (
    HANDOUT_CONFIGS,
    LEARNED,
    NET_NAMES,
    ColourNetConfig,
    RunConfig,
    TrainConfig,
    UNetConfig,
)

_OPTIONS = {  # values that the verb train has options for
    *("palette", "size", "epochs", "batch_size", "learning_rate", "reshuffle", "precision", "seed"),
    *("rebalance", "softness", "film", "kernel", "num_filters", "convolution", "num_colours"),
}
_PROGRAM = """\
from pathlib import Path
from pixelwise.network.config import RunConfig
from pixelwise.training.loop import train_source

config = RunConfig.from_dict({config})
train_source(config, Path("again"))"""


def handout(net: str, source: str) -> RunConfig:
    """Return the assignment's own hyper-parameters, in fp32 as they were, with batches reshuffled each epoch.

    The rates of 0.3 for the CNN and 0.001 for the U-Net confound the two; --learning-rate makes them fair.

    Command: pixelwise train unet cifar10:horse --recipe handout
    Expect:  47.9 % of pixels (45.9 to 49.8, n = 2) in 164 s on two cores of an AMD EPYC; in the original's
             fixed order 47.8 % at loss 1.411; the CNN 28.8 % at rate 0.3 and 38.7 % at 0.001
    Source:  CSC413/2516, winter 2020, programming assignment 2
    """
    train = TrainConfig(learning_rate=0.3 if net == "cnn" else 0.001, precision="fp32")
    return RunConfig(net=HANDOUT_CONFIGS[net](), source=source, train=train)


def fast(net: str, source: str) -> RunConfig:
    """Return what comes soonest to the quality of `handout`: one pass, mostly over quarters of the pictures.

    The last fifth sees whole pictures, so that the batch-norm statistics are those of whole pictures.

    Command: pixelwise train unet cifar10:horse --recipe fast
    Expect:  50.2 % of pixels (49.9 to 50.4, n = 2) in 3.4 s on two cores of an AMD EPYC, 49 times sooner
             than `handout`: benchmarks/time_to_quality.py
    Source:  ours; docs/log.md has what was tried
    """
    train = TrainConfig(
        epochs=1,
        batch_size=24,
        learning_rate=0.03,
        schedule="one-cycle",
        optimiser="muon",
        muon_rate=0.25,
        crop_frac=0.8,
        flip=True,
    )
    return RunConfig(net=HANDOUT_CONFIGS[net](), source=source, train=train)


def best(net: str, source: str) -> RunConfig:
    """Return the most accurate within the time of `handout`: many cheap passes, a few over whole pictures.

    Command: pixelwise train unet cifar10:horse --recipe best
    Expect:  60.2 % of pixels (60.1 to 60.3, n = 2) in 108 s on two cores of an AMD EPYC, two thirds of the
             time of `handout`: benchmarks/time_to_quality.py
    Source:  ours; docs/log.md has what was tried
    """
    quick = fast(net, source)
    train = replace(
        quick.train, epochs=38, batch_size=25, learning_rate=0.02, muon_rate=0.1, momentum=0.9, crop_frac=0.93
    )
    return replace(quick, train=train)


def beyond(_net: str, source: str) -> RunConfig:
    """Return `best` for a U-Net with a table of grey levels inside, so that it begins where a table ends.

    Command: pixelwise train unet cifar10:horse --recipe beyond
    Expect:  67.3 % of pixels (67.3 to 67.4, n = 3) at loss 0.774, where a table alone has 63.8 % at 0.886
    Source:  ours; question B5 of the lab says why it works, docs/log.md what was tried
    """
    config = best("unet", source)
    return replace(config, net=UNetConfig(grey_table=True), train=replace(config.train, epochs=24))


def embedded(net: str, source: str) -> RunConfig:
    """Return a recipe for 64 chroma classes: rare ones weighted up, more filters.

    Command: pixelwise train unet cifar10:all --recipe embedded
    Expect:  loss 3.46 on the test pictures in some 20 minutes on one core
    Source:  ours, with the rebalancing of R. Zhang et al., arXiv:1603.08511
    """
    train = replace(best(net, source).train, epochs=12, batch_size=50, rebalance=0.5)
    config = HANDOUT_CONFIGS[net](num_filters=64, num_colours=64)
    return RunConfig(net=config, source=source, palette="cifar-ab64", train=train)


def photo(_net: str, source: str) -> RunConfig:
    """Return the recipe of a colouriser for photographs: frozen backbone, windows, soft classes, old film.

    Command: pixelwise train colournet folder:photos --recipe photo
    Expect:  of 7,054 photos 654 steps, in 217 s on two cores of an AMD EPYC; `pixelwise models` has scores
    Source:  ours, after R. Zhang et al., arXiv:1603.08511; docs/log.md has what was tried
    """
    train = TrainConfig(
        epochs=3,
        batch_size=32,
        learning_rate=0.002,
        schedule="one-cycle",
        warmup_frac=0.1,
        weight_decay=0.05,
        window=128,
        film=0.3,
        flip=True,
        precision="fp32",
    )
    return RunConfig(net=ColourNetConfig(), source=source, palette=LEARNED, size=192, train=train)


_COLOURNET_ONLY = {"softness", "film", "window"}
_Recipes = dict[str, Callable[[str, str], RunConfig]]
_HANDOUT: _Recipes = {"handout": handout, "fast": fast, "best": best, "embedded": embedded}
_RECIPES: dict[str, _Recipes] = {
    "cnn": _HANDOUT,
    "unet": _HANDOUT | {"beyond": beyond},
    "colournet": {"photo": photo},
}


def recipe_names(net: str) -> tuple[str, ...]:
    """Return the recipes of a network, the usual one first; ConfigError if there is no such network."""
    if net not in _RECIPES:
        raise ConfigError(f"needed one of the networks {', '.join(_RECIPES)}, got {net!r}")
    return tuple(_RECIPES[net])


def recipe(name: str, net: str, source: str, **changes: Any) -> RunConfig:
    """Return a recipe with values changed, where not None; a ConfigError if there is none or one is wrong."""
    if name not in recipe_names(net):
        raise ConfigError(f"needed one of the recipes of {net}, {', '.join(_RECIPES[net])}; got {name!r}")
    return change(_RECIPES[net][name](net, source), **changes)


def change(config: RunConfig, **changes: Any) -> RunConfig:
    """Return a configuration with values changed, where not None; a ConfigError if one is wrong."""
    given = {key: value for key, value in changes.items() if value is not None}
    foreign = set() if isinstance(config.net, ColourNetConfig) else _COLOURNET_ONLY

    def changed(part: Any) -> Any:
        names = {entry.name for entry in fields(part)} - foreign
        return replace(part, **{key: given.pop(key) for key in names & given.keys()})

    config = replace(changed(config), net=changed(config.net), train=changed(config.train))
    if given:
        name, wrong = NET_NAMES[type(config.net)], min(given).replace("_", " ")
        raise ConfigError(f"{name} has no {wrong} to change; leave that option out")
    return config


def repeat(config: RunConfig) -> str:
    """Return the shortest command that trains with this configuration, or a program where none does."""
    net, source, wanted = NET_NAMES[type(config.net)], config.source, _flat(config)
    commands = []
    for name in recipe_names(net):
        usual = _flat(recipe(name, net, source))
        changes = {key: value for key, value in wanted.items() if value != usual[key]}
        if config.palette != LEARNED:
            changes.pop("num_colours", None)  # those of the palette
        command = ["pixelwise", "train", net, source, "--recipe", name]
        for key, value in changes.items():
            flag = f"--{key.replace('_', '-')}"
            command += ["--fixed-order"] if key == "reshuffle" else [flag, str(value)]
        if changes.keys() <= _OPTIONS:
            commands.append(shlex.join([*command, "--out", "again"]))
    return min(commands, key=len) if commands else _PROGRAM.format(config=config.to_dict())


def _flat(config: RunConfig) -> dict[str, Any]:
    return asdict(config.net) | asdict(config.train) | {"palette": config.palette, "size": config.size}
