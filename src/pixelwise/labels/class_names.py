"""Names of the K classes of a mask, and the colours that they are drawn in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pixelwise.errors import LabelError, shortened

MAX_CLASSES = 255  # a byte's values, but for 255, the label of pixels without class
BACKGROUND = "background"  # around everything else; drawn black where it is class 0
UNNAMED = (BACKGROUND, "object")  # two classes that nobody named, as in a black and white mask
Colour = tuple[int, int, int]  # sRGB codes, 0 to 255

# Distinct with any colour vision, beside black. Source: Okabe and Ito 2008, Color Universal Design.
_DISTINCT: tuple[Colour, ...] = (
    *((86, 180, 233), (230, 159, 0), (0, 158, 115), (240, 228, 66)),
    *((0, 114, 178), (213, 94, 0), (204, 121, 167)),
)


@dataclass(frozen=True)
class ClassNames:
    """Names of 2 to 255 classes, and the sRGB codes to draw them in, all different; else a LabelError."""

    names: tuple[str, ...]
    colours: tuple[Colour, ...] = ()

    def __post_init__(self) -> None:
        num = len(self.names)
        if not 2 <= num <= MAX_CLASSES:
            raise LabelError(f"needed the names of 2 to {MAX_CLASSES} classes, got {num}")
        for name in self.names:
            if not isinstance(name, str) or not name.strip() or not name.isprintable():
                raise LabelError(f"needed a name that can be printed for each class, got {shortened(name)}")
        if not self.colours:
            black = ((0, 0, 0),) if self.names[0] == BACKGROUND else ()
            further = map(voc_colour, range(1, MAX_CLASSES))
            object.__setattr__(self, "colours", (*black, *_DISTINCT, *further)[:num])
        if len(self.colours) != num:
            raise LabelError(f"needed a colour for each of {num} classes, got {len(self.colours)}")
        for colour in self.colours:
            check_colour(colour)
        for items in (self.names, self.colours):
            repeated = [item for place, item in enumerate(items) if item in items[:place]]
            if repeated:
                raise LabelError(f"needed different names and colours, got {shortened(repeated[0])} twice")

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.names)

    def index(self, name: str) -> int:
        """Return the number of the class with this name; LabelError where there is none."""
        if name in self.names:
            return self.names.index(name)
        raise LabelError(f"needed one of the classes {', '.join(self.names)}, got {shortened(name)}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, as `from_dict` takes them."""
        return {"names": list(self.names), "colours": [list(colour) for colour in self.colours]}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> ClassNames:
        """Build class names from the values of `to_dict`, without `colours` perhaps; else LabelError."""
        names = values.get("names") if isinstance(values, Mapping) else None
        if not isinstance(names, Sequence) or isinstance(names, str):
            raise LabelError(f'needed class names, {{"names": ["background", ...]}}, got {shortened(values)}')
        colours = values.get("colours") or ()
        if not isinstance(colours, Sequence):
            raise LabelError(f"needed a list of colours for the classes, got {shortened(colours)}")
        return ClassNames(tuple(names), tuple(check_colour(colour) for colour in colours))


def check_colour(colour: object) -> Colour:
    """Return the colour as a tuple; LabelError if it is not three sRGB codes."""
    codes = tuple(colour) if isinstance(colour, Sequence) else ()
    if len(codes) != 3 or any(type(code) is not int or not 0 <= code <= 255 for code in codes):
        raise LabelError(f"needed a colour of three whole numbers from 0 to 255, got {shortened(colour)}")
    return codes


def voc_colour(number: int) -> Colour:
    """Return a colour of PASCAL VOC's masks; its last, 255, is that of pixels without class.

    Bits go to red, green and blue in turn. Source: PASCAL VOC's development kit, VOClabelcolormap.
    """
    bits = [number >> place & 1 for place in range(9)]
    red, green, blue = (sum(bit << 7 - place for place, bit in enumerate(bits[axis::3])) for axis in range(3))
    return red, green, blue


FLOWER = ClassNames((BACKGROUND, "flower"))  # of Oxford's 17 flowers, when only the flower counts
