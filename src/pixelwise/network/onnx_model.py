"""Colourisers as ONNX files, run without torch: a decoder, and the frozen backbone whose maps it reads."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from pixelwise.colour.palette import Palette
from pixelwise.errors import CheckpointError
from pixelwise.files import checksum
from pixelwise.network.cards import SHIPPED, read_card


@dataclass(frozen=True, kw_only=True, eq=False)
class OnnxModel:
    """A colouriser that is ready to predict, in as many threads as there are processors."""

    name: str
    palette: Palette
    size: int  # short side in pixels at which it reads a photo
    stride: int  # divides height and width of what is read
    out_stride: int  # pixels of it, down and across, that share one place of the logits
    saturation: float  # factor on the chroma that the probabilities mean
    checksum: str  # SHA-256 of the decoder's file
    backbone: OnnxNetwork
    decoder: OnnxNetwork

    def logits(self, grey: Float32[ndarray, "N 1 H W"]) -> Float32[ndarray, "N K h w"]:
        """Return the logits of grey pictures of any size, at that size over `out_stride`.

        At the lower and right border pixels repeat until `stride` divides height and width.
        """
        height, width = grey.shape[-2:]
        padding = ((0, 0), (0, 0), (0, -height % self.stride), (0, -width % self.stride))
        photo = np.repeat(np.pad(grey, padding, mode="edge"), 3, axis=1)
        maps = self.backbone.run({"photo": photo}, self.decoder.inputs)
        (logits,) = self.decoder.run(maps, ("logits",)).values()
        rows, columns = (-(-side // self.out_stride) for side in (height, width))
        return logits[..., :rows, :columns]


class OnnxNetwork:
    """A network in an ONNX file, with what it says of itself in its metadata."""

    def __init__(self, path: Path) -> None:
        """Open a file.

        Raises:
            CheckpointError: there is no such file, or it is damaged or no network.
        """
        import onnxruntime  # an eighth of a second

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = os.cpu_count() or 1
        # Threads that spin while they wait take the processor from whoever else works on a busy machine.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.enable_cpu_mem_arena = False  # which keeps the memory of the largest photo for ever
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # of a kind of its own for each fault
            raise CheckpointError(
                f"{path} cannot be read as a network: {str(error).splitlines()[0]}"
            ) from error
        self.inputs = tuple(one.name for one in self._session.get_inputs())
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.about: dict[str, Any] = {name: json.loads(value) for name, value in metadata.items()}

    def run(
        self, inputs: dict[str, ndarray], outputs: tuple[str, ...]
    ) -> dict[str, Float32[ndarray, "N _C _h _w"]]:
        """Return some outputs of the network, by name."""
        return dict(zip(outputs, self._session.run(list(outputs), inputs), strict=True))


def is_shipped_as_onnx(name: str) -> bool:
    """Return whether a model inside the package needs no torch."""
    return (SHIPPED / f"{name}.onnx").is_file()


def open_shipped(name: str) -> OnnxModel:
    """Open a colouriser inside the package.

    Raises:
        CheckpointError: a file of it has changed since it was shipped.
    """
    sha256 = read_card(name).onnx_checksum
    decoder = _open_verified(name, sha256)
    backbone = _open_verified(decoder.about["backbone"], decoder.about["backbone_sha256"])
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
def _open_verified(name: str, sha256: str) -> OnnxNetwork:
    path = SHIPPED / f"{name}.onnx"
    if (found := checksum(path)) != sha256:
        raise CheckpointError(
            f"the weights of {name} are damaged: {path} needs the SHA-256 {sha256}, it has {found}; "
            "install pixelwise again"
        )
    return OnnxNetwork(path)
