"""What a run is told apart by: its configuration, its pictures and its colours; and what it goes on from."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import torch

from pixelwise.config import LEARNED, RunConfig
from pixelwise.data import Pictures
from pixelwise.data.places import coarsened
from pixelwise.errors import CheckpointError
from pixelwise.files import alone_in
from pixelwise.labelspace import Palette
from pixelwise.launch import num_restarts
from pixelwise.runs import CHECKPOINT, MODEL, Checkpoint, read_checkpoint, read_manifest

_NUM_SAMPLED = 4000  # pictures whose colours a palette is learned from


def palette_of(config: RunConfig, pictures: Pictures) -> Palette:
    """The palette that a configuration names, or one learned from the pictures to learn from.

    Raises:
        LabelError: there is no such palette, or the pictures have too few colours.
    """
    if config.palette != LEARNED:
        return Palette.read(config.palette)
    few = pictures.train[:: max(1, len(pictures.train) // _NUM_SAMPLED)]
    coarse = torch.cat([coarsened(some) for some in few.split(64)])
    return Palette.learn(coarse, config.net.num_colours, "ab", config.train.seed)


def digest_of(config: RunConfig, pictures: Pictures) -> str:
    """SHA-256 of all that was learned from: the pictures, and the colours that class their pixels."""
    # of a palette that is learned, it is the same where pictures and configuration are
    colours = [] if config.palette == LEARNED else Palette.read(config.palette).to_dict()["colours"]
    return hashlib.sha256(f"{pictures.digest} {colours}".encode()).hexdigest()


@contextlib.contextmanager
def alone_in_run(folder: Path) -> Iterator[None]:
    """Keep other processes from training into the same folder.

    Raises:
        CheckpointError: one does.
        OutputError: the folder cannot be made.
    """
    with alone_in(folder) as is_ours:
        if not is_ours:
            raise CheckpointError(
                f"another process is training in {folder}; wait for it, or choose another --out"
            )
        yield


def saved_run(config: RunConfig, pictures: Pictures, folder: Path, *, resume: bool) -> Checkpoint | None:
    """The checkpoint to go on from, when resuming.

    Raises:
        CheckpointError: there is none, or it is of another run; or there is one and nothing is resumed.
    """
    if not resume:
        if (folder / CHECKPOINT).exists() or (folder / MODEL).exists():
            raise CheckpointError(
                f"{folder} already holds a run; go on with --resume or choose another --out"
            )
        return None
    saved = read_checkpoint(folder)
    refuse_another(config, saved.config, folder)
    if saved.digest != digest_of(config, pictures):
        raise CheckpointError(
            f"{folder} was trained on other pictures or colours than {pictures.name} has now; start anew"
        )
    return saved


def job_of_run() -> dict[str, str]:
    """What torchrun calls the job that this process is of, for the reasons in run.json."""
    job = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    return {} if job == "none" else {"job": job}


def goes_on(folder: Path) -> bool:
    """Whether this process was started in place of one that was lost, which left a checkpoint.

    Restarts after a fault are counted; where machines come and go, torchrun starts all again uncounted, and
    the run is known by the name of its job.
    """
    if not (folder / CHECKPOINT).is_file():
        return False
    job = job_of_run().get("job")
    return num_restarts() > 0 or (job is not None and read_manifest(folder).reasons.get("job") == job)


def refuse_another(asked: RunConfig, saved: RunConfig, folder: Path) -> None:
    """Refuse to go on by another configuration.

    Raises:
        CheckpointError: a value differs; the message names the first few.
    """
    if saved != asked:
        raise CheckpointError(
            f"{folder} holds a run of another configuration ({_difference(saved, asked)}); "
            "leave out what differs to go on with it, or choose another --out"
        )


def _difference(saved: RunConfig, asked: RunConfig) -> str:
    """The first few values that differ."""
    was, now = _flat(saved.to_dict()), _flat(asked.to_dict())
    return ", ".join(
        f"{key} was {was.get(key)}, now {now.get(key)}" for key in was if was.get(key) != now.get(key)
    )


def _flat(nested: dict[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in nested.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
