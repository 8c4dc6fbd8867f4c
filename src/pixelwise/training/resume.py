"""Resuming: the checkpoint has to be of the same configuration, pictures and palette."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

from pixelwise.colour.palette import Palette
from pixelwise.errors import CheckpointError
from pixelwise.network.config import LEARNED, RunConfig
from pixelwise.network.models.places import coarsened
from pixelwise.network.runs import CHECKPOINT, MODEL, Checkpoint, read_checkpoint
from pixelwise.photos.pictures import Pictures

_NUM_SAMPLED = 4000  # pictures whose colours a palette is learned from


def palette_of(config: RunConfig, pictures: Pictures) -> Palette:
    """Return the palette that a configuration names, or learn one from the training pictures."""
    if config.palette != LEARNED:
        return Palette.read(config.palette)
    few = pictures.train[:: max(1, len(pictures.train) // _NUM_SAMPLED)]
    coarse = torch.cat([coarsened(some) for some in few.split(64)])
    return Palette.learn(coarse, config.net.num_colours, "ab", config.train.seed)


def digest_of(config: RunConfig, pictures: Pictures) -> str:
    """Return the SHA-256 of the pictures and of the palette that a run trains on."""
    # a learned palette follows from pictures and configuration
    colours = [] if config.palette == LEARNED else Palette.read(config.palette).to_dict()["colours"]
    return hashlib.sha256(f"{pictures.digest} {colours}".encode()).hexdigest()


def saved_run(config: RunConfig, pictures: Pictures, folder: Path, *, resume: bool) -> Checkpoint | None:
    """Read the checkpoint to resume from; None for a new run.

    Raises:
        CheckpointError: there is none, or it is of another run; or there is one and `resume` is off.
    """
    if not resume:
        if (folder / CHECKPOINT).exists() or (folder / MODEL).exists():
            raise CheckpointError(f"{folder} holds a run; go on with --resume or choose another --out")
        return None
    saved = read_checkpoint(folder)
    require_same_config(config, saved.config, folder)
    if saved.digest != digest_of(config, pictures):
        raise CheckpointError(
            f"{folder} was trained on other pictures or colours than {pictures.name} has now; start anew"
        )
    return saved


def require_same_config(asked: RunConfig, saved: RunConfig, folder: Path) -> None:
    """Refuse to resume with another configuration.

    Raises:
        CheckpointError: a value differs; the message names those that do.
    """
    if saved != asked:
        was, now = _flat(saved.to_dict()), _flat(asked.to_dict())
        different = (key for key in was if was[key] != now.get(key))
        difference = ", ".join(f"{key} was {was[key]}, now {now.get(key)}" for key in different)
        raise CheckpointError(
            f"{folder} holds a run of another configuration ({difference}); "
            "leave out what differs to go on with it, or choose another --out"
        )


def _flat(nested: dict[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in nested.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
