"""What is done with each photo of a batch: the same for all of them, and checked before a batch goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pixelwise.config import Device
from pixelwise.errors import CheckpointError
from pixelwise.photos.each import Done
from pixelwise.photos.find import Found, Targets

Task = Literal["colourise", "segment"]
Do = Callable[[Found, Targets], Done]
"""Makes one output of one photo."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is done with each photo."""

    task: Task
    model: str
    """Of colourise a model, of segment a head: a shipped one's name, or a path."""
    checksum: str = ""
    """SHA-256 of the model's or the head's file; empty until it was opened."""
    weights: str | None = None
    """File of the backbone's weights, of segment."""
    device: Device = "auto"
    """Where to compute; cpu or cuda, once it was opened."""
    temperature: float = 1.0
    """As of `ColouriseOptions`."""
    saturation: float = 1.0
    """As of `ColouriseOptions`."""
    provenance: bool = True
    """As of `ColouriseOptions`."""
    max_megapixels: float = 500.0
    """Larger photos are refused."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    def opened(self) -> tuple[Job, Do]:
        """The job with its model's checksum and its device settled, and what does it.

        Raises:
            CheckpointError: the model cannot be read, or is another than the job was planned with.
            ConfigError: an option is out of range, or a GPU was asked for and there is none.
        """
        do, checksum, device = self._colouriser() if self.task == "colourise" else self._segmenter()
        if self.checksum not in ("", checksum):
            raise CheckpointError(
                f"needed {self.model} with the SHA-256 {self.checksum[:12]}, as it was planned, "
                f"got {checksum[:12]}; put that file back, or begin anew with another -o"
            )
        weights = _absolute(self.weights) if self.weights else None
        settled = replace(
            self, model=_absolute(self.model), checksum=checksum, weights=weights, device=device
        )
        return settled, do

    def _colouriser(self) -> tuple[Do, str, Device]:
        from pixelwise.colourising import colouriser
        from pixelwise.control.options import ColouriseOptions
        from pixelwise.processor import choose_device
        from pixelwise.runs import open_model

        options = ColouriseOptions(
            temperature=self.temperature,
            saturation=self.saturation,
            provenance=self.provenance,
            max_megapixels=self.max_megapixels,
        )
        model = open_model(self.model)
        device = choose_device(self.device)
        model.net.to(device)
        return colouriser(model, options), model.checksum, "cuda" if device.type == "cuda" else "cpu"

    def _segmenter(self) -> tuple[Do, str, Device]:
        from pixelwise.backbones import open_backbone
        from pixelwise.files import checksum
        from pixelwise.heads import find_head, open_head
        from pixelwise.processor import choose_device
        from pixelwise.segmenting import SegmentOptions, segmenter

        head = open_head(self.model)
        backbone = open_backbone(head.backbone, Path(self.weights) if self.weights else None)
        device = choose_device(self.device)
        options = SegmentOptions(max_megapixels=self.max_megapixels)
        do = segmenter([head], backbone, options, device)
        return do, checksum(find_head(self.model)), "cuda" if device.type == "cuda" else "cpu"


def _absolute(name: str) -> str:
    """A path as workers elsewhere need it; a shipped model's name stays a name."""
    return str(Path(name).absolute()) if Path(name).exists() else name
