"""All that may be said about photos' colours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pixelwise.control.hints import Hint, require_one_each
from pixelwise.control.keep_grey import Area
from pixelwise.errors import ConfigError

MOST_ALTERNATIVES = 12
MOST_HINTS = 200


@dataclass(frozen=True, kw_only=True)
class Control:
    """What is asked of photos' colours, beside what a network says.

    Raises:
        ConfigError: a value is out of range.
    """

    hints: tuple[Hint, ...] = ()
    """Colours of pixels."""
    reference: Path | None = None
    """A photo whose colours are followed."""
    reference_strength: float = 0.5
    """How far: 0 not at all, 1 until each colour has the share that it has there."""
    alternatives: int = 1
    """How many copies, each coloured another way."""
    keep_grey: tuple[Area, ...] = ()
    """What stays as it is."""

    def to_dict(self) -> dict[str, object]:
        """Plain values of what was asked, by option; a reference by its name, wherever it lies."""
        asked: dict[str, object] = {}
        if self.hints:
            asked["hints"] = [hint.text for hint in self.hints]
        if self.reference:
            asked |= {"reference": self.reference.name, "reference_strength": self.reference_strength}
        if self.alternatives > 1:
            asked["alternatives"] = self.alternatives
        if self.keep_grey:
            asked["keep_grey"] = [one if isinstance(one, str) else one.text for one in self.keep_grey]
        return asked

    def __post_init__(self) -> None:
        if not 0 <= self.reference_strength <= 1:
            raise ConfigError(f"reference-strength needs to be from 0 to 1, got {self.reference_strength:g}")
        if not 1 <= self.alternatives <= MOST_ALTERNATIVES:
            raise ConfigError(
                f"alternatives needs to be from 1 to {MOST_ALTERNATIVES}, got {self.alternatives}"
            )
        if len(self.hints) > MOST_HINTS:
            raise ConfigError(f"needed at most {MOST_HINTS} hints, got {len(self.hints)}")
        require_one_each(self.hints)
