"""Colouring one picture from Python."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from numpy import ndarray
from PIL import Image
from torch import Tensor

from pixelwise import page
from pixelwise.api.images import ImageLike, joined, photo_from, pil_of, png_of, thumbnail
from pixelwise.api.kept import Stamp, stamp
from pixelwise.colourising import colourise_photo, with_record
from pixelwise.confidence.next_hint import NextHint
from pixelwise.control.options import Area, ColouriseOptions, Hint, parse_area
from pixelwise.control.reference import Reference
from pixelwise.errors import ConfigError
from pixelwise.photos.paint import LightnessDrift, Strip, paint
from pixelwise.photos.photo import Photo
from pixelwise.photos.photo_write import WRITABLE
from pixelwise.predict import Prediction, controlled, predict
from pixelwise.processor import ONE_THREAD
from pixelwise.runs import DEFAULT_MODEL, Model, open_model


def colourise(
    image: ImageLike,
    model: str | os.PathLike[str] | Model = DEFAULT_MODEL,
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
        model: a shipped model's name, a run folder or a model file; or one that `open_model` gave.
        temperature: below 1 bolder, toward the likeliest colour; above 1 duller, toward the mean of all.
        saturation: factor on what is guessed.
        hints: colours of pixels that somebody knows, as "row,column,#rrggbb".
        reference: a photo whose colours are followed.
        reference_strength: how far: 0 not at all, 1 until each colour has the share that it has there.
        keep_grey: what stays grey: "paper", "likely", or boxes as "top,left,bottom,right".

    Raises:
        CheckpointError: there is no such model.
        ConfigError: an option's value cannot be used; there is no such reference.
        PhotoError: the picture cannot be read; a hint or a box lies outside it.
        ShapeError: an array has another shape than pictures have.

    Examples:
        >>> import numpy as np
        >>> grey = np.tile(np.linspace(0, 1, 64), (48, 1))
        >>> coloured = colourise(grey)
        >>> np.asarray(coloured).shape, coloured.image.size
        ((48, 64, 3), (64, 48))
    """
    options = ColouriseOptions(
        temperature=temperature,
        saturation=saturation,
        hints=_hints(hints),
        reference=None if reference is None else Path(reference),
        reference_strength=reference_strength,
        keep_grey=_areas(keep_grey),
    )
    opened = model if isinstance(model, Model) else _opened(str(model), stamp(str(model)))
    photo = photo_from(image)
    return ColouredImage(photo, opened, options, predict(photo, opened))


@dataclass(frozen=True, eq=False)
class ColouredImage:
    """A picture that was coloured, and all that is needed to colour it another way at once.

    numpy and PIL take it for what it is: `numpy.asarray(coloured)` has the codes (H, W, 3 or 4), uint8, or
    uint16 of pictures with 16 bit and of floats; a notebook shows it beside the grey picture.
    """

    photo: Photo = field(repr=False)
    model: Model = field(repr=False)
    options: ColouriseOptions
    guess: Prediction = field(repr=False)
    """What the network said, before anything that people say."""

    def with_(
        self,
        *,
        temperature: float | None = None,
        saturation: float | None = None,
        hints: Sequence[str | Hint] | None = None,
        keep_grey: Sequence[str] | None = None,
    ) -> ColouredImage:
        """The same picture coloured by other options, the network not run again; None leaves one as it is.

        Raises:
            ConfigError: a value cannot be used.
        """
        asked: dict[str, Any] = {
            "temperature": temperature,
            "saturation": saturation,
            "hints": None if hints is None else _hints(hints),
            "keep_grey": None if keep_grey is None else _areas(keep_grey),
        }
        changed = {name: value for name, value in asked.items() if value is not None}
        return replace(self, options=replace(self.options, **changed))

    def alternatives(self, num: int) -> list[ColouredImage]:
        """The picture as it is and coloured in other ways, as coherent and apart from each other; `num`."""
        return [replace(self, guess=one) for one in self.guess.alternatives(num)]

    def next_hints(self, num: int = 3) -> list[NextHint]:
        """The points whose true colours would help most, the best first; `.argument` of each is a hint."""
        return self.prediction.next_hints(self.photo, num)

    @cached_property
    def prediction(self) -> Prediction:
        """The network's word with all that was told laid over."""
        reference = None
        if self.options.reference:
            reference = Reference.read(self.options.reference, self.model.palette)
        (one,) = controlled(self.photo, self.guess, self.options, reference)
        return one

    @property
    def confidence(self) -> Float32[ndarray, "h w"]:
        """How sure the colours are, 0 to 1, at the network's size."""
        found: Float32[ndarray, "h w"] = self.photo.upright(self.prediction.confidence()).numpy()
        return found

    @cached_property
    def codes(self) -> Strip:
        """The picture's codes (H, W, 3 or 4) as it is displayed, uint8 or uint16."""
        size, drift = (self.photo.height, self.photo.width), LightnessDrift()
        with ONE_THREAD:
            strips = list(paint(self.photo.strips(), self._chroma(), size, self.photo.alpha, drift))
        return joined(strips, self.photo)

    @property
    def image(self) -> Image.Image:
        """As a PIL image, RGB or RGBA of 8 bit."""
        return pil_of(self.codes)

    @property
    def tensor(self) -> Float32[Tensor, "C H W"]:
        """As a tensor of floats from 0 to 1."""
        most = np.iinfo(self.codes.dtype).max
        return torch.from_numpy(self.codes.astype(np.float32) / most).movedim(-1, 0)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture, with a file's own metadata and a record that its colours are guessed.

        Raises:
            ConfigError: the path has no suffix of a format that can be written.
            OutputError: it cannot be written.
        """
        target = Path(path)
        suffix = target.suffix.lower()
        if suffix not in WRITABLE:
            raise ConfigError(f"needed a name that ends in one of {', '.join(WRITABLE)}, got {target}")
        copy, _ = with_record(self.photo, self.model, self.options, suffix)
        colourise_photo(copy, target, self._chroma())
        return target

    def _chroma(self) -> Tensor:
        return self.prediction.chroma(self.options.temperature, self.options.saturation)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> ndarray:
        return np.array(self.codes, dtype=dtype, copy=copy)

    def _repr_png_(self) -> bytes:
        return png_of(thumbnail(self.image))

    def _repr_html_(self) -> str:
        after = thumbnail(self.image.convert("RGB"))
        grey = np.asarray(thumbnail(pil_of(joined(list(self.photo.strips()), self.photo)).convert("L")))
        before = np.repeat(grey[..., None], 3, axis=2)
        pictures = {"before": before, f"coloured by {Path(self.model.name).stem}": np.asarray(after)}
        return page.beside(pictures)


@functools.lru_cache(maxsize=4)
def _opened(name_or_path: str, _written: Stamp) -> Model:
    """A model, kept for the next picture until its file is written anew."""
    return open_model(name_or_path)


def _hints(said: Sequence[str | Hint]) -> tuple[Hint, ...]:
    return tuple(one if isinstance(one, Hint) else Hint.parse(one) for one in said)


def _areas(said: Sequence[str]) -> tuple[Area, ...]:
    return tuple(parse_area(one) for one in said)
