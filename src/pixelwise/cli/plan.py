"""The verbs that tell what a run will cost: plan finetune, plan train, plan batch."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Literal

from pixelwise.cli.common import Common, Outcome
from pixelwise.cli.options import FinetuneOptions
from pixelwise.errors import ConfigError

_logger = logging.getLogger(__name__)


def finetune(
    source: str,
    /,
    *,
    options: FinetuneOptions = FinetuneOptions(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> Outcome:
    """Tell what learning from masks will cost, before anything runs: memory, FLOPs and time.

    It takes the options of `pixelwise finetune`. With --policy or --solver the plan is of that, without, of
    every policy. Memory and FLOPs are counted from the network itself, at the size at which photos are read
    and at twice its height and width. Time is that of a few pieces of the work, tried out here on photos of
    the source; nothing is written.

    Parameters
    ----------
    source
        Photos and masks: flowers17, flowers17:classes, or folder:PATH.
    """
    if options.advise or options.curve:
        _logger.warning("the plan leaves out what --advise and --curve take")
    one = options.policy or ("last-layer" if options.solver == "adam" else None)
    config = replace(options, policy=one or "full", advise=False).config(source, common.seed)
    from pixelwise.backbones import open_backbone
    from pixelwise.cost import process_age_s
    from pixelwise.data import load_labelled
    from pixelwise.finetune.plan import every_policy, plan_finetune, policies_of
    from pixelwise.processor import choose_device

    labelled = load_labelled(source, options.data_dir, common.seed)
    backbone = open_backbone(options.backbone, options.weights)
    planned = plan_finetune(
        config,
        labelled,
        backbone,
        choose_device(common.device),
        policies_of(config) if one else every_policy(backbone),
        started_s=process_age_s(),
    )
    return Outcome(values=planned.to_dict(), message=planned.describe())


def batch(
    task: Literal["colourise", "segment"] = "colourise",
    /,
    *,
    photos: float,
    workers: int,
    megapixels: float = 12.0,
    model: str | None = None,
    head: str | None = None,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Outcome:
    """Tell what a batch will cost: memory, FLOPs and time.

    A small batch of photos that are made up is run here, on as many workers as this machine has room for, and
    timed; a worker elsewhere is taken to be as fast. Disks and networks that machines share are not in it.

    Parameters
    ----------
    task
        What is done: colourise, or segment.
    photos
        How many; 1e9 is a number, too.
    workers
        How many photos are done at once.
    megapixels
        Of a photo, on average.
    model
        Of colourise: as `pixelwise batch colourise` takes it.
    head
        Of segment: as `pixelwise batch segment` takes it.
    """
    from pixelwise.batch.job import Job
    from pixelwise.batch.price import plan_batch
    from pixelwise.cost import process_age_s
    from pixelwise.runs import DEFAULT_MODEL

    if task == "segment" and head is None:
        raise ConfigError("plan batch segment needs --head: a shipped head's name, or the file of one")
    if not 1 <= photos < 1e15 or photos % 1:  # NaN is not, either
        raise ConfigError(f"--photos needs a whole number from 1 on, got {photos:g}")
    name = (head if task == "segment" else model) or DEFAULT_MODEL
    planned = plan_batch(
        Job(task=task, model=name, device=common.device),
        int(photos),
        workers,
        megapixels=megapixels,
        started_s=process_age_s(),
    )
    return Outcome(values=planned.to_dict(), message=planned.describe())
