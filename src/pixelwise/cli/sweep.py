"""The verb that studies batch sizes: sweep."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pixelwise.cli.common import Common, DataDir, Outcome
from pixelwise.config import Precision
from pixelwise.errors import ConfigError
from pixelwise.recipes import recipe

if TYPE_CHECKING:  # its module imports torch
    from pixelwise.sweep import SweepRow


def sweep(
    net: str,
    source: str,
    /,
    *,
    batch_size: str = "10,20,50,100,200,500,1000",
    epochs: int = 25,
    steps: int | None = None,
    learning_rate: float = 0.001,
    precision: Precision = "auto",
    out: Annotated[Path | None, Parameter(name=["--out", "-o"])] = None,
    data_dir: DataDir = None,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Outcome:
    """Train with several batch sizes, at equal epochs and at equal steps, and show what the size does.

    The folder --out gets a run for each, a page, and figures. Ctrl-C saves; the same command finds what is
    finished and goes on.

    Parameters
    ----------
    net
        The network: cnn or unet.
    source
        The pictures: cifar10:CLASS, cifar10:all, synthetic:shapes or folder:PATH.
    batch_size
        Images per step, such as 10,100,1000.
    epochs
        Passes over the training images, of every batch size.
    steps
        Updates of the weights, of every batch size, in the second half of the study; if not given, those that
        the largest batch makes in the epochs.
    learning_rate
        Of every batch size.
    precision
        fp32, bf16, or auto: bf16 where this processor computes it faster, measured.
    out
        The study's folder; out/sweep-NET-SOURCE if not given.
    data_dir
        Where the data sets lie or are downloaded to; if not given, where PIXELWISE_DATA says, or
        else in the user's cache.
    """
    if steps is not None and steps < 1:
        raise ConfigError(f"steps needs to be at least 1, got {steps}")
    sizes = _sizes(batch_size)
    changes = {"epochs": epochs, "learning_rate": learning_rate, "precision": precision}
    config = recipe("handout", net, source, **changes, seed=common.seed)
    from pixelwise.sweep import sweep as sweep_sizes
    from pixelwise.sweep import write_study

    folder = out or Path("out") / f"sweep-{net}-{source.replace(':', '-').replace('/', '-')}"
    rows = sweep_sizes(
        config,
        sizes,
        folder,
        steps=steps or 0,
        data_dir=data_dir,
        device=common.device,
    )
    options = changes | {"batch_size": batch_size, "steps": steps or rows[-1].steps, "seed": common.seed}
    given = (word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value)))
    page = write_study(folder, config, rows, shlex.join(["pixelwise", "sweep", net, source, *given]))
    return Outcome(
        values={"rows": [row.to_dict() for row in rows], "page": str(page)},
        message="\n".join([*_told(rows), f"look at {page}"]),
    )


def _sizes(text: str) -> list[int]:
    """Batch sizes as they are written: 10,20,50.

    Raises:
        ConfigError: one is no whole number.
    """
    try:
        return [int(size) for size in text.split(",")]
    except ValueError as error:
        raise ConfigError(f"batch-size needs whole numbers such as 10,100,1000, got {text}") from error


def _told(rows: Sequence[SweepRow]) -> Iterator[str]:
    """A table for people."""
    yield f"{'':13}{'batch':>7}{'right, %':>10}{'val loss':>10}{'train loss':>12}{'steps':>8}{'seconds':>9}"
    for row in rows:
        yield (
            f"equal {row.fixed:7}{row.batch_size:>7}{row.val_accuracy:>10.2f}{row.val_loss:>10.4f}"
            f"{row.train_loss:>12.4f}{row.steps:>8}{row.train_seconds:>9.1f}"
        )
