"""The commands that do by hand what a question did: each made from the configuration that ran."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from pixelwise.config import NET_NAMES, FinetuneConfig, RunConfig
from pixelwise.lab.answer import Setting


def lab_command(setting: Setting) -> str:
    """What was typed, or would do the same."""
    options = {"out": setting.out, "quick": setting.quick, "seed": setting.seed or None}
    return _command("lab", setting, options | {"precision": setting.precision})


def train_command(setting: Setting, config: RunConfig) -> str:
    """What trains the same network; its run is then `default_run` of the configuration."""
    train = config.train
    options = {name: getattr(train, name) for name in ("epochs", "batch_size", "learning_rate", "precision")}
    options |= {"fixed_order": not train.reshuffle, "seed": train.seed}
    return _command("train", setting, options, _net(config), config.source)


def default_run(config: RunConfig) -> str:
    """Where `train_command` leaves its run."""
    return f"out/{_net(config)}-{config.source.replace(':', '-')}-handout"


def sweep_command(setting: Setting, config: RunConfig, batch_sizes: Sequence[int], steps: int) -> str:
    """What compares the same batch sizes."""
    train = config.train
    options: dict[str, Any] = {"batch_size": ",".join(map(str, batch_sizes)), "steps": steps}
    options |= {name: getattr(train, name) for name in ("epochs", "learning_rate", "precision", "seed")}
    return _command("sweep", setting, options, _net(config), config.source)


def finetune_command(setting: Setting, config: FinetuneConfig, out: str) -> str:
    """What learns the same head."""
    given = {one.name: getattr(config, one.name) for one in fields(config) if one.name != "source"}
    defaults = {one.name: one.default for one in fields(config)}
    options = {name: value for name, value in given.items() if value != defaults[name]}
    return _command("finetune", setting, options | {"out": out}, config.source)


def evaluate_command(setting: Setting, what: str, source: str, **options: str) -> str:
    """What scores a run or a head, with the intervals of the setting's seed."""
    return _command("evaluate", setting, options | {"seed": setting.seed or None}, what, source)


def _net(config: RunConfig) -> str:
    return NET_NAMES[type(config.net)]


def _command(verb: str, setting: Setting, options: Mapping[str, Any], *given: str) -> str:
    device = setting.device if setting.device != "auto" else None
    everywhere = {"device": device, "data_dir": setting.data_dir}
    return shlex.join(["pixelwise", verb, *given, *_words({**options, **everywhere})])


def _words(options: Mapping[str, Any]) -> Iterator[str]:
    """Options as they are typed; what is None or False is left out."""
    for name, value in options.items():
        if value is None or value is False:
            continue
        yield f"--{name.replace('_', '-')}"
        if value is not True:
            yield from map(str, value if isinstance(value, tuple) else [value])
