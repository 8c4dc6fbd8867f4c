"""The verb that trains networks: train."""

from __future__ import annotations

from dataclasses import asdict

from pixelwise.cli.common import Common, Outcome
from pixelwise.cli.options import TrainOptions


def train(
    net: str | None = None,
    source: str | None = None,
    /,
    *,
    options: TrainOptions = TrainOptions(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> Outcome:
    """Train a network on pictures: cnn, unet or colournet, on cifar10:horse, synthetic:shapes or folder:PATH.

    The folder --out gets the model, its scores, curves and pictures, and the state to go on from.
    Ctrl-C saves; `pixelwise train --resume --out RUN` goes on bit for bit. In several processes:
    `torchrun --nproc-per-node 2 -m pixelwise train ...`.

    Parameters
    ----------
    net
        The network: cnn or unet, the assignment's; or colournet, for photographs.
    source
        The pictures: cifar10:CLASS, cifar10:all, synthetic:shapes or folder:PATH.
    """
    folder = options.folder(net, source)
    config = options.config(net, source, common.seed)
    from pixelwise.report.run import write_report
    from pixelwise.training.distributed import on_rank0, process_group
    from pixelwise.training.loop import train_source
    from pixelwise.training.recipes import repeat

    with process_group(common.device):
        result = train_source(
            config, folder, data_dir=options.data_dir, device=common.device, resume=options.resume
        )
        page = on_rank0(lambda: write_report(folder, repeat(config)))
    message = (
        f"{result.val_accuracy:.2f} % of the validation pixels right, loss {result.val_loss:.4f}, "
        f"after {result.train_seconds:.1f} s of training; look at {page}"
    )
    return Outcome(values=asdict(result), message=message)
