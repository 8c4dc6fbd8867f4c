"""The verb that trains networks: train."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from pixelwise.cli.common import Common, Outcome, Several, starts_several
from pixelwise.cli.options import TrainOptions


def train(
    net: str | None = None,
    source: str | None = None,
    /,
    *,
    workers: Annotated[int, Parameter()] = 1,
    options: TrainOptions = TrainOptions(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> Outcome | Several:
    """Train a network on pictures: cnn, unet or colournet, on cifar10:horse, synthetic:shapes or folder:PATH.

    The folder --out gets the model, its scores, curves and pictures, and the state to go on from.
    Ctrl-C saves; `pixelwise train --resume --out RUN` goes on bit for bit.

    Parameters
    ----------
    net
        The network: cnn or unet, the assignment's; or colournet, for photographs.
    source
        The pictures: cifar10:CLASS, cifar10:all, synthetic:shapes or folder:PATH.
    workers
        Processes on this machine that each take a share of every batch; on several machines, start
        torchrun -m pixelwise train on each.
    """
    folder = options.folder(net, source)
    config = options.config(net, source, common.seed)
    if starts_several(workers):
        return Several(workers)
    from pixelwise.processes import joined
    from pixelwise.processor import choose_device
    from pixelwise.report.run import write_report
    from pixelwise.train import goes_on, train_source

    with joined(choose_device(common.device)) as group:
        resume = group.by_first(lambda: options.resume or goes_on(folder))
        result = train_source(
            config, folder, data_dir=options.data_dir, device=common.device, resume=resume, group=group
        )
    if not group.leads:
        return Outcome()
    page = write_report(folder)
    message = (
        f"{result.val_accuracy:.2f} % of the validation pixels right, loss {result.val_loss:.4f}, "
        f"after {result.train_seconds:.1f} s of training; look at {page}"
    )
    return Outcome(values=asdict(result), message=message)
