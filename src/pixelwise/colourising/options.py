"""Options of colouring, and the hints and areas among them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pixelwise.errors import ConfigError
from pixelwise.network.config import MAX_MEGAPIXELS

MOST_HINTS = 200
BOUNDS = {  # least and most of an option
    "temperature": (0.01, 100.0),  # beyond these two ranges nothing more is to be seen
    "saturation": (0.0, 10.0),
    "reference-strength": (0.0, 1.0),
    "alternatives": (1, 12),
    "suggest-hints": (0, 100),
}

_HINT = re.compile(r"\s*(\d{1,9})\s*,\s*(\d{1,9})\s*,\s*#?([0-9a-fA-F]{6})\s*")
_BOX = re.compile(r"\s*(\d{1,9})\s*,\s*(\d{1,9})\s*,\s*(\d{1,9})\s*,\s*(\d{1,9})\s*")


@dataclass(frozen=True)
class Hint:
    """The colour of one pixel, counted from 0 in the photo as it is displayed."""

    row: int
    column: int
    colour: str  # #rrggbb; its hue and chroma count, lightness is the photo's own

    def __post_init__(self) -> None:
        _matched(_HINT, str(self), "a hint as row,column,#rrggbb, such as 120,80,#7a4b2c")

    def __str__(self) -> str:  # as `parse` reads it
        return f"{self.row},{self.column},{self.colour}"

    @staticmethod
    def parse(text: str) -> Hint:
        """Parse "row,column,#rrggbb"; ConfigError where it is something else."""
        row, column, colour = _matched(_HINT, text, "a hint as row,column,#rrggbb, such as 120,80,#7a4b2c")
        return Hint(int(row), int(column), f"#{colour.lower()}")

    def cell(self, size: tuple[int, int], map_size: tuple[int, ...]) -> tuple[int, int]:
        """Return row and column of its cell on a map of a photo of `size`."""
        return self.row * map_size[0] // size[0], self.column * map_size[1] // size[1]


@dataclass(frozen=True)
class Box:
    """A rectangle of a photo as it is displayed, in its own pixels; `bottom` and `right` are outside."""

    top: int
    left: int
    bottom: int
    right: int

    def __post_init__(self) -> None:
        if not (0 <= self.top < self.bottom and 0 <= self.left < self.right):
            needed = "a box as top,left,bottom,right, bottom and right the larger ones"
            raise ConfigError(f"needed {needed}, got {self}")

    def __str__(self) -> str:  # as `parse_area` reads it
        return f"{self.top},{self.left},{self.bottom},{self.right}"

    def holds(self, hint: Hint) -> bool:
        """Return whether a hint's pixel is in it."""
        return self.top <= hint.row < self.bottom and self.left <= hint.column < self.right


Area = Literal["paper", "likely"] | Box


def parse_area(text: str) -> Area:
    """Parse "paper", "likely" or "top,left,bottom,right"; ConfigError where it is something else."""
    named: dict[str, Area] = {"paper": "paper", "likely": "likely"}
    if text in named:
        return named[text]
    needed = "paper, likely or a box as top,left,bottom,right to keep grey"
    return Box(*map(int, _matched(_BOX, text, needed)))


def _matched(pattern: re.Pattern[str], text: str, needed: str) -> tuple[str, ...]:
    match = pattern.fullmatch(text)
    if match is None:
        raise ConfigError(f"needed {needed}, got {text}")
    return match.groups()


@dataclass(frozen=True, kw_only=True)
class ColouriseOptions:
    """Options of one colouring job; ConfigError where one is out of range or two hints are of one pixel."""

    temperature: float = 1.0
    """Below 1 bolder colours, above 1 duller ones; 0.01 to 100."""
    saturation: float = 1.0
    """Factor on the colours' strength, 0 to 10; 0 is grey."""
    hints: tuple[Hint, ...] = ()  # known colours of pixels
    reference: Path | None = None
    """A photo in colour whose colours are followed: each as often as there, where it is likeliest here."""
    reference_strength: float = 0.5
    """Strength of that: 0 not at all, 1 until each colour has the share that it has there."""
    alternatives: int = 1
    """Write this many copies, NAME.1, NAME.2 and so on, each coloured another way; the first is the usual
    one. Only what the network is unsure of differs."""
    keep_grey: tuple[Area, ...] = ()  # areas that stay as they are
    confidence: bool = False
    """Beside each photo write NAME.confidence.png: white where one colour is certain, black where all are
    equally likely; the surer, the lighter."""
    num_hints: int = 0  # number of points to name whose true colours would help most
    provenance: bool = True
    """Let each copy say, in its XMP, that its colours are guessed, by which model and settings; without it
    metadata is the photo's alone."""
    max_megapixels: float = MAX_MEGAPIXELS
    """Refuse larger photos."""

    def __post_init__(self) -> None:
        values = {"reference-strength": self.reference_strength, "suggest-hints": self.num_hints}
        for name, (low, high) in BOUNDS.items():
            value = values[name] if name in values else getattr(self, name)
            if not low <= value <= high:  # NaN is not, either
                raise ConfigError(f"{name} needs to be from {low:g} to {high:g}, got {value:g}")
        if not self.max_megapixels > 0:
            raise ConfigError(f"max-megapixels needs to be above 0, got {self.max_megapixels:g}")
        if len(self.hints) > MOST_HINTS:
            raise ConfigError(f"needed at most {MOST_HINTS} hints, got {len(self.hints)}")
        seen: dict[tuple[int, int], Hint] = {}
        for hint in self.hints:
            other = seen.setdefault((hint.row, hint.column), hint)
            if other is not hint:
                raise ConfigError(
                    f"needed one hint for each pixel, got {other.colour} and {hint.colour} at "
                    f"{hint.row},{hint.column}; leave one of them out"
                )

    @staticmethod
    def parse(
        *, hints: Iterable[str | Hint] = (), keep_grey: Iterable[str] = (), **others: Any
    ) -> ColouriseOptions:
        """Build options from hints and areas as users write them, and other fields as they are."""
        hints = [hints] if isinstance(hints, str) else hints
        parsed = tuple(hint if isinstance(hint, Hint) else Hint.parse(hint) for hint in hints)
        return ColouriseOptions(hints=parsed, keep_grey=tuple(map(parse_area, keep_grey)), **others)

    def colour_settings(self) -> dict[str, object]:
        """Return the options that decide colours as plain values; a reference by its file's name alone."""
        settings: dict[str, object] = {"temperature": self.temperature, "saturation": self.saturation}
        if self.hints:
            settings["hints"] = [str(hint) for hint in self.hints]
        if self.reference:
            settings["reference"] = self.reference.name
            settings["reference_strength"] = self.reference_strength
        if self.alternatives > 1:
            settings["alternatives"] = self.alternatives
        if self.keep_grey:
            settings["keep_grey"] = [str(area) for area in self.keep_grey]
        return settings
