"""What every question of the handout is asked with, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelwise.config import Device, RunConfig
from pixelwise.figures import Drawing
from pixelwise.files import whole_file
from pixelwise.runs import CHECKPOINT
from pixelwise.train import train_source


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
    """Fewer seeds, epochs and pictures: minutes instead of an hour."""
    data_dir: Path | None = None
    seed: int = 0
    device: Device = "auto"

    @property
    def runs(self) -> Path:
        """Where runs of this setting lie; those of another seed, and quick ones, lie beside it."""
        return self.out / "runs" / f"{'quick' if self.quick else 'whole'}-seed{self.seed}"

    def trained(self, name: str, config: RunConfig) -> Path:
        """The folder of a finished run; trained now, or from where it was interrupted, if it is not there.

        Questions that ask for the same name share the run.

        Raises:
            CheckpointError: a run of this name was trained otherwise.
            DataError: the pictures are not to be had.
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
