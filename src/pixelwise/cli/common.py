"""Options that every verb takes, and the result that every verb returns."""

from __future__ import annotations

import contextlib
import math
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from pixelwise.network.config import Checked, Device, Seed

if TYPE_CHECKING:
    from pixelwise.evaluate.intervals import Interval


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Common(Checked):
    """Options that every verb takes."""

    json: bool = False
    """Print one JSON object as the last line of standard output and nothing else on it."""
    quiet: bool = False
    """Show no progress and no remarks, only results and failures."""
    seed: Seed = 0
    """Decides everything random."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU when there is one that ONNX Runtime, or torch, can use."""


DataDir = Annotated[
    Path | None,
    Parameter(
        name="--data-dir",
        help="Where the data sets lie or are downloaded to; if not given, where PIXELWISE_DATA says, or else "
        "in the user's cache.",
    ),
]
OUT = Parameter(name=["--out", "-o"])
Weights = Annotated[
    Path | None, Parameter(help="The backbone's weights, where they are neither installed nor downloaded.")
]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of a verb: values for --json, a message otherwise, and how many inputs failed."""

    values: dict[str, Any] = field(default_factory=dict)
    message: str = ""
    num_failed: int = 0


def say(message: str, *, quiet: bool = False) -> None:
    """Print a message on standard error, where progress goes, too; a closed one stops no work."""
    if not quiet:
        with contextlib.suppress(OSError, ValueError):
            print(f"pixelwise: {message}", file=sys.stderr)


def format_interval(score: Interval) -> str:
    """Return a score with the ends of its interval, if it has one, such as `0.967 (0.944 to 0.992)`."""
    if math.isnan(score.low):
        return format_number(score.value)
    return f"{format_number(score.value)} ({format_number(score.low)} to {format_number(score.high)})"


def format_number(value: float) -> str:
    """Return a score to three places, `-` for NaN."""
    return "-" if math.isnan(value) else f"{value:.3f}"


def as_file_name(text: str) -> str:
    """Return a text, such as a source, as part of a file's name that any system takes."""
    return re.sub(r'[<>:"/\\|?*]', "-", text)
