"""Colourisers ready to predict; those that the package has as ONNX files run without torch."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

from pixelwise.colour.arrays import Float32
from pixelwise.colour.palette import Palette
from pixelwise.errors import CheckpointError, is_of_memory
from pixelwise.files import checksum
from pixelwise.network.cards import SHIPPED, read_card, shipped_models
from pixelwise.network.config import Device

if TYPE_CHECKING:
    import onnxruntime

DEFAULT_MODEL = "photo"


@dataclass(frozen=True, kw_only=True, eq=False)
class Model(ABC):
    """A network with its palette, ready to predict."""

    name: str  # a shipped model's, or the path it was read from
    palette: Palette
    size: int  # short side in pixels at which it reads a photo
    checksum: str  # SHA-256 of its file, which holds a checksum of its backbone, too, if it has one
    stride: int  # divides height and width of what it reads
    out_stride: int  # pixels of that, down and across, that share one place of the logits
    saturation: float  # factor on the chroma that its probabilities mean

    def logits(self, grey: Float32[ndarray, "N 1 H W"]) -> Float32[ndarray, "N K h w"]:
        """Return the logits of grey pictures of any size, at that size over `out_stride`.

        At the lower and right border pixels repeat until `stride` divides height and width.
        """
        height, width = grey.shape[-2:]
        padding = ((0, 0), (0, 0), (0, -height % self.stride), (0, -width % self.stride))
        rows, columns = (-(-side // self.out_stride) for side in (height, width))
        return self._forward(np.pad(grey, padding, mode="edge"))[..., :rows, :columns]

    @abstractmethod
    def _forward(self, grey: Float32[ndarray, "N 1 H W"]) -> Float32[ndarray, "N K _h _w"]:
        """Return the logits of grey pictures whose sides `stride` divides."""


@dataclass(frozen=True, kw_only=True, eq=False)
class OnnxModel(Model):
    """A colouriser in two ONNX files: a frozen backbone, and a decoder of its maps."""

    backbone: OnnxNetwork
    decoder: OnnxNetwork

    def _forward(self, grey: Float32[ndarray, "N 1 H W"]) -> Float32[ndarray, "N K _h _w"]:
        maps = self.backbone.run({"photo": np.repeat(grey, 3, axis=1)}, self.decoder.inputs)
        return self.decoder.run(maps, ("logits",))["logits"]


class OnnxNetwork:
    """A network in an ONNX file, with what it says of itself in its metadata."""

    def __init__(self, path: Path, threads: int = 0) -> None:
        """Open a file, to run in so many threads; 0: one for each processor that we may use.

        Raises:
            CheckpointError: it is damaged or no network.
        """
        self.path, self.threads = path, threads
        try:
            self._session = new_session(path, threads)
        except Exception as error:  # of a kind of its own for each fault
            _raise_lack_of_memory(error)
            raise CheckpointError(f"{path} cannot be read as a network: {error!s:.200}") from error
        self.inputs = tuple(one.name for one in self._session.get_inputs())
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.about: dict[str, Any] = {name: json.loads(value) for name, value in metadata.items()}

    def run(
        self, inputs: dict[str, ndarray], outputs: tuple[str, ...]
    ) -> dict[str, Float32[ndarray, "N _C _h _w"]]:
        """Return some outputs of the network, by name; MemoryError where there is too little."""
        try:
            found = self._session.run(list(outputs), inputs)
        except Exception as error:
            _raise_lack_of_memory(error)
            raise
        return dict(zip(outputs, found, strict=True))

    def __reduce__(self) -> tuple[type[OnnxNetwork], tuple[Path, int]]:
        """Let a copy in another process open the file itself."""
        return OnnxNetwork, (self.path, self.threads)


def new_session(path_or_content: Path | bytes, threads: int = 0) -> onnxruntime.InferenceSession:
    """Return a session that runs a network on the processor, in so many threads; 0: all that we may use."""
    import onnxruntime  # an eighth of a second

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what fails is raised
    options.intra_op_num_threads = threads or usable_processors()
    # Threads that spin while they wait take the processor from whoever else works on a busy machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = False  # which keeps the memory of the largest photo for ever
    return onnxruntime.InferenceSession(path_or_content, options, providers=["CPUExecutionProvider"])


def usable_processors() -> int:
    """Return the number of processors that we may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _raise_lack_of_memory(error: Exception) -> None:
    if is_of_memory(error):
        raise MemoryError("a network needed more memory than there is") from error


def open_model(name_or_path: str | Path = DEFAULT_MODEL, device: Device = "auto", threads: int = 0) -> Model:
    """Open a shipped model by its name, or a run folder or model file by its path.

    A shipped model whose card names an ONNX file runs without torch, on the processor and in so many threads
    (0: one for each processor), unless `device` is cuda.

    Raises:
        CheckpointError: there is no such model, or the file is damaged or foreign.
        ConfigError: a GPU was asked for and there is none.
    """
    name = str(name_or_path)
    if device != "cuda" and name in shipped_models() and read_card(name).onnx_checksum:
        return _open_shipped(name, threads)
    from pixelwise.network.device import choose_device  # torch takes seconds to import
    from pixelwise.network.runs import open_torch_model

    model = open_torch_model(name)
    model.net.to(choose_device(device))
    return model


def _open_shipped(name: str, threads: int) -> OnnxModel:
    sha256 = read_card(name).onnx_checksum
    decoder = _open_verified(name, sha256, threads)
    backbone = _open_verified(decoder.about["backbone"], decoder.about["backbone_sha256"], threads)
    return OnnxModel(
        name=name,
        palette=Palette.from_dict(decoder.about["palette"]),
        size=decoder.about["short_side"],
        stride=decoder.about["multiple"],
        out_stride=decoder.about["out_stride"],
        saturation=decoder.about["saturation"],
        checksum=sha256,
        backbone=backbone,
        decoder=decoder,
    )


@lru_cache(maxsize=4)
def _open_verified(name: str, sha256: str, threads: int) -> OnnxNetwork:
    path = SHIPPED / f"{name}.onnx"
    found = checksum(path) if path.is_file() else "none"
    if found != sha256:
        raise CheckpointError(
            f"the weights of {name} are missing or damaged: {path} needs the SHA-256 {sha256}, it has "
            f"{found}; install pixelwise again"
        )
    return OnnxNetwork(path, threads)
