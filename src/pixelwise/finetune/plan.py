"""What learning from masks will cost, by policy: memory, FLOPs and time, before anything runs.

FLOPs and tensors are counted from the backbone itself, at the size at which photos are read. Time is that of
a few pieces of the very work, on photos of the very source, times how often each is done.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import torch

from pixelwise.backbones import Backbone
from pixelwise.config import FinetuneConfig
from pixelwise.cost import Cost, Plan, give_back_memory, resident_bytes, timed
from pixelwise.data import LabelledPhotos
from pixelwise.data.labelled import LabelledPhoto
from pixelwise.features import FeatureCache
from pixelwise.finetune.calibrate import Stepping, Task, Timings, calibrate, time_views
from pixelwise.finetune.lesson import Lesson, prepare
from pixelwise.finetune.price import Planner, count_looks, trace_looks

UNCACHED, CACHED, ADAM = "last-layer", "last-layer-cached", "last-layer-adam"


def policies_of(config: FinetuneConfig) -> tuple[str, ...]:
    """What a plan of one configuration has: the last layer without cached features, and with all of them."""
    if config.solver == "adam":
        return (ADAM,)
    return (UNCACHED, CACHED) if config.policy == "last-layer" else (config.policy,)


def every_policy(backbone: Backbone) -> tuple[str, ...]:
    """What a plan has that is of no policy alone; `stage` where the backbone says what its last stage is."""
    return (UNCACHED, CACHED, *(("stage",) if backbone.last_stage else ()), "full")


def plan_finetune(
    config: FinetuneConfig,
    labelled: LabelledPhotos,
    backbone: Backbone,
    device: torch.device,
    policies: Collection[str],
    *,
    doubled: bool = True,
    started_s: float = 0.0,
) -> Plan:
    """What `finetune` will cost under each of some policies, and at twice the size.

    `started_s` are the seconds that the command has taken until now.

    Raises:
        ConfigError: more shots than there are photos, or the backbone's last stage is not known.
        DataError, PhotoError: a photo or its labels cannot be read.
    """
    start_s = time.perf_counter()
    _, scored = labelled.held_out()
    cache = FeatureCache()  # which is neither looked into nor added to
    tasks = {
        policy: Task.of(prepare(_alone(config, policy), labelled, backbone, device, cache), scored)
        for policy in policies
    }
    timings, stepping = calibrate(next(iter(tasks.values()))), _stepping(tasks)
    twice = {policy: task.doubled() for policy, task in tasks.items()} if doubled else {}
    return Plan(
        policies=plan_tasks(tasks, timings, stepping, started_s=started_s),
        doubled=plan_tasks(twice, timings, stepping, started_s=started_s, of=tasks) if doubled else {},
        planning_s=time.perf_counter() - start_s,
    )


def plan_lesson(lesson: Lesson, scored: Sequence[LabelledPhoto], *, started_s: float) -> Plan:
    """What one lesson will cost that is about to be learned, with the features that its cache has by now.

    Raises:
        PixelwiseError: as `plan_finetune`.
    """
    start_s = time.perf_counter()
    task = Task.of(lesson, scored)
    missing = task.num_missing()
    policy = policies_of(lesson.config)[0]
    if policy == UNCACHED and not any(missing):
        policy = CACHED
    tasks = {policy: task}
    # with epochs the network looks again and again, at photos to stop by and with what has learned by then
    from_cache = not any(missing) and not lesson.config.has_epochs
    timings, stepping = calibrate(task, from_cache=from_cache), _stepping(tasks)
    costs = plan_tasks(tasks, timings, stepping, started_s=started_s, missing=missing)
    give_back_memory()  # the run is to have what it would have without a plan
    return Plan(policies=costs, doubled={}, planning_s=time.perf_counter() - start_s)


def plan_tasks(
    tasks: Mapping[str, Task],
    timings: Timings,
    stepping: Stepping,
    *,
    started_s: float = 0.0,
    of: Mapping[str, Task] | None = None,
    missing: tuple[int, int] | None = None,
) -> dict[str, Cost]:
    """The cost of each policy; timings are `of` other tasks with smaller sizes, or else of these.

    `missing` looks at shots, and photos to score on, have to be looked at; if None, none of `CACHED` and all
    of the others.
    """
    some = next(iter(tasks.values()))
    if of is None and set(tasks) <= {UNCACHED, CACHED}:
        looking, ratio = count_looks(some), 1.0
    else:
        looking = trace_looks(some)
        ratio = looking.flops / trace_looks(next(iter(of.values()))).flops if of else 1.0
    costs = {}
    for policy, task in tasks.items():
        every = (0, 0) if policy == CACHED else (task.num_looks, len(task.scored))
        planner = Planner(task, timings, stepping, looking, started_s, ratio, missing or every)
        costs[policy] = planner.cost(policy)
    return costs


def import_optimisers() -> None:
    """Import what the policies with epochs need of torch, which takes seconds and a hundred megabytes."""
    from pixelwise.finetune import loop, tune

    del loop, tune


def _alone(config: FinetuneConfig, policy: str) -> FinetuneConfig:
    """The configuration of one policy, without options of others."""
    if policy == ADAM:
        return config
    if policy not in (UNCACHED, CACHED):
        return replace(config, policy="stage" if policy == "stage" else "full", advise=False)
    plain = FinetuneConfig(source=config.source)
    return replace(
        config,
        policy="last-layer",
        epochs=plain.epochs,
        batch_size=plain.batch_size,
        learning_rate=plain.learning_rate,
    )


def _stepping(tasks: Mapping[str, Task]) -> Stepping:
    """Of the tasks that pass over photos."""
    passing = {policy: task for policy, task in tasks.items() if task.lesson.config.has_epochs}
    if not passing:
        return Stepping(optimisers_s=0.0, optimisers_bytes=0, views={})
    device = next(iter(passing.values())).lesson.device
    before_bytes = resident_bytes(device)
    optimisers_s, _ = timed(import_optimisers)
    return Stepping(
        optimisers_s=optimisers_s,
        optimisers_bytes=resident_bytes(device) - before_bytes,
        views={policy: time_views(task) for policy, task in passing.items()},
    )
