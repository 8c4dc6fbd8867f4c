"""Options that every verb takes, and the result that every verb returns."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from pixelwise.config import Device, require_seed
from pixelwise.errors import ConfigError
from pixelwise.launch import is_one_of_several


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Common:
    """Options that every verb takes."""

    json: bool = False
    """Print one JSON object as the last line of standard output and nothing else on it."""
    quiet: bool = False
    """Show no progress and no remarks, only results and failures."""
    seed: int = 0
    """Decides everything random."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU when there is one."""

    def __post_init__(self) -> None:
        require_seed(self.seed)


DataDir = Annotated[
    Path | None,
    Parameter(
        name="--data-dir",
        help="Where the data sets lie or are downloaded to; if not given, where PIXELWISE_DATA says, or else "
        "in the user's cache.",
    ),
]
Out = Annotated[Path | None, Parameter(name=["--out", "-o"])]
Weights = Annotated[
    Path | None,
    Parameter(help="The backbone's weights, where they are neither installed nor downloaded."),
]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of a verb: values for --json, a message otherwise, and how many inputs failed."""

    values: dict[str, Any] = field(default_factory=dict)
    message: str = ""
    num_failed: int = 0


@dataclass(frozen=True)
class Several:
    """What a verb gives back that is to be run by several processes at once."""

    num: int


def starts_several(workers: int) -> bool:
    """Whether a verb is to be run by several processes, and this is none of them.

    Raises:
        ConfigError: there are to be fewer than 1, or more than processors; two may be tried out on one.
    """
    most = max(2, len(os.sched_getaffinity(0)))  # each holds all that one alone would: dozens fill the memory
    if workers < 1:
        raise ConfigError(f"--workers needs to be at least 1, got {workers}")
    if workers > most:
        raise ConfigError(f"--workers needs to be at most {most} on this machine, got {workers}")
    return workers > 1 and not is_one_of_several()


def say(message: str, *, quiet: bool = False, always: bool = False) -> None:
    """Print a message on standard error, where progress goes too."""
    if always or not quiet:
        print(f"pixelwise: {message}", file=sys.stderr)
