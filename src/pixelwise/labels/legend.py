"""Legends: the class that each number or colour of a mask means.

`classes.json` beside the masks is one of

    {"names": ["a", "b"]}                                 numbers 0, 1, ...; 255 is a pixel without class
    {"names": ["a", "b"], "colours": [[0, 0, 0], ...]}    numbers or colours
    {"a": 0, "b": 255}                                    other numbers, in their order
    {"a": [0, 0, 0], "b": [230, 159, 0]}                  colours, in the order that they are written in

and in all of them "ignore" may be a number or a colour that means no class. Without such a file masks of 0
and 255 alone have something on a background, and others have as many classes as they count; those in the
colours of Oxford's trimaps, whose 0 means no class, are refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pixelwise.colour.palette import IGNORE
from pixelwise.errors import LabelError, listed, shortened
from pixelwise.labels.class_names import (
    BACKGROUND,
    FLOWER,
    MAX_CLASSES,
    UNNAMED,
    ClassNames,
    Colour,
    check_colour,
    voc_colour,
)
from pixelwise.labels.json_file import read_json

LEGEND_FILE = "classes.json"
SHADES_FROM = 64  # brighter greys are numbers of classes only where all numbers below them occur
_MOST_SHADES = 30  # that somebody may have chosen; more are soft edges

_WHITE = 255
_BLACK_AND_WHITE = {0: 0, _WHITE: 1}
_NUM_NAMED = 8  # colours, in an example

Kind = Literal["palette", "grey", "colour"]


@dataclass(frozen=True)
class Values:
    """The different values that one mask holds."""

    path: Path
    kind: Kind
    colours: dict[int, Colour]  # that each code, a stored number or a place in a list, is displayed in
    counts: dict[int, int]  # number of pixels of each code
    palette_size: int = 0  # colours in its palette up to the last that is not black; 0 where it has none

    @property
    def may_be_trimap(self) -> bool:
        """Whether it has the palette of Oxford's trimaps, VOC's first five colours and no more."""
        is_voc = all(voc_colour(code) == colour for code, colour in self.colours.items())
        return is_voc and self.palette_size == len(OXFORD.numbers)


@dataclass(frozen=True)
class Legend:
    """The class, or IGNORE, of each number and colour.

    Colours come first: a picture all of whose colours are known is read by them, whatever its numbers are.
    """

    classes: ClassNames
    numbers: Mapping[int, int] = field(default_factory=dict)
    colours: Mapping[Colour, int] = field(default_factory=dict)
    ignores_white: bool = False  # its writer said that 255 means no class, which else is only the custom

    @property
    def is_plain_pair(self) -> bool:
        """Whether it names two classes and no more, so that 0 and 1 may stand for them, or 0 and 255."""
        return not (self.colours or self.ignores_white) and dict(self.numbers) == _identity(2)

    def table(self, values: Values) -> dict[int, int]:
        """Return the label of each code; LabelError where a value is not in the legend."""
        known = {code: self.colours[one] for code, one in values.colours.items() if one in self.colours}
        if values.kind == "palette":  # whose last number is void by custom, in whatever colour
            known = {IGNORE: IGNORE} | known
        by_colour = values.kind == "colour" or not self.numbers
        if not (by_colour or (self.colours and known.keys() >= values.colours.keys())):
            known = {code: self.numbers[code] for code in values.counts if code in self.numbers}
        unknown = [code for code in values.counts if code not in known]
        if not unknown:
            return known
        if by_colour:
            got = listed([list(values.colours[code]) for code in unknown])
            colours = listed([list(colour) for colour in self.colours])
            needed = f"the colours {colours}" if self.colours else "numbers of classes, no colours"
        else:
            got = listed(unknown)
            needed = f"the values {listed(sorted(self.numbers))}"
        num_pixels = sum(values.counts[code] for code in unknown)
        raise LabelError(f"{values.path}: needed {needed}, got {got} in {num_pixels} pixels")


# Trimaps of Oxford's 17 flowers. Source: the data set's own page.
OXFORD = Legend(ClassNames(("flower", "leaf", BACKGROUND, "sky")), {0: IGNORE, 1: 0, 2: 1, 3: 2, 4: 3})
OXFORD_FLOWER = Legend(FLOWER, {0: IGNORE, 1: 1, 2: 0, 3: 0, 4: 0})


def read_legend(path: Path) -> Legend:
    """Read a `classes.json`; DataError where it cannot be read, LabelError where it is no legend."""
    try:
        return parse_legend(read_json(path))
    except LabelError as error:
        raise LabelError(f"{path}: {error}") from error


def parse_legend(values: Any) -> Legend:
    """Build a legend from the values of a `classes.json`; LabelError where they are none."""
    if not isinstance(values, Mapping):
        needed = f'{{"names": ["{BACKGROUND}", "flower"]}}'
        raise LabelError(f"needed a legend such as {needed}, got {shortened(values)}")
    named = {name: value for name, value in values.items() if name != "ignore"}
    if "names" in values:
        if further := set(named) - {"names", "colours"}:
            raise LabelError(f"needed names, colours and ignore, got {listed(sorted(further))} as well")
        classes = ClassNames.from_dict(values)
        colours = classes.colours if values.get("colours") else ()
        legend = Legend(classes, _identity(classes.num_classes), _places(colours))
    elif all(type(value) is int for value in named.values()):
        ordered = sorted(named, key=named.__getitem__)
        numbers = _places(_check_number(named[name]) for name in ordered)
        if len(numbers) < len(named):
            raise LabelError(f"needed a number for each class, got one twice in {shortened(named)}")
        legend = Legend(ClassNames(tuple(ordered)), {IGNORE: IGNORE} | numbers)
    else:
        classes = ClassNames(tuple(named), tuple(check_colour(colour) for colour in named.values()))
        legend = Legend(classes, colours=_places(classes.colours))
    return _with_ignore(legend, values.get("ignore"))


def _places(items: Iterable[Any]) -> dict[Any, int]:
    return {item: place for place, item in enumerate(items)}


def _with_ignore(legend: Legend, ignore: Any) -> Legend:
    if ignore is None:
        return legend
    if type(ignore) is not int:
        colour = check_colour(ignore)
        if colour in legend.colours:
            raise LabelError(f"needed an ignored colour that is no class's, got {list(colour)}")
        return replace(legend, colours={**legend.colours, colour: IGNORE})
    label = legend.numbers.get(_check_number(ignore), IGNORE)
    if label != IGNORE:
        taken = legend.classes.names[label]
        got = f"{ignore}, which is {taken}"
        remedy = f'give each class its number, as in {{"{taken}": 1, ..., "ignore": {ignore}}}'
        raise LabelError(f"needed an ignored number that is no class's, got {got}; {remedy}")
    return replace(legend, numbers={**legend.numbers, ignore: IGNORE}, ignores_white=ignore == _WHITE)


def legend_of(masks: Iterable[Values], given: Legend | None = None) -> Legend:
    """Return the given legend, or the one that the numbers of all masks of a folder imply.

    Where two classes are given by name alone, the masks decide whether 0 and 1 stand for them, or 0 and 255.
    LabelError where masks are in colours, in arbitrary greys or in Oxford's palette, or where some are of 0
    and 255, and others count.
    """
    if given is not None and not given.is_plain_pair:
        return given
    seen = list(masks)
    _refuse_mixture(seen)
    codes = {code for mask in seen for code in mask.counts}
    greys = {code for mask in seen if mask.kind == "grey" for code in mask.counts}
    if given is not None:
        return replace(given, numbers=_BLACK_AND_WHITE) if _WHITE in greys and 1 not in codes else given
    if coloured := next((mask for mask in seen if mask.kind == "colour"), None):
        raise LabelError(_no_legend_text(coloured))
    if codes <= {0, _WHITE} and _WHITE in greys:
        return Legend(ClassNames(UNNAMED), _BLACK_AND_WHITE)
    if trimap := next((mask for mask in seen if mask.may_be_trimap), None):
        raise LabelError(_trimap_text(trimap))
    shades = sorted(greys - {IGNORE})
    if shades and shades[-1] >= SHADES_FROM and len(shades) <= shades[-1]:
        worst = max((mask for mask in seen if mask.kind == "grey"), key=lambda mask: len(mask.counts))
        remedy = f"say what they mean in {LEGEND_FILE}"
        if len(shades) > _MOST_SHADES:
            remedy = "if they are soft edges, draw without anti-aliasing, or resize by nearest neighbour"
        got = f"shades of grey {listed(shades)}; {remedy}"
        raise LabelError(f"{worst.path}: needed class numbers 0, 1, 2, ... or 0 and 255, got {got}")
    num_classes = max(2, max(codes - {IGNORE}, default=0) + 1)
    names = (BACKGROUND, *(f"class {number}" for number in range(1, num_classes)))
    return Legend(ClassNames(names), _identity(num_classes))


def _refuse_mixture(masks: Iterable[Values]) -> None:
    """Refuse grey masks of 0 and 255 beside masks that count, where no mask has 255 beside other numbers."""
    white = counting = None
    for mask in masks:
        others = mask.counts.keys() - _BLACK_AND_WHITE.keys()
        if mask.kind == "grey" and _WHITE in mask.counts:
            if others:
                return
            white = white or mask
        elif mask.kind != "colour" and any(code < SHADES_FROM for code in others):
            counting = counting or mask
    if white and counting:
        number = min(code for code in counting.counts if code)
        raise LabelError(
            f"{white.path}: needed masks all of 0 and {_WHITE}, or all of class numbers, got {_WHITE} here "
            f"and {number} in {counting.path}; draw them all alike, or, if {_WHITE} is no class, say so in "
            f'{LEGEND_FILE}: {{"names": ["{BACKGROUND}", ...], "ignore": {_WHITE}}}'
        )


def _identity(num_classes: int) -> dict[int, int]:
    return {number: number for number in range(num_classes)} | {IGNORE: IGNORE}


def _check_number(value: int) -> int:
    if not 0 <= value <= MAX_CLASSES:
        raise LabelError(f"needed a number from 0 to {MAX_CLASSES} for a class, got {value}")
    return value


def _no_legend_text(mask: Values) -> str:
    found = sorted(mask.colours.values(), key=lambda colour: colour != (0, 0, 0))
    named = ", ".join(f'"name {number}": {list(colour)}' for number, colour in enumerate(found[:_NUM_NAMED]))
    more = ", ..." if len(found) > _NUM_NAMED else ""
    return (
        f"{mask.path}: needed to know what the colours of the masks mean; "
        f"write {LEGEND_FILE} such as {{{named}{more}}}, with names of your own"
    )


def _trimap_text(mask: Values) -> str:
    numbers = {name: number for number, name in enumerate(OXFORD.classes.names, 1)} | {"ignore": 0}
    return (
        f"{mask.path}: needed to know what 0 means, got the palette of Oxford's trimaps, where it means no "
        f"class; if they are trimaps, write {LEGEND_FILE}: {json.dumps(numbers)}, if 0 is the background, "
        f'{{"names": ["{BACKGROUND}", ...]}}'
    )
