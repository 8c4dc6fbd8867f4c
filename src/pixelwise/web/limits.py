"""Limits of the service, which are options of the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pixelwise.network.config import Checked, Needs, NonNegativeInt, Positive


@dataclass(frozen=True, kw_only=True)
class Limits(Checked):
    """Limits of the service."""

    max_megabytes: Positive = 100.0
    """Refuse larger requests."""
    max_megapixels: Positive = 100.0
    """Refuse larger photos."""
    seconds: Positive = 60.0
    """Seconds that a photo may take to arrive, and as many again for its answer."""
    queue: NonNegativeInt = 32
    """Requests that may wait while all workers are busy; further ones are refused for now."""
    workers: Annotated[int | None, Needs("at least 1", lambda value: value >= 1)] = None
    """Photos that are worked on at once; two for each processor if not given."""

    @property
    def max_bytes(self) -> int:
        """The most bytes of a request's body."""
        return int(self.max_megabytes * 1e6)
