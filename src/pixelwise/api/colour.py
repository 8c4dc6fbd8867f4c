"""Colouring one picture from Python."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray
from PIL import Image

from pixelwise.api.images import ImageLike, kept, notebook_png, photo_from, pil_of, upright_codes
from pixelwise.colour.arrays import Float32
from pixelwise.colourising.next_hint import NextHint
from pixelwise.colourising.options import ColouriseOptions, Hint
from pixelwise.colourising.prediction import Prediction, apply_options, predict, require_possible
from pixelwise.colourising.reference import Reference
from pixelwise.colourising.run import colourise_photo, with_record
from pixelwise.errors import ConfigError
from pixelwise.network.model import DEFAULT_MODEL, Colouriser, open_model
from pixelwise.photos.paint import LightnessDrift, Strip, paint
from pixelwise.photos.photo import Photo
from pixelwise.photos.write import WRITABLE

_OPTIONS = {"temperature", "saturation", "hints", "reference", "reference_strength", "keep_grey"}


def colourise(
    image: ImageLike,
    model: str | os.PathLike[str] | Colouriser = DEFAULT_MODEL,
    *,
    temperature: float = 1.0,
    saturation: float = 1.0,
    hints: Sequence[str | Hint] = (),
    reference: str | os.PathLike[str] | None = None,
    reference_strength: float = 0.5,
    keep_grey: Sequence[str] = (),
) -> ColouredImage:
    """Colour a picture: its luminance stays, its chroma is guessed.

    Args:
        image: a path, a PIL image, an array (H, W[, 3 or 4]) or a tensor ([C,] H, W), in sRGB.
        model: a shipped model's name, a run folder or a model file, also another's colouriser as ONNX; or one
            that `open_model` gave.
        temperature: below 1 bolder, toward the likeliest colour; above 1 duller, toward the mean of all.
        saturation: factor on what is guessed.
        hints: known colours of pixels, as "row,column,#rrggbb".
        reference: a photo whose colours are followed.
        reference_strength: how far: 0 not at all, 1 until each colour has the share that it has there.
        keep_grey: what stays grey: "paper", "likely", or boxes as "top,left,bottom,right".

    Raises:
        CheckpointError: there is no such model.
        ConfigError: an option's value cannot be used, or not with this model; there is no such reference.
        PhotoError: the picture cannot be read; a hint or a box lies outside it.
        ShapeError: an array has another shape than pictures have.

    Examples:
        >>> import numpy as np
        >>> grey = np.tile(np.linspace(0, 1, 64), (48, 1))
        >>> coloured = colourise(grey)
        >>> np.asarray(coloured).shape, coloured.image.size
        ((48, 64, 3), (64, 48))
    """
    options = ColouriseOptions.parse(
        temperature=temperature,
        saturation=saturation,
        hints=hints,
        reference=None if reference is None else Path(reference),
        reference_strength=reference_strength,
        keep_grey=keep_grey,
    )
    opened = model if isinstance(model, Colouriser) else kept(open_model, model)
    photo = photo_from(image)
    return ColouredImage(photo, opened, options, predict(photo, opened))


@dataclass(frozen=True, eq=False)
class ColouredImage:
    """A picture that was coloured; other options colour it again without running the network.

    numpy and PIL take it as a picture: `numpy.asarray(coloured)` has the codes (H, W, 3 or 4), uint8, or
    uint16 of pictures with 16 bit and of floats; a notebook shows it.
    """

    photo: Photo = field(repr=False)
    model: Colouriser = field(repr=False)
    options: ColouriseOptions
    guess: Prediction = field(repr=False)
    """The network's prediction, without hints, reference and grey areas."""

    def __post_init__(self) -> None:
        require_possible(self.options, self.model)

    def with_(self, **options: Any) -> ColouredImage:
        """Return the picture coloured by other options, as `colourise` takes them.

        None takes a reference away, and leaves any other option as it is.

        Raises:
            ConfigError: an option is none of `colourise`'s, or its value cannot be used, or not here.
        """
        if unknown := options.keys() - _OPTIONS:
            raise ConfigError(f"needed options among {', '.join(sorted(_OPTIONS))}, got {', '.join(unknown)}")
        options = {name: value for name, value in options.items() if value is not None or name == "reference"}
        if options.get("reference") is not None:
            options["reference"] = Path(options["reference"])
        parsed = ColouriseOptions.parse(**options)
        changed = {name: getattr(parsed, name) for name in options}
        return replace(self, options=replace(self.options, **changed))

    def alternatives(self, num: int) -> list[ColouredImage]:
        """Return `num` pictures: this one, and others as coherent whose colours are apart from each other."""
        return [replace(self, guess=guess) for guess in self.guess.alternatives(num)]

    def next_hints(self, num: int = 3) -> list[NextHint]:
        """Return the points whose true colours would help most, best first; `.argument` of each is a hint."""
        return self.prediction.next_hints(self.photo, num)

    @cached_property
    def prediction(self) -> Prediction:
        """The network's prediction with hints, reference and grey areas applied."""
        reference = None
        if self.options.reference:
            reference = Reference.read(self.options.reference, self.model.palette)
        (prediction,) = apply_options(self.photo, self.guess, self.options, reference)
        return prediction

    @property
    def confidence(self) -> Float32[ndarray, "h w"]:
        """Confidence in the colours, 0 to 1, at the network's size."""
        return self.photo.upright(self.prediction.confidence())

    @cached_property
    def codes(self) -> Strip:
        """The picture's codes (H, W, 3 or 4) as it is displayed, uint8 or uint16."""
        size = (self.photo.height, self.photo.width)
        painted = paint(self.photo.strips(), self._chroma(), size, self.photo.alpha, LightnessDrift())
        return upright_codes(self.photo, painted)

    @property
    def image(self) -> Image.Image:
        """The picture as a PIL image, RGB or RGBA of 8 bit."""
        return pil_of(self.codes)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture, with a file's own metadata and a record that its colours are guessed."""
        target = Path(path)
        suffix = target.suffix.lower()
        if suffix not in WRITABLE:
            raise ConfigError(f"needed a name that ends in one of {', '.join(WRITABLE)}, got {target}")
        copy, _ = with_record(self.photo, self.model, self.options, suffix)
        colourise_photo(copy, target, self._chroma())
        return target

    def _chroma(self) -> Float32[ndarray, "2 h w"]:
        return self.prediction.chroma(self.options.temperature, self.options.saturation)

    def _repr_png_(self) -> bytes | None:  # shown by notebooks
        return notebook_png(self.image)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> ndarray:
        return np.array(self.codes, dtype=dtype, copy=copy)
