"""How a colouriser is measured: every choice that moves a figure, in words and as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pixelwise.control.options import ColouriseOptions
from pixelwise.errors import ConfigError

SIZE = 256
"""Short side in pixels at which photos are measured, where none is asked for."""
_SIZES = (16, 2048)


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What is read, what the network is given, how its answer is decoded, and what is compared.

    Raises:
        ConfigError: the size is not from 16 to 2048.
    """

    size: int = SIZE
    """Short side in pixels at which photos are measured; smaller ones as they are."""
    options: ColouriseOptions = field(default=ColouriseOptions())
    """Temperature and saturation: those that photos are coloured with, where none are asked for."""

    def __post_init__(self) -> None:
        low, high = _SIZES
        if not low <= self.size <= high:
            raise ConfigError(f"size needs to be from {low} to {high} pixels, got {self.size}")

    @property
    def steps(self) -> dict[str, str]:
        """Each step in a sentence, by name."""
        decoded = f"temperature {self.options.temperature:g}, saturation {self.options.saturation:g}"
        return {
            "read": (
                f"the photo upright, in sRGB by its profile, the short side shrunk to {self.size} pixels "
                "(bicubic, antialiased; never enlarged), nothing cut off, 8 bit"
            ),
            "given": (
                "to the network: that picture as grey of the same luminance, 8 bit, read as "
                "colourising reads a photo of that size"
            ),
            "decoded": f"the annealed mean of the classes' colours, {decoded}",
            "joined": (
                "chroma enlarged bicubically and joined with the picture's own luminance, what is out of "
                "gamut drawn to grey at equal luminance, written in 8 bit sRGB, as colourising does"
            ),
            "compared": (
                "what was written with the picture, in Lab (D65) and in codes; mean over the pixels of a "
                "photo, then over photos"
            ),
            "classes": (
                "accuracy and cross-entropy at the size of the network's own answer, of logits as they are, "
                "against the class of the mean a and b over each area; ties to the lower class"
            ),
            "conventions": (
                "RMSE of ab is the root of the mean of da^2 + db^2 over all pixels, each photo counting the "
                "same; per axis that over sqrt 2; by photo the mean of photos' own; PSNR of ab is 20 "
                "log10(255 / a photo's RMSE per axis), mean over photos; colourfulness is Hasler and "
                "Suesstrunk's on codes 0 to 255, its ratio that of means to the originals'"
            ),
            "baselines": (
                "grey: no chroma; mean ab: the mean colour of all other photos here; prior: the classes' "
                "shares at each of 32 lightnesses in all other photos here, decoded as the network's answer"
            ),
            "intervals": "low and high: 95 of 100 draws of as many photos (bootstrap)",
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        values = {
            "size": self.size,
            "temperature": self.options.temperature,
            "saturation": self.options.saturation,
        }
        return values | self.steps
