"""The training loop, and resuming: a checkpoint has to be of the same configuration, pictures and palette."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from pixelwise.colour.palette import Palette
from pixelwise.errors import CheckpointError, ConfigError, DivergedError, Interrupted
from pixelwise.files import alone_in, write_bytes
from pixelwise.network.config import LEARNED, ColourNetConfig, Device, RunConfig
from pixelwise.network.model import CHECKPOINT, MODEL, SIZES, resume_command
from pixelwise.progress import progress
from pixelwise.training import runs
from pixelwise.training.convert import model_content
from pixelwise.training.data.pictures import Pictures
from pixelwise.training.data.sources import load_pictures
from pixelwise.training.device import choose_device, choose_precision, compute_in, peak_memory_bytes
from pixelwise.training.distributed import on_rank0, rank, sum_over_ranks, world_size
from pixelwise.training.evaluation import score
from pixelwise.training.models import Network, build
from pixelwise.training.models.on_backbone import ColourNet
from pixelwise.training.optimise import Optimiser
from pixelwise.training.stopping import finish_step_first
from pixelwise.training.tasks import ClassTask, ColourTask, generator_at, seed_at

_logger = logging.getLogger(__name__)
_PHOTO_SCALE = 2  # photos show more than the pictures trained on: docs/log.md has what other sizes gave
_MOST_PIECES = 60  # of an epoch's loss curve
_NUM_SAMPLED = 4000  # pictures whose colours a palette is learned from
_DROPOUT = 2**40  # random stream of the layers; ranks count from there
CHECKPOINT_EVERY_S = 20.0  # a kill costs at most this much work


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """Scores of a finished run; the keys of `pixelwise train --json`."""

    run: str  # its folder
    epochs: int  # passes over the training images, the last of which `steps` may have ended early
    steps: int  # updates of the weights
    train_loss: float  # mean over the last epoch, in nats
    val_loss: float  # on the validation images, in nats
    val_accuracy: float  # right pixels of the validation images, in per cent
    train_seconds: float  # everything after the data is in memory, validation left out
    peak_memory_bytes: int  # the most that the process (on a GPU: the device) ever held


def train_source(
    config: RunConfig,
    folder: Path,
    *,
    data_dir: Path | None = None,
    device: Device = "auto",
    resume: bool = False,
) -> TrainResult:
    """Load the pictures that a configuration names, train on them, and write the network as model.onnx."""
    if config.palette != LEARNED:
        num_colours = Palette.read(config.palette).num_classes
        config = replace(config, net=replace(config.net, num_colours=num_colours))
    if resume:  # before a download that is not wanted
        _require_same_config(config, runs.read_checkpoint(folder).config, folder)
    pictures = load_pictures(config.source, data_dir, config.train.seed, size=config.size)
    result = train(config, pictures, folder, device=device, resume=resume)
    on_rank0(lambda: write_bytes(folder / MODEL, model_content(runs.open_torch_model(folder, config.source))))
    return result


def train(
    config: RunConfig, pictures: Pictures, folder: Path, *, device: Device = "auto", resume: bool = False
) -> TrainResult:
    """Train a network and leave it, its scores and its state in `folder`.

    On a CPU the same configuration, pictures, precision and number of threads give the same weights,
    interrupted or not. Within `process_group`, all ranks call this; rank 0 writes.

    Raises:
        ConfigError: the size of the pictures does not suit the network.
        CheckpointError: `resume` finds no run or another one, or without it one is there, or is training.
        DivergedError: the loss is no longer a number.
        Interrupted: Ctrl-C or SIGTERM came; the state between two steps is saved in the folder.
        OutputError: the folder cannot be written.
    """
    with contextlib.ExitStack() as stack:
        if not on_rank0(lambda: stack.enter_context(alone_in(folder))):
            raise CheckpointError(f"another process is training in {folder}; wait, or choose another --out")
        checkpoint = on_rank0(lambda: _saved_run(config, pictures, folder, resume=resume))
        run = Run(config, pictures, choose_device(device), checkpoint)
        if not checkpoint:
            on_rank0(lambda: _begin_folder(run, pictures, folder))
        on_rank0(lambda: runs.cut_metrics(folder, run.step))
        advance = stack.enter_context(progress(f"training on {pictures.name}", run.num_steps, done=run.step))
        stop_asked = stack.enter_context(finish_step_first())
        saved_at_s = run.seconds()
        while run.step < run.num_steps:
            loss = run.train_step()
            if run.step % run.steps_per_epoch == 0 or run.step == run.num_steps:
                on_rank0(lambda: _validate(run, folder))
            stopping = sum_over_ranks(stop_asked()) > 0
            if rank() == 0 and (stopping or run.seconds() - saved_at_s > CHECKPOINT_EVERY_S):
                runs.write_checkpoint(folder, run.checkpoint())
                saved_at_s = run.seconds()
            if stopping and run.step < run.num_steps:
                saved = f"{run.step} of {run.num_steps} steps are saved in {folder}"
                raise Interrupted(f"{saved}; to go on: {resume_command(folder)}", folder)
            advance(1, f"loss {loss:.3f}{run.last_score}")
        result = on_rank0(lambda: _finish(run, folder))
        if sum_over_ranks(stop_asked()) > 0:  # for callers that train several networks in turn
            raise Interrupted(f"the run in {folder} is finished; what was to follow is not begun", folder)
    return result


class Run:
    """A network, its pictures, and everything else that a training step changes."""

    def __init__(
        self,
        config: RunConfig,
        pictures: Pictures,
        device: torch.device,
        saved: runs.Checkpoint | None = None,
    ) -> None:
        self.config, self.device, self.digest = config, device, _digest_of(config, pictures)
        self.start_s = time.perf_counter() - (saved.train_seconds if saved else 0.0)
        wanted = saved.precision if saved else config.train.precision
        self.precision, self.precision_reason = on_rank0(lambda: choose_precision(wanted, device))
        torch.manual_seed(config.train.seed)
        self.net = build(config.net)
        self.palette = on_rank0(lambda: _palette_of(config, pictures))
        _require_fit(self.net, config, self.palette, pictures)
        self.net.to(device)
        side: int = pictures.train.shape[-2]
        # short side in pixels at which the network is to read photos
        self.size = side if config.train.window else min(_PHOTO_SCALE * side, SIZES[-1])
        kind = ColourTask if isinstance(config.net, ColourNetConfig) else ClassTask
        self.task = kind(config, pictures, self.palette, device)
        self.steps_per_epoch = -(-self.task.num_train // config.train.batch_size)
        self.num_steps = config.train.steps or config.train.epochs * self.steps_per_epoch
        self.optimiser = Optimiser(self.net, config.train, self.num_steps)
        self.step, self.last_score = 0, ""
        self.losses: list[float] = []  # of this epoch's steps
        self._order = torch.empty(0)  # in which this epoch takes the pictures
        if saved:
            self._restore(saved)
        self.parallel_net: nn.Module = DistributedDataParallel(self.net) if world_size() > 1 else self.net

    def train_step(self) -> float:
        """Take one step on the next batch; return its loss before it in nats a pixel, or a DivergedError."""
        config, (epoch, batch) = self.config.train, divmod(self.step, self.steps_per_epoch)
        if batch == 0:
            self.losses = []
        if batch == 0 or not len(self._order):
            self._order = torch.arange(self.task.num_train)
            if config.reshuffle:
                generator = generator_at(config.seed, epoch, 0)
                self._order = torch.randperm(self.task.num_train, generator=generator)
        index = self._order[batch * config.batch_size : (batch + 1) * config.batch_size]
        own, own_frac = _share_of(len(index))
        crop = self.step < config.crop_frac * self.num_steps
        grey, targets = self.task.batch(index, self.step, crop=crop, own=own)

        self.net.train()
        torch.manual_seed(seed_at(config.seed, self.step, _DROPOUT + rank()))
        with compute_in(self.precision, self.device):
            logits = self.parallel_net(grey)
        loss = self.task.loss(logits, targets) * own_frac
        (loss * world_size()).backward()  # of all ranks' gradients the mean is taken
        self.optimiser.step(self.step)

        whole_loss = sum_over_ranks(loss.item())
        if not math.isfinite(whole_loss):
            raise DivergedError(f"the loss of step {self.step + 1} is {whole_loss}; lower the learning rate")
        self.step += 1
        self.losses.append(whole_loss)
        return whole_loss

    def seconds(self) -> float:
        """Return the seconds of training, those before the run was resumed included."""
        return time.perf_counter() - self.start_s

    @property
    def epochs_begun(self) -> int:
        """Passes over the pictures so far, the current one included."""
        return -(-self.step // self.steps_per_epoch)

    def checkpoint(self) -> runs.Checkpoint:
        """Return the state between two steps."""
        losses = self.losses[: self.step % self.steps_per_epoch]
        weights = {f"net.{name}": tensor for name, tensor in self.net.state_dict().items()}
        return runs.Checkpoint(
            config=self.config,
            digest=self.digest,
            step=self.step,
            train_seconds=self.seconds(),
            precision=self.precision,
            tensors=weights | self.optimiser.state() | {"losses": torch.tensor(losses, dtype=torch.float64)},
        )

    def _restore(self, saved: runs.Checkpoint) -> None:
        try:
            weights = {n.removeprefix("net."): t for n, t in saved.tensors.items() if n.startswith("net.")}
            self.net.load_state_dict(weights)
            self.optimiser.restore(saved.tensors)
            self.losses = saved.tensors["losses"].reshape(saved.step % self.steps_per_epoch).tolist()
        except (RuntimeError, ValueError, KeyError) as error:
            message = f"{CHECKPOINT} does not fit the network; start the run anew"
            raise CheckpointError(message) from error
        self.step = saved.step


def _share_of(num: int) -> tuple[slice, float]:
    """Return this rank's places in a batch of `num` pictures, and the fraction of the batch that they are."""
    if rank() >= num:  # all ranks take part in each step
        return slice(0, 1), 0.0
    own = slice(rank(), num, world_size())
    return own, len(range(num)[own]) / num


