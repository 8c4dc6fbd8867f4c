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
from pixelwise.colourising.reference import Reference, follow, follow_chroma
from pixelwise.errors import ConfigError, PhotoError, listed
from pixelwise.network.model import Colouriser, Model
from pixelwise.photos.crop_view import reading_size
from pixelwise.photos.photo import Photo
from pixelwise.photos.resize import resize
from pixelwise.photos.tone import has_own_colours

_MIN_PROBABILITY = 1e-9

Forward = Callable[[Float32[ndarray, "N 1 H W"]], Float32[ndarray, "N C h w"]]
"""A colouriser, run on grey pictures of one size."""


@dataclass(frozen=True)
class Prediction:
    """A network's answer to one photo, rows and columns as the photo's file has them, and what is known.

    Without classes it has chroma alone: the methods that need classes raise a ConfigError.
    """

    answer: Float[ndarray, "C h w"]  # logits of the classes; Lab a and b of a network without
    palette: Palette | None = None  # of the classes, if there are any
    net_saturation: float = 1.0  # factor on the guessed chroma, from the network's configuration
    in_colour: bool = False  # whether the photo had colours of its own, which no network sees
    known: KnownChroma | None = None

    def chroma(self, temperature: float = 1.0, saturation: float = 1.0) -> Float[ndarray, "2 H W"]:
        """Return Lab a and b at the network's size, or at that of known chroma if it is larger.

        Temperature and saturation change what is guessed, and leave alone what is known.
        """
        guessed = self.answer
        if temperature != 1 or self.palette is not None:
            guessed = self.require_classes("temperature").chroma(guessed[None], temperature)[0]
        guessed = guessed * np.float32(self.net_saturation * saturation)
        if self.known is None:
            return guessed
        return self.known.over(KnownChroma(np.ones_like(guessed[0]), guessed)).chroma

    def require_classes(self, needed_by: str) -> Palette:
        """Return the classes' palette; ConfigError that names what needs it where there is none."""
        if self.palette is None:
            raise _without_classes(needed_by)
        return self.palette

    def probs(self) -> Float[ndarray, "K h w"]:
        """Return the classes' probabilities at the network's size; where chroma is known, of the nearest."""
        palette, probs = self.require_classes("probs"), softmax(self.answer)
        if self.known is None:
            return probs
        size = probs.shape[1:]
        known = palette.soft_probs(resize(self.known.chroma, size))
        return probs + resize(self.known.share, size) * (known - probs)

    def confidence(self) -> Float[ndarray, "h w"]:
        """Return 1 minus the entropy over the greatest there is: 1 for one certain class, 0 for even ones."""
        self.require_classes("confidence")
        probs = self.probs()
        return (1 - entropy_of(probs) / math.log(max(2, len(probs)))).clip(0, 1)

    def next_hints(self, photo: Photo, num: int) -> list[NextHint]:
        """Return the `num` points of a photo whose true colours would settle most, the best first."""
        palette = self.require_classes("next_hints")
        light = photo.upright(light_at(photo, *self.answer.shape[1:]))
        logits = self.answer if self.known is None else np.log(self.probs().clip(_MIN_PROBABILITY))
        return suggest_hints(photo.upright(logits), light, palette, photo.upright_size, num)

    def alternatives(self, num: int) -> list[Prediction]:
        """Return the prediction and others, each as coherent, that differ from each other; `num` in all."""
        palette = self.require_classes("alternatives")
        return [replace(self, answer=logits) for logits in alternatives(self.answer, palette, num)]

    def following(self, photo: Photo, reference: Reference, strength: float = 1.0) -> Prediction:
        """Return the prediction with a reference's colours: classes as frequent as there, where likeliest.

        Without classes a and b are as strong and as spread as there, by lightness.
        """
        light = light_at(photo, *self.answer.shape[1:])
        way = follow_chroma if self.palette is None else follow
        return replace(self, answer=way(self.answer, light, reference, strength))

    def with_hints(self, photo: Photo, hints: Sequence[Hint]) -> Prediction:
        """Return the prediction with known colours of some pixels; PhotoError where one is outside."""
        return replace(self, known=known_from_hints(photo, hints).over(self.known)) if hints else self

    def with_grey(self, photo: Photo, areas: Sequence[Area], hints: Sequence[Hint] = ()) -> Prediction:
        """Return the prediction with parts that are grey, or of the colour of hints, as of `grey_areas`."""
        if not areas:
            return self
        known = grey_areas(photo, areas, hints).over(self.known)
        if "likely" in areas:
            palette = self.require_classes("keep-grey likely")
            known = known.over(likely_grey(photo, self.answer, palette))
        return replace(self, known=known)


def _without_classes(what: str, name: str = "this network") -> ConfigError:
    return ConfigError(f"class probabilities, which {name} does not give, are needed by {what}")


def require_possible(options: ColouriseOptions, model: Colouriser) -> None:
    """Raise a ConfigError if an option needs class probabilities, and the network gives none."""
    needing = {
        "temperature": options.temperature != 1,
        "alternatives": options.alternatives > 1,
        "confidence": options.confidence,
        "suggest-hints": options.num_hints > 0,
        "keep-grey likely": "likely" in options.keep_grey,
    }
    if model.palette is None and any(needing.values()):
        raise _without_classes(listed([name for name, is_asked in needing.items() if is_asked]), model.name)


def predict(photo: Photo, model: Colouriser, forward: Forward | None = None) -> Prediction:
    """Predict the colours of a photo, seen upright and at the network's size; PhotoError if it is damaged.

    `forward` runs the network, perhaps on other photos along with this one; `model` itself if not given.
    """
    size, saturation = (model.size, model.size), 1.0
    if isinstance(model, Model):
        size = reading_size(photo.height, photo.width, model.size, model.stride)
        saturation = model.saturation
    small = photo.thumbnail(*size)
    (answer,) = (forward or model)(model.read_grey(photo.upright(small)[None]))
    if not np.isfinite(answer).all():
        raise PhotoError(f"{photo.path}: {model.name} answers with values that are no numbers; take another")
    return Prediction(photo.as_stored(answer), model.palette, saturation, has_own_colours(small))


def apply_options(
    photo: Photo, prediction: Prediction, options: ColouriseOptions, reference: Reference | None = None
) -> list[Prediction]:
    """Apply what the user knows and wants: one prediction for each alternative, the usual first.

    `reference` is that of `options`. PhotoError where a hint or a box lies outside the photo.
    """
    if reference is not None:
        prediction = prediction.following(photo, reference, options.reference_strength)
    versions = [prediction.with_hints(photo, options.hints)]
    if options.alternatives > 1:
        versions = versions[0].alternatives(options.alternatives)
    return [version.with_grey(photo, options.keep_grey, options.hints) for version in versions]
