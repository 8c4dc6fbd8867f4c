"""A network's prediction for one photo, and how people's knowledge changes it; the network runs once."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar, overload

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
from pixelwise.errors import ConfigError, listed
from pixelwise.network.model import Colouriser, Model
from pixelwise.photos.crop_view import reading_size
from pixelwise.photos.photo import Photo
from pixelwise.photos.tone import has_own_colours

_MIN_PROBABILITY = 1e-9

Forward = Callable[[Float32[ndarray, "N 1 H W"]], Float32[ndarray, "N C h w"]]
"""A colouriser, run on grey pictures of one size."""
G = TypeVar("G", bound="Guess")


@dataclass(frozen=True, kw_only=True)
class Guess(ABC):
    """A network's guess at the colours of one photo, rows and columns as the photo's file has them."""

    in_colour: bool = False  # whether the photo had colours of its own, which no network sees
    known: KnownChroma | None = None

    @abstractmethod
    def _guessed(self, temperature: float, saturation: float) -> Float[ndarray, "2 h w"]:
        """Return `chroma` without what is known."""

    def chroma(self, temperature: float = 1.0, saturation: float = 1.0) -> Float[ndarray, "2 H W"]:
        """Return Lab a and b at the network's size, or at that of known chroma if it is larger.

        Temperature and saturation change what is guessed, and leave alone what is known.
        """
        guessed = self._guessed(temperature, saturation)
        if self.known is None:
            return guessed
        return self.known.over(KnownChroma(np.ones_like(guessed[0]), guessed)).chroma

    def with_hints(self: G, photo: Photo, hints: Sequence[Hint]) -> G:
        """Return the guess with known colours of some pixels; PhotoError where one is outside."""
        return replace(self, known=known_from_hints(photo, hints).over(self.known)) if hints else self

    def with_grey(self: G, photo: Photo, areas: Sequence[Area], hints: Sequence[Hint] = ()) -> G:
        """Return the guess with parts known to be grey, or of the colour of hints that lie in them.

        PhotoError where a box lies outside the photo.
        """
        if not areas:
            return self
        known = grey_areas(photo, areas, hints).over(self.known)
        if "likely" in areas:
            own = self.with_classes("keep-grey likely")
            known = known.over(likely_grey(photo, own.logits, own.palette))
        return replace(self, known=known)

    @abstractmethod
    def following(self: G, photo: Photo, reference: Reference, strength: float = 1.0) -> G:
        """Return the guess with a reference's colours."""

    def with_classes(self, needed_by: str) -> Prediction:
        """Return the guess, which has classes; ConfigError that names what needs them where it has none."""
        if isinstance(self, Prediction):
            return self
        raise _without_classes(needed_by)


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


@dataclass(frozen=True)
class ChromaPrediction(Guess):
    """The a and b of a network that gives nothing else."""

    ab: Float[ndarray, "2 h w"]  # Lab units

    def _guessed(self, temperature: float, saturation: float) -> Float[ndarray, "2 h w"]:
        if temperature != 1:
            raise _without_classes("temperature")
        return self.ab * np.float32(saturation)

    def following(self, photo: Photo, reference: Reference, strength: float = 1.0) -> ChromaPrediction:
        """Return the guess with a reference's colours: as strong and as spread as there, by lightness."""
        light = light_at(photo, *self.ab.shape[1:])
        return replace(self, ab=follow_chroma(self.ab, light, reference, strength))


@dataclass(frozen=True)
class Prediction(Guess):
    """The classes that a network predicts."""

    logits: Float[ndarray, "K h w"]
    palette: Palette
    net_saturation: float = 1.0  # factor on the guessed chroma, from the network's configuration

    def _guessed(self, temperature: float, saturation: float) -> Float[ndarray, "2 h w"]:
        chroma = self.palette.chroma(self.logits[None], temperature)[0]
        return chroma * np.float32(self.net_saturation * saturation)

    def probs(self) -> Float[ndarray, "K h w"]:
        """Return the classes' probabilities at the network's size; where chroma is known, of the nearest."""
        probs = softmax(self.logits)
        return probs if self.known is None else self.known.over_probs(probs, self.palette)

    def confidence(self) -> Float[ndarray, "h w"]:
        """Return 1 minus the entropy over the greatest there is: 1 for one certain class, 0 for even ones."""
        probs = self.probs()
        return (1 - entropy_of(probs) / math.log(max(2, len(probs)))).clip(0, 1)

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


@overload
def predict(photo: Photo, model: Model, forward: Forward | None = None) -> Prediction: ...
@overload
def predict(photo: Photo, model: Colouriser, forward: Forward | None = None) -> Guess: ...
def predict(photo: Photo, model: Colouriser, forward: Forward | None = None) -> Guess:
    """Predict the colours of a photo, seen upright and at the network's size; PhotoError if it is damaged.

    `forward` runs the network, perhaps on other photos along with this one; `model` itself if not given.
    """
    size = (model.size, model.size)
    if isinstance(model, Model):
        size = reading_size(photo.height, photo.width, model.size, model.stride)
    small = photo.thumbnail(*size)
    (answer,) = (forward or model)(model.read_grey(photo.upright(small)[None]))
    stored, in_colour = photo.as_stored(answer), has_own_colours(small)
    if isinstance(model, Model):
        return Prediction(stored, model.palette, model.saturation, in_colour=in_colour)
    return ChromaPrediction(stored, in_colour=in_colour)


def apply_options(
    photo: Photo, prediction: Guess, options: ColouriseOptions, reference: Reference | None = None
) -> list[Guess]:
    """Apply what the user knows and wants: one prediction for each alternative, the usual first.

    `reference` is that of `options`. PhotoError where a hint or a box lies outside the photo.
    """
    if reference is not None:
        prediction = prediction.following(photo, reference, options.reference_strength)
    hinted = prediction.with_hints(photo, options.hints)
    versions: Sequence[Guess] = [hinted]
    if options.alternatives > 1:
        versions = hinted.with_classes("alternatives").alternatives(options.alternatives)
    return [version.with_grey(photo, options.keep_grey, options.hints) for version in versions]