def _require_fit(net: Network, config: RunConfig, palette: Palette, pictures: Pictures) -> None:
    if config.net.num_colours != palette.num_classes:
        found = f"{palette.num_classes} colours, the network {config.net.num_colours}"
        raise ConfigError(f"the palette {config.palette} has {found}; make them equal")
    height, width = pictures.train.shape[-2:]
    if height % net.stride or width % net.stride:
        raise ConfigError(
            f"the network needs height and width divisible by {net.stride}, got {height}x{width}; "
            f"crop to {height - height % net.stride}x{width - width % net.stride}"
        )


def _begin_folder(run: Run, pictures: Pictures, folder: Path) -> None:
    reasons = {"precision": run.precision_reason, "device": str(run.device), "processes": str(world_size())}
    manifest = runs.Manifest(
        config=run.config,
        data_sha256=pictures.digest,
        reasons=reasons,
        notes=pictures.notes,
        num_images=(len(pictures.train), len(pictures.val)),
    )
    runs.write_manifest(folder, manifest)
    runs.write_samples(folder, pictures.val)


def _validate(run: Run, folder: Path) -> None:
    """Score the validation pictures at the end of an epoch, or of the run, and append the epoch's metrics."""
    seconds = run.seconds()
    val = score(run.net, run.task.val_parts())
    run.start_s = time.perf_counter() - seconds  # validation does not count
    num, starts = run.config.train.batch_size, range(0, run.task.num_train, run.config.train.batch_size)
    sizes = [min(num, run.task.num_train - start) for start in starts][: len(run.losses)]
    pieces = np.array_split(run.losses, min(_MOST_PIECES, len(run.losses)))
    row: runs.EpochMetrics = {
        "epoch": run.epochs_begun,
        "step": run.step,
        "train_loss": sum(loss * size for loss, size in zip(run.losses, sizes, strict=True)) / sum(sizes),
        "val_loss": val.loss,
        "val_accuracy": val.accuracy,
        "train_seconds": round(seconds, 3),
        "losses": [round(float(np.mean(piece)), 6) for piece in pieces],
    }
    runs.append_metrics(folder, row)
    run.last_score = f", val accuracy {val.accuracy:.1f} %"


