"""Options that every verb takes, and what every verb gives back."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from pixelwise.config import Device, require_seed


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Common:
    """Options that every verb takes."""

    json: Annotated[bool, Parameter(negative="")] = False
    """Print one JSON object as the last line of standard output and nothing else on it."""
    quiet: Annotated[bool, Parameter(negative="")] = False
    """Show no progress and no remarks, only results and failures."""
    seed: Annotated[int, Parameter()] = 0
    """Decides everything random."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU when there is one."""

    def __post_init__(self) -> None:
        require_seed(self.seed)


DataDir = Annotated[Path | None, Parameter(name="--data-dir")]
"""Where the data sets lie or are downloaded to; if not given, `pixelwise.data.sources` decides."""

Weights = Annotated[
    Path | None,
    Parameter(help="The backbone's weights, where they are neither installed nor downloaded."),
]
"""A file; what is in it the backbone decides."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a verb did: the values for --json, the sentence otherwise, and how many inputs failed."""

    values: dict[str, Any] = field(default_factory=dict)
    message: str = ""
    num_failed: int = 0


def say(message: str, *, quiet: bool = False, always: bool = False) -> None:
    """Tell the user on standard error, where progress goes too."""
    if always or not quiet:
        print(f"pixelwise: {message}", file=sys.stderr)
