"""Options of colouring: what is said about photos' colours, and how they are made from what a network says.

Nothing heavy is imported: the command line shows these options.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pixelwise.config import MAX_MEGAPIXELS, require_megapixels
from pixelwise.errors import ConfigError

MOST_ALTERNATIVES = 12
MOST_HINTS = 200
_MOST_NEXT_HINTS = 100
BOUNDS = {"temperature": (0.01, 100.0), "saturation": (0.0, 10.0)}
"""Least and most of an option; beyond, nothing more is to be seen."""
_HINT = re.compile(r"\s*(\d{1,9})\s*,\s*(\d{1,9})\s*,\s*#?([0-9a-fA-F]{6})\s*")
_BOX = re.compile(r"\s*(\d{1,9})\s*,\s*(\d{1,9})\s*,\s*(\d{1,9})\s*,\s*(\d{1,9})\s*")


@dataclass(frozen=True)
class Hint:
    """The colour of one pixel.

    Raises:
        ConfigError: it is no such colour, or row and column are below 0.
    """

    row: int
    """From the top of the photo as it is displayed, in its own pixels; the first is 0."""
    column: int
    """From its left."""
    colour: str
    """#rrggbb; its hue and chroma count, lightness is the photo's own."""

    def __post_init__(self) -> None:
        if _HINT.fullmatch(self.text) is None:
            raise _no_hint(self.text)

    @property
    def text(self) -> str:
        """The hint as `parse` reads it."""
        return f"{self.row},{self.column},{self.colour}"

    @staticmethod
    def parse(text: str) -> Hint:
        """Return the hint that "row,column,#rrggbb" means.

        Raises:
            ConfigError: it means none.
        """
        match = _HINT.fullmatch(text)
        if match is None:
            raise _no_hint(text)
        return Hint(int(match[1]), int(match[2]), f"#{match[3].lower()}")

    def cell(self, size: tuple[int, int], map_size: tuple[int, int]) -> tuple[int, int]:
        """Return row and column of the cell of a map in which it lies, where the photo has `size`."""
        return self.row * map_size[0] // size[0], self.column * map_size[1] // size[1]


def _no_hint(text: str) -> ConfigError:
    return ConfigError(f"needed a hint as row,column,#rrggbb, such as 120,80,#7a4b2c, got {text}")


def require_one_each(hints: Sequence[Hint]) -> None:
    """Refuse two hints of one pixel.

    Raises:
        ConfigError: there are such.
    """
    seen: dict[tuple[int, int], Hint] = {}
    for hint in hints:
        other = seen.setdefault((hint.row, hint.column), hint)
        if other is not hint:
            raise ConfigError(
                f"needed one hint for each pixel, got {other.colour} and {hint.colour} at "
                f"{hint.row},{hint.column}; leave one of them out"
            )


@dataclass(frozen=True)
class Box:
    """A rectangle of a photo as it is displayed, in its own pixels.

    Raises:
        ConfigError: there is nothing in it.
    """

    top: int
    """First row."""
    left: int
    """First column."""
    bottom: int
    """Row after the last."""
    right: int
    """Column after the last."""

    @property
    def text(self) -> str:
        """The box as `parse_area` reads it."""
        return f"{self.top},{self.left},{self.bottom},{self.right}"

    def __post_init__(self) -> None:
        if not (0 <= self.top < self.bottom and 0 <= self.left < self.right):
            raise ConfigError(
                "needed a box as top,left,bottom,right, bottom and right the larger ones, got "
                f"{self.top},{self.left},{self.bottom},{self.right}"
            )

    def holds(self, hint: Hint) -> bool:
        """Return whether the hint's pixel is one of its own."""
        return self.top <= hint.row < self.bottom and self.left <= hint.column < self.right


Area = Literal["paper", "likely"] | Box


def parse_area(text: str) -> Area:
    """Return the area that "paper", "likely" or "top,left,bottom,right" means.

    Raises:
        ConfigError: it means none of them.
    """
    named: dict[str, Area] = {"paper": "paper", "likely": "likely"}
    if text in named:
        return named[text]
    match = _BOX.fullmatch(text)
    if match is None:
        raise ConfigError(f"needed paper, likely or a box as top,left,bottom,right to keep grey, got {text}")
    return Box(*map(int, match.groups()))


@dataclass(frozen=True, kw_only=True)
class Control:
    """What is said about photos' colours, beside what a network says.

    Raises:
        ConfigError: a value is out of range.
    """

    hints: tuple[Hint, ...] = ()
    """Colours of pixels."""
    reference: Path | None = None
    """A photo in colour whose colours are followed: each as often as there, where it is likeliest here."""
    reference_strength: float = 0.5
    """How far they are: 0 not at all, 1 until each colour has the share that it has there."""
    alternatives: int = 1
    """Write this many copies, NAME.1, NAME.2 and so on, each coloured another way; the first is the usual
    one. Only what the network is unsure of differs."""
    keep_grey: tuple[Area, ...] = ()
    """What stays as it is."""

    def to_dict(self) -> dict[str, object]:
        """Return plain values of what was asked, by option; a reference by its name, wherever it lies."""
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


@dataclass(frozen=True, kw_only=True)
class DecodeOptions:
    """How a network's probabilities become colours, and what a copy says of them.

    Raises:
        ConfigError: a value is out of range.
    """

    temperature: float = 1.0
    """Below 1 bolder colours, above 1 duller ones; 0.01 to 100."""
    saturation: float = 1.0
    """Factor on the colours' strength, 0 to 10; 0 is grey."""
    provenance: bool = True
    """Let each copy say, in its XMP, that its colours are guessed, by which model and settings; without it
    metadata is the photo's alone."""

    def __post_init__(self) -> None:
        for name, (low, high) in BOUNDS.items():
            if not low <= getattr(self, name) <= high:  # NaN is not, either
                raise ConfigError(f"{name} needs to be from {low:g} to {high:g}, got {getattr(self, name):g}")


@dataclass(frozen=True, kw_only=True)
class ColouriseOptions(DecodeOptions, Control):
    """Options of one colouring job.

    Raises:
        ConfigError: a value is out of range.
    """

    confidence: bool = False
    """Beside each photo write NAME.confidence.png: white where one colour is certain, black where all are
    equally likely; the surer, the lighter."""
    top_k: int = 0
    """Beside each photo write NAME.top.safetensors: each pixel's K likeliest colours and their
    probabilities."""
    num_hints: int = 0
    """How many points to name whose true colours would help most."""
    max_megapixels: float = MAX_MEGAPIXELS
    """Refuse larger photos."""

    def __post_init__(self) -> None:
        DecodeOptions.__post_init__(self)
        Control.__post_init__(self)
        if not 0 <= self.num_hints <= _MOST_NEXT_HINTS:
            raise ConfigError(f"suggest-hints needs to be from 0 to {_MOST_NEXT_HINTS}, got {self.num_hints}")
        require_megapixels(self.max_megapixels)

    def of_colours(self) -> dict[str, object]:
        """Return the options that decide colours, by name, as plain values."""
        return {"temperature": self.temperature, "saturation": self.saturation} | self.to_dict()
