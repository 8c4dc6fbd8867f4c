"""What training a network will cost: memory, FLOPs and time, before it begins.

The run is set up as it will be, in a folder that is removed, and takes a few of its true steps, of each kind:
over quarters of the pictures and over whole ones. They are timed and counted, and so is validation.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from pixelwise.config import RunConfig
from pixelwise.cost import Cost, Counting, Part, Plan, resident_bytes, timed
from pixelwise.data import Pictures
from pixelwise.train.run import CHECKPOINT_EVERY_S, Run

_STEPS_TIMED = 3
_SLOW_S = 2.0  # after a step that takes longer no other is timed
_VALIDATED = 256  # pictures


def plan_train(
    configs: Mapping[str, RunConfig],
    pictures: Pictures,
    device: torch.device,
    *,
    begun: int = 0,
    started_s: float = 0.0,
) -> Plan:
    """What training will cost by each of some configurations, called by name, on the same pictures.

    `begun` steps are done already. `started_s` are the seconds that the command has taken until now. What is
    drawn of a run when it is over is left out.

    Raises:
        ConfigError: the size of the pictures does not suit a network.
        DivergedError: the loss of one of the first steps is no number.
    """
    start_s = time.perf_counter()
    held_bytes = resident_bytes(device)
    costs = {}
    for name, config in configs.items():
        with tempfile.TemporaryDirectory(prefix="pixelwise-plan-") as folder:
            rehearsed = _rehearse(config, pictures, Path(folder), device, begun)
        costs[name] = rehearsed.cost(started_s, held_bytes)
    return Plan(policies=costs, doubled={}, planning_s=time.perf_counter() - start_s)


@dataclass(frozen=True)
class Steps:
    """Steps of one kind."""

    what: str
    num: float
    """Of full batches; the last of an epoch counts as the share of a batch that it is."""
    seconds: float
    """Of one."""
    flops: int
    """The same."""


@dataclass(frozen=True, kw_only=True)
class Rehearsed:
    """A run that was set up and tried out."""

    num_learned: int
    setup_s: float
    setup_bytes: int
    """Labels, weights: what is there before the first step."""
    step_bytes: int
    """What comes to that when most is there at once."""
    steps: tuple[Steps, ...]
    num_validations: int
    validation_s: float
    """Of all validation pictures, once."""
    validation_flops: int
    """The same."""
    save_s: float

    def cost(self, started_s: float, held_bytes: int) -> Cost:
        """Of the whole run, in a process that has taken so long, and holds so much before it."""
        stepping_s = sum(kind.num * kind.seconds for kind in self.steps)
        num_saves = 1 + math.floor(stepping_s / CHECKPOINT_EVERY_S)
        flops = sum(kind.num * kind.flops for kind in self.steps)
        return Cost(
            num_learned=self.num_learned,
            flops=round(flops) + self.num_validations * self.validation_flops,
            seconds_by=(
                Part("start", started_s, "until now"),
                Part("setting up", self.setup_s, "pictures classed by colour, the network built: timed"),
                *(
                    Part(kind.what, kind.num * kind.seconds, f"{kind.num:.0f} steps, some timed")
                    for kind in self.steps
                ),
                Part(
                    "validation",
                    self.num_validations * self.validation_s,
                    f"{self.num_validations} times, at most {_VALIDATED} pictures timed",
                ),
                Part("saving", num_saves * self.save_s, f"{num_saves} times, one timed"),
            ),
            bytes_by=(
                Part("the process", held_bytes, "measured with the pictures in memory"),
                Part("labels and weights", self.setup_bytes, "counted"),
                Part("learning", self.step_bytes, "activations, gradients, momenta: counted in true steps"),
            ),
        )


def _rehearse(
    config: RunConfig, pictures: Pictures, folder: Path, device: torch.device, begun: int
) -> Rehearsed:
    with Counting() as counted:
        setup_s, run = timed(lambda: Run(config, pictures, folder, device, None))
        setup_bytes = counted.bytes
        full = run.steps_per_epoch * config.train.batch_size  # pictures, if the last batch of an epoch were
        kinds = [
            (what, (stop - first) * run.lesson.num_train / full, first)
            for what, first, stop in _kinds(run, begun)
        ]
        flops = [_flops(counted, run, first) for _, _, first in kinds]
        before_flops = counted.flops
        run.lesson.score(run.net, slice(_VALIDATED))
        validation_flops = counted.flops - before_flops
    steps = tuple(
        Steps(what, num, _step_s(run, first), each)
        for (what, num, first), each in zip(kinds, flops, strict=True)
    )
    times = max(1.0, run.lesson.num_val / _VALIDATED)
    return Rehearsed(
        num_learned=sum(one.numel() for one in run.net.parameters()),
        setup_s=setup_s,
        setup_bytes=setup_bytes,
        step_bytes=counted.peak_bytes - setup_bytes,
        steps=steps,
        num_validations=math.ceil(run.num_steps / run.steps_per_epoch) - begun // run.steps_per_epoch,
        validation_s=times * timed(lambda: run.lesson.score(run.net, slice(_VALIDATED)))[0],
        validation_flops=round(times * validation_flops),
        save_s=timed(run.save)[0],
    )


def _kinds(run: Run, begun: int) -> list[tuple[str, int, int]]:
    """Steps that are still to be done, over quarters and over whole pictures: the first, and the end."""
    num_quarters = min(run.num_steps, math.ceil(run.config.train.crop_frac * run.num_steps))
    every = (
        ("quarters", begun, num_quarters),
        ("whole pictures", max(begun, num_quarters), run.num_steps),
    )
    return [(what, first, stop) for what, first, stop in every if first < stop]


def _flops(counted: Counting, run: Run, first: int) -> int:
    """Of a step that is counted after another, by which momenta are there."""
    _learn_from(run, first)
    before = counted.flops
    _learn_from(run, first)
    return counted.flops - before


def _step_s(run: Run, first: int) -> float:
    """Seconds of a step, the mean of some."""
    times_s = [timed(lambda: _learn_from(run, first))[0]]
    while len(times_s) < _STEPS_TIMED and times_s[-1] < _SLOW_S:
        times_s.append(timed(lambda: _learn_from(run, first))[0])
    return sum(times_s) / len(times_s)


def _learn_from(run: Run, first: int) -> None:
    """A step over a batch that is as full as they get, of the kind that the step `first` is of."""
    run.step = first
    run.learn()
