"""The verbs that tell what a run will cost: plan finetune, plan train."""

from __future__ import annotations

import logging
from dataclasses import replace

from pixelwise.cli.common import Common, Outcome
from pixelwise.cli.options import FinetuneOptions, TrainOptions
from pixelwise.recipes import recipe_names

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


def train(
    net: str | None = None,
    source: str | None = None,
    /,
    *,
    options: TrainOptions = TrainOptions(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> Outcome:
    """Tell what training a network will cost, before it begins: memory, FLOPs and time.

    It takes the options of `pixelwise train`. With --recipe the plan is of that, without, of every recipe;
    with --resume, of what is left to do. The run is set up as it will be, and a few of its steps are counted
    and timed, in a folder that is removed; the page about the run, drawn at its end, is left out.

    Parameters
    ----------
    net
        The network: cnn, unet or colournet.
    source
        The pictures: cifar10:CLASS, cifar10:all, synthetic:shapes or folder:PATH.
    """
    one = options.recipe or ("as started" if options.resume else None)
    names = recipe_names(net) if net else ("handout",)  # of none at all is complained below
    asked = {one: options} if one else {name: replace(options, recipe=name) for name in names}
    configs = {name: each.config(net, source, common.seed) for name, each in asked.items()}
    from pixelwise.cost import process_age_s
    from pixelwise.data import load_pictures
    from pixelwise.processor import choose_device
    from pixelwise.runs import read_checkpoint
    from pixelwise.train import with_palette
    from pixelwise.train.plan import plan_train

    some = next(iter(configs.values()))
    pictures = load_pictures(some.source, options.data_dir, some.train.seed, size=some.size)
    planned = plan_train(
        {name: with_palette(config) for name, config in configs.items()},
        pictures,
        choose_device(common.device),
        begun=read_checkpoint(options.folder(net, source)).step if options.resume else 0,
        started_s=process_age_s(),
    )
    return Outcome(values=planned.to_dict(), message=planned.describe())
