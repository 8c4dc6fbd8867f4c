"""Limits of a service."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field

from pixelwise.errors import ConfigError


def _usual_workers() -> int:
    """Return two for each processor: while one waits for a disk or for its turn, the other computes."""
    return 2 * (os.cpu_count() or 1)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of a service; what is beyond is refused, with the reason.

    Raises:
        ConfigError: a limit that nothing keeps.
    """

    max_megabytes: float = 100.0  # of a request's body
    max_megapixels: float = 100.0  # of a photo; known from its header, before it is decoded
    seconds: float = 60.0  # for a photo to arrive, and again for the answer, from then on
    queue: int = 32  # requests that may wait while all workers are busy
    workers: int = field(default_factory=_usual_workers)  # photos that are worked on at once

    def __post_init__(self) -> None:
        for name in ("max_megabytes", "max_megapixels", "seconds"):
            if not 0 < getattr(self, name) < math.inf:  # NaN is not, either
                raise ConfigError(
                    f"{name.replace('_', '-')} needs to be above 0 and finite, got {getattr(self, name):g}"
                )
        if self.queue < 0 or self.workers < 1:
            raise ConfigError(
                "needed a queue of 0 or more requests and 1 worker or more, "
                f"got {self.queue} and {self.workers}"
            )

    @property
    def max_bytes(self) -> int:
        """The most bytes of a request's body."""
        return int(self.max_megabytes * 1e6)
