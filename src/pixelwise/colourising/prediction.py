"""A network's prediction for one photo, and how people's knowledge changes it; the network runs once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy import ndarray

from pixelwise.colour.arrays import Float, Float32
from pixelwise.colour.palette import Palette, softmax
from pixelwise.colourising.alternatives import alternatives
from pixelwise.colourising.keep_grey import grey_areas, likely_grey
from pixelwise.colourising.known import KnownChroma, known_from_hints, light_at
from pixelwise.colourising.next_hint import NextHint, entropy_of, suggest_hints
from pixelwise.colourising.options import Area, ColouriseOptions, Hint
from pixelwise.colourising.reference import Reference, follow
from pixelwise.network.model import Model
from pixelwise.photos.crop_view import reading_size
from pixelwise.photos.photo import Photo
from pixelwise.photos.tone import has_own_colours

_MIN_PROBABILITY = 1e-9

LogitsFn = Callable[[Float32[ndarray, "N 1 H W"]], Float32[ndarray, "N K h w"]]
"""A network, run on grey pictures of one size."""


@dataclass(frozen=True)
class Prediction:
    """A network's prediction for one photo, rows and columns as the photo's file has them."""

    logits: Float[ndarray, "K h w"]
    palette: Palette
    in_colour: bool = False  # whether the photo had colours of its own, which no network sees
    known: KnownChroma | None = None
    net_saturation: float = 1.0  # factor on the guessed chroma, from the network's configuration

    def chroma(self, temperature: float = 1.0, saturation: float = 1.0) -> Float[ndarray, "2 H W"]:
        """Return Lab a and b at the network's size, or at that of known chroma if it is larger.

        Temperature and saturation change what is guessed, and leave alone what is known.
        """
        guessed = self.palette.chroma(self.logits[None], temperature)[0]
        guessed *= np.float32(self.net_saturation * saturation)
        if self.known is None:
            return guessed
        return self.known.over(KnownChroma(np.ones_like(guessed[0]), guessed)).chroma

    def probs(self) -> Float[ndarray, "K h w"]:
        """Return the classes' probabilities at the network's size; where chroma is known, of the nearest."""
        probs = softmax(self.logits)
        return probs if self.known is None else self.known.over_probs(probs, self.palette)

    def confidence(self) -> Float[ndarray, "h w"]:
        """Return 1 minus the entropy over the greatest there is: 1 for one certain class, 0 for even ones."""
        probs = self.probs()
        return (1 - entropy_of(probs) / math.log(max(2, len(probs)))).clip(0, 1)

    def with_hints(self, photo: Photo, hints: Sequence[Hint]) -> Prediction:
        """Return the prediction with known colours of some pixels; PhotoError where one is outside."""
        return replace(self, known=known_from_hints(photo, hints).over(self.known)) if hints else self

    def with_grey(self, photo: Photo, areas: Sequence[Area], hints: Sequence[Hint] = ()) -> Prediction:
        """Return the prediction with parts known to be grey, or of the colour of hints that lie in them.

        PhotoError where a box lies outside the photo.
        """
        if not areas:
            return self
        known = grey_areas(photo, areas, hints).over(self.known)
        if "likely" in areas:
            known = known.over(likely_grey(photo, self.logits, self.palette))
        return replace(self, known=known)

    def following(self, photo: Photo, reference: Reference, strength: float = 1.0) -> Prediction:
        """Return the prediction with a reference's colours, as frequent as there, where likeliest."""
        light = light_at(photo, *self.logits.shape[1:])
        return replace(self, logits=follow(self.logits, light, reference, strength))

    def next_hints(self, photo: Photo, num: int) -> list[NextHint]:
        """Return the `num` points of a photo whose true colours would settle most, the best first."""
        light = photo.upright(light_at(photo, *self.logits.shape[1:]))
        logits = self.logits if self.known is None else np.log(self.probs().clip(_MIN_PROBABILITY))
        return suggest_hints(photo.upright(logits), light, self.palette, photo.upright_size, num)

    def alternatives(self, num: int) -> list[Prediction]:
        """Return the prediction and others, each as coherent, that differ from each other; `num` in all."""
        return [replace(self, logits=logits) for logits in alternatives(self.logits, self.palette, num)]


def predict(photo: Photo, model: Model, logits_fn: LogitsFn | None = None) -> Prediction:
    """Predict the colours of a photo, seen upright and at the network's size; PhotoError if it is damaged.

    `logits_fn` runs the network, perhaps on other photos along with this one; `model.logits` if not given.
    """
    small = photo.thumbnail(*reading_size(photo.height, photo.width, model.size, model.stride))
    grey = model.palette.read_grey(photo.upright(small)[None])
    (logits,) = (logits_fn or model.logits)(grey)
    in_colour = has_own_colours(small)
    return Prediction(photo.as_stored(logits), model.palette, in_colour, net_saturation=model.saturation)


def apply_options(
    photo: Photo, prediction: Prediction, options: ColouriseOptions, reference: Reference | None = None
) -> list[Prediction]:
    """Apply what the user knows and wants: one prediction for each alternative, the usual first.

    `reference` is that of `options`. PhotoError where a hint or a box lies outside the photo.
    """
    if reference is not None:
        prediction = prediction.following(photo, reference, options.reference_strength)
    versions = prediction.with_hints(photo, options.hints).alternatives(options.alternatives)
    return [version.with_grey(photo, options.keep_grey, options.hints) for version in versions]
