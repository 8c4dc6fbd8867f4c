"""What every question of the handout is asked with, and what it answers."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pixelwise.config import Device, Precision, RunConfig
from pixelwise.data import load_labelled, load_pictures
from pixelwise.figures import Drawing
from pixelwise.files import whole_file
from pixelwise.processor import choose_device
from pixelwise.runs import CHECKPOINT
from pixelwise.train import train_source
from pixelwise.version import __version__

PICTURES: Final = "cifar10:horse"
"""What the questions about colouring are asked of: 5000 to learn from, 1000 to validate."""
PHOTOS: Final = "flowers17"
"""What those about fine-tuning are asked of."""
_REPLICATES = 1000  # seeds that a seed of the lab has for itself


@dataclass(frozen=True)
class Answer:
    """What a question came to."""

    values: dict[str, Any]
    """Plain values, for answers.json; every number that the writeup shows is among them."""
    figures: tuple[str, ...] = ()
    """Names of the figures that were drawn for it, in OUT/figures."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where answers go, and how much work they may take."""

    out: Path
    quick: bool = False
    """Fewer seeds, epochs and pictures."""
    data_dir: Path | None = None
    seed: int = 0
    device: Device = "auto"
    precision: Precision = "fp32"
    """Of the networks that are compared, or they would not be trained alike; the handout's if not given."""
    _digests: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def seed_of(self, number: int) -> int:
        """The seed of one of several runs; two seeds of the lab have none in common."""
        return _REPLICATES * self.seed + number

    def made_by(self, source: str = "") -> dict[str, Any]:
        """What decides what comes out, where it is asked of the data of a source: another makes it anew.

        Raises:
            ConfigError: there is no such device.
            DataError: the data are not to be had.
        """
        return {
            "quick": self.quick,
            "seed": self.seed,
            "device": str(choose_device(self.device)),
            "precision": self.precision,
            "version": __version__,
            "data": self._digest(source) if source else "",
        }

    def _digest(self, source: str) -> str:
        """The data's, which are read for it once."""
        if source not in self._digests:
            load = load_labelled if source == PHOTOS else load_pictures
            self._digests[source] = load(source, self.data_dir, self.seed).digest
        return self._digests[source]

    def kept(self, kind: str, source: str) -> Path:
        """The folder of what was learned from a source; what was made otherwise lies beside it."""
        made_by = json.dumps(self.made_by(source), sort_keys=True).encode()
        name = f"{'quick' if self.quick else 'whole'}-seed{self.seed}"
        return self.out / kind / f"{name}-{hashlib.sha256(made_by).hexdigest()[:8]}"

    @property
    def runs(self) -> Path:
        """Where runs of this setting lie.

        Raises:
            DataError: the pictures are not to be had.
        """
        return self.kept("runs", PICTURES)

    def trained(self, name: str, config: RunConfig) -> Path:
        """The folder of a finished run; trained now, or from where it was interrupted, if it is not there.

        Questions that ask for the same name share the run.

        Raises:
            CheckpointError: a run of this name was trained otherwise.
            DataError: the pictures are not to be had.
            DivergedError: its loss is no longer a number.
            Interrupted: Ctrl-C came; what was learned is kept.
        """
        folder = self.runs / name
        resume = (folder / CHECKPOINT).exists()
        train_source(config, folder, data_dir=self.data_dir, device=self.device, resume=resume)
        return folder

    def draw(self, name: str, drawing: Drawing) -> str:
        """Keep a figure as OUT/figures/NAME.png; gives its name.

        Raises:
            OutputError: it cannot be written.
        """
        path = self.out / "figures" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path, "choose another folder") as temporary:
            temporary.write_bytes(drawing.png())
        return name
