"""The verb that trains networks: train."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from pixelwise.cli.common import Common, DataDir, Outcome
from pixelwise.config import NET_NAMES, Precision, RunConfig
from pixelwise.errors import ConfigError
from pixelwise.recipes import change
from pixelwise.recipes import recipe as build_recipe


def train(
    net: str | None = None,
    source: str | None = None,
    /,
    *,
    recipe: str | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    fixed_order: Annotated[bool, Parameter(negative="")] = False,
    palette: str | None = None,
    kernel: int | None = None,
    num_filters: int | None = None,
    convolution: Literal["torch", "unfold"] | None = None,
    precision: Precision | None = None,
    out: Annotated[Path | None, Parameter(name=["--out", "-o"])] = None,
    resume: Annotated[bool, Parameter(negative="")] = False,
    data_dir: DataDir = None,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Outcome:
    """Train a network on pictures: cnn or unet, on cifar10:horse, synthetic:shapes or folder:PATH.

    The folder --out gets the model, its scores, curves and pictures, and the state to go on from.
    Ctrl-C saves; `pixelwise train --resume --out RUN` goes on bit for bit.

    Parameters
    ----------
    net
        The network: cnn or unet.
    source
        The pictures: cifar10:CLASS, cifar10:all, synthetic:shapes or folder:PATH.
    recipe
        handout (the assignment's own, if not given), fast (soonest to its quality), best (most accurate in
        its time) or embedded (the shipped model's).
    epochs
        Passes over the training images; the recipe's if not given.
    batch_size
        Images per step; need not divide the number of images.
    learning_rate
        The recipe's if not given.
    fixed_order
        Never reshuffle the batches, as the assignment's original code did not.
    palette
        Colours to choose from: handout24, or a file that `pixelwise palette` wrote.
    kernel
        Side of the convolutions' windows; odd.
    num_filters
        Filters of the first block (NF).
    convolution
        Torch's kernel, or the written-out matrix product: the same numbers.
    precision
        fp32, bf16, or auto: bf16 where this processor computes it faster, measured.
    out
        The run's folder; out/NET-SOURCE-RECIPE if not given.
    resume
        Go on with the run in --out as it was started: of all it was started with only --data-dir is needed
        again.
    data_dir
        Where the data sets lie or are downloaded to; if not given, where PIXELWISE_DATA says, or
        else in the user's cache.
    """
    changes: dict[str, Any] = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "reshuffle": False if fixed_order else None,
        "palette": palette,
        "kernel": kernel,
        "num_filters": num_filters,
        "convolution": convolution,
        "precision": precision,
        "seed": common.seed or None,  # as all recipes have it; a run to go on with may have another
    }
    folder = out or _folder(net, source, recipe, resume=resume)
    if resume:
        config = _as_started(folder, net, source, recipe, changes)
    else:
        config = build_recipe(recipe or "handout", *_both(net, source), **changes)
    from pixelwise.report import write_report
    from pixelwise.train import train_source

    result = train_source(config, folder, data_dir=data_dir, device=common.device, resume=resume)
    page = write_report(folder)
    message = (
        f"{result.val_accuracy:.2f} % of the validation pixels right, loss {result.val_loss:.4f}, "
        f"after {result.train_seconds:.1f} s of training; look at {page}"
    )
    return Outcome(values=asdict(result), message=message)


def _both(net: str | None, source: str | None, otherwise: str = "") -> tuple[str, str]:
    """The network and the source.

    Raises:
        ConfigError: one is missing.
    """
    if net is None or source is None:
        missing = "NET and SOURCE" if net is None else "SOURCE"
        raise ConfigError(f"train needs {missing}{otherwise}. See pixelwise train --help.")
    return net, source


def _folder(net: str | None, source: str | None, recipe: str | None, *, resume: bool) -> Path:
    """Where a run goes that is given no folder.

    Raises:
        ConfigError: the network or the source is missing, by which it is named.
    """
    net, source = _both(net, source, ", or --out with the run's folder" if resume else "")
    return Path("out") / f"{net}-{source.replace(':', '-').replace('/', '-')}-{recipe or 'handout'}"


def _as_started(
    folder: Path, net: str | None, source: str | None, recipe: str | None, changes: dict[str, Any]
) -> RunConfig:
    """The configuration of an interrupted run, with whatever was given again; training refuses a difference.

    Raises:
        CheckpointError: there is no such run.
        ConfigError: the recipe or the network is not there, or a value is out of range.
    """
    from pixelwise.runs import read_checkpoint

    saved = read_checkpoint(folder).config
    again = {"seed": saved.train.seed} | {key: value for key, value in changes.items() if value is not None}
    saved_net = NET_NAMES[type(saved.net)]
    if recipe is not None or net not in (None, saved_net):
        return build_recipe(recipe or "handout", net or saved_net, source or saved.source, **again)
    return change(saved, source=source, **again)
