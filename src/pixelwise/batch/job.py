"""Task, model and options of a batch: the same for all photos, checked before a batch goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from pixelwise.colourising.options import ColouriseOptions
from pixelwise.colourising.prediction import require_possible
from pixelwise.colourising.run import colourise_one
from pixelwise.errors import CheckpointError
from pixelwise.files import checksum
from pixelwise.network.backbone import open_backbone
from pixelwise.network.cards import shipped_heads, shipped_models
from pixelwise.network.config import MAX_MEGAPIXELS, Device, SegmentOptions
from pixelwise.network.model import open_model
from pixelwise.network.session import choose_device
from pixelwise.photos.find import InputPhoto
from pixelwise.photos.outputs import OutputPaths, PhotoResult
from pixelwise.segmenting.heads import find_head, open_head
from pixelwise.segmenting.run import HeadRunner, segment_photo

Process = Callable[[InputPhoto, OutputPaths], PhotoResult]
"""Makes the output of one photo."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """Task, model and options of a batch."""

    task: Literal["colourise", "segment"]
    model: str  # a shipped model's or head's name, or a path
    checksum: str = ""  # SHA-256 of the model's or head's file; empty until it was opened
    weights: str | None = None  # file of the backbone's weights
    device: Device = "auto"  # where to compute; cpu or cuda once the job was opened
    temperature: float = 1.0
    saturation: float = 1.0
    provenance: bool = True
    max_megapixels: float = MAX_MEGAPIXELS

    def open(self, threads: int = 0) -> tuple[Job, Process]:
        """Load the network; return the job with checksum and device filled in, and its function.

        The network runs in so many threads, 0 being one for each processor.

        Raises:
            CheckpointError: the model cannot be read, or is not the one that the batch was planned with.
            ConfigError: an option is out of range, or not for this model; there is no GPU as was asked for.
        """
        device = choose_device(self.device)
        process: Process
        if self.task == "colourise":
            options = ColouriseOptions(
                temperature=self.temperature,
                saturation=self.saturation,
                provenance=self.provenance,
                max_megapixels=self.max_megapixels,
            )
            model = open_model(self.model, device, threads)
            require_possible(options, model)
            process, found = partial(colourise_one, model=model, options=options), model.checksum
        else:
            head = open_head(self.model)
            weights = Path(self.weights) if self.weights else None
            backbone = open_backbone(head.backbone, weights, device, threads)
            limit = SegmentOptions(max_megapixels=self.max_megapixels)
            process = partial(segment_photo, HeadRunner([head], backbone), limit)
            found = checksum(find_head(self.model))
        if self.checksum not in ("", found):
            raise CheckpointError(
                f"needed {self.model} with the SHA-256 {self.checksum[:12]}, as it was planned, "
                f"got {found[:12]}; put that file back, or begin anew with another -o"
            )
        settled = replace(
            self,
            model=_absolute(self.model),
            checksum=found,
            weights=_absolute(self.weights) if self.weights else None,
            device=device,
        )
        return settled, process


def _absolute(name: str) -> str:
    """Return a path as workers elsewhere need it; the name of a shipped model or head stays a name."""
    is_shipped = name in (*shipped_models(), *shipped_heads())
    return name if is_shipped or not Path(name).exists() else str(Path(name).absolute())
