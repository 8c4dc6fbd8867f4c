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
from pixelwise.network.backbone import EMBEDDED
from pixelwise.network.config import Device, Precision, RunConfig
from pixelwise.network.model import CHECKPOINT
from pixelwise.report.figures import Drawing
from pixelwise.training.data.pictures import Pictures, gather
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
    made_by: dict[str, Any] = field(default_factory=dict)  # `Setting.made_by` of what it needs


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where answers go, and how much work they may take."""

    out: Path
    quick: bool = False  # fewer seeds, epochs and pictures
    data_dir: Path | None = None
    seed: int = 0
    device: Device = "auto"
    precision: Precision = "fp32"  # one for all networks, so that they are trained alike
    network: str = EMBEDDED  # whose last layer C1 to C3 learn: the handout's, if its weights can be had
    weights: Path | None = None  # file of the weights of the handout's network
    counted: dict[str, Any] = field(default_factory=dict)  # options of the networks that A3 counts, if others
    digests: dict[str, str] = field(default_factory=dict)  # checksums of data sets there, and of the network

    def seed_of(self, number: int) -> int:
        """Return the seed of one of several runs; two seeds of the lab share none."""
        return _SEEDS_EACH * self.seed + number

    def made_by(self, source: str, with_network: bool = False) -> dict[str, Any]:
        """Return everything that decides a result on a data set, or one by a last layer of the network."""
        network = f"{self.network} {self.digests.get(self.network, '')}"
        return {
            "quick": self.quick,
            "seed": self.seed,
            "device": str(choose_device(self.device)),
            "precision": self.precision,
            "counted": self.counted,
            "version": __version__,
            "data": self.digests.get(source, ""),
        } | ({"network": network} if with_network else {})

    def pictures(self) -> Pictures:
        """Return the pictures of the questions about colouring."""
        return _pictures(self.data_dir, self.seed, self.quick, self.digests.get(PICTURES))

    def folder(self, kind: str, source: str, with_network: bool = False) -> Path:
        """Return the folder of runs or heads that were trained on a data set in this very setting."""
        made_by = json.dumps(self.made_by(source, with_network), sort_keys=True)
        digest = hashlib.sha256(made_by.encode()).hexdigest()
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
def _pictures(data_dir: Path | None, seed: int, quick: bool, _digest: str | None) -> Pictures:
    whole = load_pictures(PICTURES, data_dir, seed)
    return gather(whole.name, whole.train[::2], whole.val[::2], whole.notes) if quick else whole
