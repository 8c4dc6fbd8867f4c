"""The setting in which every question of the handout is answered, and the form of an answer."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pixelwise import __version__
from pixelwise.files import write_bytes
from pixelwise.network.config import Device, Precision, RunConfig
from pixelwise.network.model import CHECKPOINT
from pixelwise.report.figures import Drawing
from pixelwise.training.data.pictures import Pictures
from pixelwise.training.data.sources import load_pictures
from pixelwise.training.device import choose_device
from pixelwise.training.loop import train

PICTURES: Final = "cifar10:horse"  # of the questions about colouring: 5000 training, 1000 validation pictures
PHOTOS: Final = "flowers17"  # of the questions about fine-tuning
_SEEDS_EACH = 1000  # seeds reserved for each seed of the lab


@dataclass(frozen=True)
class Answer:
    """Values and figures of one question."""

    values: dict[str, Any]  # plain, for answers.json; every number that the writeup shows is among them
    figures: list[str] = field(default_factory=list)  # names of files in OUT/figures
    seconds: float = 0.0  # that it took
    made_by: dict[str, Any] = field(default_factory=dict)  # `Setting.made_by` of its data set


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where answers go, and how much work they may take."""

    out: Path
    quick: bool = False  # fewer seeds, epochs and pictures
    data_dir: Path | None = None
    seed: int = 0
    device: Device = "auto"
    precision: Precision = "fp32"  # one for all networks, so that they are trained alike
    counted: dict[str, Any] = field(default_factory=dict)  # options of the networks that A3 counts, if others
    digests: dict[str, str] = field(default_factory=dict)  # checksums of the data sets that are there

    def seed_of(self, number: int) -> int:
        """Return the seed of one of several runs; two seeds of the lab share none."""
        return _SEEDS_EACH * self.seed + number

    def made_by(self, source: str) -> dict[str, Any]:
        """Return everything that decides a result on a data set."""
        return {
            "quick": self.quick,
            "seed": self.seed,
            "device": str(choose_device(self.device)),
            "precision": self.precision,
            "counted": self.counted,
            "version": __version__,
            "data": self.digests.get(source, ""),
        }

    def pictures(self) -> Pictures:
        """Return the pictures of the questions about colouring."""
        return _pictures(self.data_dir, self.seed, self.digests.get(PICTURES))

    def folder(self, kind: str, source: str) -> Path:
        """Return the folder of runs or heads that were trained on a data set in this very setting."""
        digest = hashlib.sha256(json.dumps(self.made_by(source), sort_keys=True).encode()).hexdigest()
        return self.out / kind / f"{'quick' if self.quick else 'whole'}-seed{self.seed}-{digest[:8]}"

    def trained(self, name: str, config: RunConfig) -> Path:
        """Train a network on `pictures`, or resume or reuse the run of this name; return its folder."""
        folder = self.folder("runs", PICTURES) / name
        train(config, self.pictures(), folder, device=self.device, resume=(folder / CHECKPOINT).exists())
        return folder

    def figure(self, name: str) -> Path:
        """Return where a figure lies."""
        return self.out / "figures" / f"{name}.png"

    def draw(self, name: str, drawing: Drawing) -> str:
        """Write a figure; return its name."""
        write_bytes(self.figure(name), drawing.png())
        return name


@functools.lru_cache(maxsize=1)  # a lab trains a hundred networks on them
def _pictures(data_dir: Path | None, seed: int, _digest: str | None) -> Pictures:
    return load_pictures(PICTURES, data_dir, seed)
