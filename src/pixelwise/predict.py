"""What a network says of a photo, and what becomes of that by what people know: nothing of it runs it again.

A network reads the photo at the size it was trained for. What it says there, the chances of every class, is
kept in a `Prediction`: temperature and saturation, hints, a reference and alternatives are all decided from
there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from pixelwise.confidence.likeliest import Likeliest, likeliest
from pixelwise.confidence.next_hint import NextHint, suggest_hints
from pixelwise.control.alternatives import alternatives
from pixelwise.control.hints import Hint, light_at, tell_hints
from pixelwise.control.keep_grey import Area, grey_areas, likely_grey
from pixelwise.control.options import Control
from pixelwise.control.reference import Reference, follow
from pixelwise.control.told import Told
from pixelwise.labelspace import Palette
from pixelwise.photos.photo import Photo
from pixelwise.photos.tone import has_own_colours
from pixelwise.photos.view import reading_size
from pixelwise.processor import ONE_THREAD
from pixelwise.runs import Model
from pixelwise.shapes import Grey

_NO_CHANCE = 1e-9
_SMALL = 128 * 128  # pixels that a network reads in one thread

Ask = Callable[[Grey], Float[Tensor, "N K h w"]]
"""What gives a network's logits of grey pictures of one size."""


@dataclass(frozen=True)
class Prediction:
    """What a network says of one photo, rows and columns as the photo's file has them."""

    logits: Float[Tensor, "K h w"]
    palette: Palette
    in_colour: bool = False
    """Whether the photo had colours of its own, which no network sees."""
    told: Told | None = None
    """Chroma that is known, and not to be guessed."""
    strength: float = 1.0
    """Factor on the guessed chroma that the network asks for, before any that people do."""

    def chroma(self, temperature: float = 1.0, saturation: float = 1.0) -> Float[Tensor, "2 H W"]:
        """Lab a and b at the network's size, or at that of what was told if it is larger.

        Temperature and saturation change what is guessed, and leave alone what was told.
        """
        guessed = self.palette.chroma(self.logits[None], temperature)[0] * (self.strength * saturation)
        return guessed if self.told is None else self.told.over_guess(guessed)

    def chances(self) -> Float[Tensor, "K h w"]:
        """Chances of the classes at the network's size; where chroma was told, of those nearest to it."""
        chances = self.logits.float().softmax(0)
        return chances if self.told is None else self.told.over_chances(chances, self.palette)

    def known_logits(self) -> Float[Tensor, "K h w"]:
        """Logits whose softmax is `chances`."""
        return self.logits if self.told is None else self.chances().clamp_min(_NO_CHANCE).log()

    def confidence(self) -> Float[Tensor, "h w"]:
        """How sure the colours are: 1 when one class has all the chances, 0 when all classes have the same.

        One minus the entropy of the chances over that of even chances.
        """
        if len(self.logits) == 1:
            return torch.ones_like(self.logits[0])
        return (1 - torch.special.entr(self.chances()).sum(0) / math.log(len(self.logits))).clamp_(0, 1)

    def with_hints(self, photo: Photo, hints: Sequence[Hint]) -> Prediction:
        """As if the colours of some pixels were known; they spread to what is alike and connected.

        Raises:
            ConfigError: two hints are of one pixel.
            PhotoError: a hint lies outside the photo; the file is damaged or cut short.
        """
        return replace(self, told=tell_hints(photo, hints).over(self.told)) if hints else self

    def with_grey(self, photo: Photo, areas: Sequence[Area], hints: Sequence[Hint] = ()) -> Prediction:
        """As if parts of the photo were known to be grey, or of the colour of those hints that lie in them.

        Raises:
            PhotoError: a box lies outside the photo; the file is damaged or cut short.
        """
        return self._kept_grey(photo, grey_areas(photo, areas, hints), "likely" in areas) if areas else self

    def _kept_grey(self, photo: Photo, areas: Told, likely: bool) -> Prediction:
        """With areas laid over what was told; and what is `likely` grey below all that."""
        known = areas.over(self.told)
        if likely:
            known = known.over(likely_grey(photo, self.logits, self.palette))
        return replace(self, told=known)

    def following(self, photo: Photo, reference: Reference, strength: float = 1.0) -> Prediction:
        """With the reference's colours, as often as there, where the network finds them likeliest.

        Raises:
            PhotoError: the file is damaged or cut short.
        """
        light = light_at(photo, *self.logits.shape[1:])
        return replace(self, logits=follow(self.logits, light, reference, strength))

    def next_hints(self, photo: Photo, num: int) -> list[NextHint]:
        """The `num` points of a photo whose true colours would tell most, the best first.

        Raises:
            PhotoError: the file is damaged or cut short.
        """
        stored = light_at(photo, *self.logits.shape[1:]), self.known_logits()
        light, logits = (photo.upright(one) for one in stored)
        return suggest_hints(logits, light, self.palette, photo.upright_size, num)

    def alternatives(self, num: int) -> list[Prediction]:
        """The prediction and others, each as coherent, that differ from it and each other; `num` in all."""
        return [replace(self, logits=one) for one in alternatives(self.logits, self.palette, num)]

    def top(self, k: int) -> Likeliest:
        """The `k` likeliest classes of each pixel, with their chances.

        Raises:
            ConfigError: `k` is not 1 to the palette's number of classes.
        """
        return likeliest(self.known_logits(), self.palette, k)


def look_at(model: Model, grey: Grey) -> Float[Tensor, "N K h w"]:
    """A model's logits of grey pictures of one size, in as many threads as pay for pictures of that size."""
    with ONE_THREAD if grey[0].numel() <= _SMALL else nullcontext():
        return model.logits(grey)


def predict(photo: Photo, model: Model, ask: Ask | None = None) -> Prediction:
    """What the network says of a photo, seen upright and at the network's size.

    `ask` has the network look, in another thread perhaps and at other photos along with this one; `look_at`
    does if not given.

    Raises:
        PhotoError: the file is damaged or cut short.
    """
    small = photo.thumbnail(*reading_size(photo.height, photo.width, model.size, model.net.stride))
    grey = model.palette.read_grey(photo.upright(small)[None])
    logits = (look_at(model, grey) if ask is None else ask(grey))[0]
    in_colour, strength = has_own_colours(small), model.net.saturation
    return Prediction(photo.as_stored(logits), model.palette, in_colour, strength=strength)


def controlled(
    photo: Photo, prediction: Prediction, control: Control, reference: Reference | None = None
) -> list[Prediction]:
    """What becomes of a prediction by all that was asked: one for each alternative, the usual first.

    `reference` is that of `control`, read with the prediction's palette.

    Raises:
        ConfigError: two hints are of one pixel.
        PhotoError: a hint or a box lies outside the photo; the file is damaged or cut short.
    """
    if reference is not None:
        prediction = prediction.following(photo, reference, control.reference_strength)
    versions = prediction.with_hints(photo, control.hints).alternatives(control.alternatives)
    if not control.keep_grey:
        return versions
    areas = grey_areas(photo, control.keep_grey, control.hints)
    return [one._kept_grey(photo, areas, "likely" in control.keep_grey) for one in versions]