def _finish(run: Run, folder: Path) -> TrainResult:
    seconds = run.seconds()
    # the state first: a folder with a model and no checkpoint could neither go on nor start anew
    runs.write_checkpoint(folder, run.checkpoint())
    runs.write_weights(folder / runs.WEIGHTS, run.net, run.config.net, run.palette, run.size)
    if not (rows := runs.read_metrics(folder)):
        raise CheckpointError(f"{folder} has lost its {runs.METRICS}; start the run anew")
    last, labels = rows[-1], torch.cat([labels.flatten() for _, labels in run.task.val_parts()])
    most_common = 100 * labels.bincount().max().item() / len(labels)
    if last["val_accuracy"] <= most_common:  # a few dozen pictures, or a few steps
        _logger.warning("no better than one class everywhere, right on %.1f %% of pixels", most_common)
    return TrainResult(
        run=str(folder),
        epochs=run.epochs_begun,
        steps=run.num_steps,
        train_loss=last["train_loss"],
        val_loss=last["val_loss"],
        val_accuracy=last["val_accuracy"],
        train_seconds=seconds,
        peak_memory_bytes=peak_memory_bytes(run.device),
    )


def _palette_of(config: RunConfig, pictures: Pictures) -> Palette:
    if config.palette != LEARNED:
        return Palette.read(config.palette)
    few = pictures.train[:: max(1, len(pictures.train) // _NUM_SAMPLED)]
    means = (F.avg_pool2d(some.float(), ColourNet.out_stride) for some in few.split(64))
    coarse = torch.cat([mean.round().byte() for mean in means])
    return Palette.learn(coarse.numpy(), config.net.num_colours, "ab", config.train.seed)


def _digest_of(config: RunConfig, pictures: Pictures) -> str:
    # a learned palette follows from pictures and configuration
    colours = [] if config.palette == LEARNED else Palette.read(config.palette).to_dict()["colours"]
    return hashlib.sha256(f"{pictures.digest} {colours}".encode()).hexdigest()


def _saved_run(
    config: RunConfig, pictures: Pictures, folder: Path, *, resume: bool
) -> runs.Checkpoint | None:
    """Return the checkpoint to resume from, which has to be of this run; None for a new one."""
    if not resume:
        if (folder / CHECKPOINT).exists() or (folder / runs.WEIGHTS).exists():
            raise CheckpointError(f"{folder} holds a run; go on with --resume or choose another --out")
        return None
    saved = runs.read_checkpoint(folder)
    _require_same_config(config, saved.config, folder)
    if saved.digest != _digest_of(config, pictures):
        raise CheckpointError(
            f"{folder} was trained on other pictures or colours than {pictures.name} has now; start anew"
        )
    return saved


def _require_same_config(asked: RunConfig, saved: RunConfig, folder: Path) -> None:
    was, now = _flat(saved), _flat(asked)
    differences = [f"{key} was {was[key]}, now {now.get(key)}" for key in was if was[key] != now.get(key)]
    if differences:
        raise CheckpointError(
            f"{folder} holds a run of another configuration ({', '.join(differences)}); "
            "leave out what differs to go on with it, or choose another --out"
        )


def _flat(config: RunConfig) -> dict[str, Any]:
    nested = config.to_dict()
    parts = {f"{part}.{key}": value for part in ("net", "train") for key, value in nested.pop(part).items()}
    return parts | nested
