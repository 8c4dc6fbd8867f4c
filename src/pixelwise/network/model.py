"""Colourisers, however they run: without torch where the package has them as ONNX, on torch otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from jaxtyping import Float32
from numpy import ndarray

from pixelwise.colour.palette import Palette
from pixelwise.network.config import Device
from pixelwise.network.onnx_model import is_shipped_as_onnx, open_shipped

DEFAULT_MODEL = "photo"


class Model(Protocol):
    """A network with its palette, ready to predict."""

    @property
    def name(self) -> str:
        """A shipped model's name, or the path it was read from."""

    @property
    def palette(self) -> Palette:
        """The colours that are its classes."""

    @property
    def size(self) -> int:
        """Short side in pixels at which it reads a photo."""

    @property
    def stride(self) -> int:
        """Number that divides height and width of what it reads."""

    @property
    def saturation(self) -> float:
        """Factor on the chroma that its probabilities mean."""

    @property
    def checksum(self) -> str:
        """SHA-256 of its file."""

    def logits(self, grey: Float32[ndarray, "N 1 H W"]) -> Float32[ndarray, "N K h w"]:
        """Return the logits of grey pictures of any size, as `palette.read_grey` makes them."""


def open_model(name_or_path: str | Path = DEFAULT_MODEL, device: Device = "auto") -> Model:
    """Open a shipped model by its name, or a run folder or model file by its path.

    Raises:
        CheckpointError: there is no such model, or the file is damaged or foreign.
        ConfigError: a GPU was asked for and there is none.
    """
    name = str(name_or_path)
    if device != "cuda" and is_shipped_as_onnx(name):
        return open_shipped(name)
    from pixelwise.network.device import choose_device  # torch takes seconds to import
    from pixelwise.network.runs import open_torch_model

    model = open_torch_model(name)
    model.net.to(choose_device(device))
    return model
