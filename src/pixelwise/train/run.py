"""A run of training: a network, its pictures, and its state between two steps."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pixelwise.config import ColourNetConfig, RunConfig, TrainConfig
from pixelwise.data import Pictures
from pixelwise.errors import CheckpointError, ConfigError, DivergedError
from pixelwise.labelspace import Palette
from pixelwise.metrics import PixelScore
from pixelwise.models import Network, build
from pixelwise.optimise import Optimiser
from pixelwise.processes import ALONE, Processes, told_when_lost
from pixelwise.processor import choose_precision, compute_in
from pixelwise.runs import (
    CHECKPOINT,
    METRICS,
    MODEL,
    SIZES,
    Checkpoint,
    append_metrics,
    cut_metrics,
    read_metrics,
    with_prefix,
    write_checkpoint,
    write_manifest,
    write_model,
    write_samples,
)
from pixelwise.stopping import Stopwatch
from pixelwise.train.lesson import ClassLesson, Lesson, drawn_by, layers_seed
from pixelwise.train.saved import digest_of, job_of_run, palette_of
from pixelwise.train.together import draw_as_whole, gradients_kept_back, parts_of, shared
from pixelwise.train.windows import ColourLesson

_logger = logging.getLogger(__name__)
_PHOTO_SCALE = 2  # photos show more than the pictures learned from: docs/log.md has what other sizes gave
_PIECES = 60  # of an epoch: what a curve has room for
CHECKPOINT_EVERY_S = 20.0
"""A kill costs at most this much work."""


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What a finished run came to; the keys of `pixelwise train --json`."""

    run: str
    """The run's folder."""
    epochs: int
    """Passes over the training images, the last of which `steps` may have ended early."""
    steps: int
    """Updates of the weights."""
    train_loss: float
    """Mean over the last epoch's batches, in nats."""
    val_loss: float
    """On the validation images, in nats."""
    val_accuracy: float
    """Share of right pixels on the validation images, in per cent."""
    train_seconds: float
    """Everything after the data is in memory, validation left out."""
    peak_memory_bytes: int
    """The most memory the process (on a GPU: the device) ever held; of several, the one that held most."""
    processes: int = 1
    """How many trained, each on its share of every batch."""


class Run:
    """Everything that a step changes, and how it is saved."""

    def __init__(
        self,
        config: RunConfig,
        pictures: Pictures,
        folder: Path,
        device: torch.device,
        saved: Checkpoint | None,
        group: Processes = ALONE,
    ) -> None:
        self.group, self.name = group, pictures.name
        self.config, self.folder, self.device, self.digest = (
            config,
            folder,
            device,
            digest_of(config, pictures),
        )
        self.clock = Stopwatch(saved.train_seconds if saved else 0.0)
        self.precision, reason = group.by_first(
            lambda: choose_precision(saved.precision if saved else config.train.precision, device)
        )
        torch.manual_seed(config.train.seed)
        self.net = build(config.net)
        self.palette = group.by_first(lambda: palette_of(config, pictures))
        _check_fit(self.net, config, self.palette, pictures)
        self.net.to(device)
        self.size = _reading_size(config, pictures)
        self.lesson = _lesson(config, pictures, self.palette, device)
        self.steps_per_epoch = -(-self.lesson.num_train // config.train.batch_size)
        self.num_steps = config.train.steps or config.train.epochs * self.steps_per_epoch
        self.optimiser = Optimiser(self.net, config.train, self.num_steps)
        self.step, self.epoch_loss_sum, self.last_score = 0, 0.0, ""
        self.losses: list[float] = []
        self._order: torch.Tensor | None = None
        if saved:
            self._restore(saved)
        self.reader = shared(self.net, config.train, group)
        if not saved and group.leads:
            reasons = {"precision": reason, "device": str(device), "processes": str(group.num)} | job_of_run()
            nums = len(pictures.train), len(pictures.val)
            write_manifest(folder, config, pictures.digest, reasons, pictures.notes, nums)
            write_samples(folder, pictures.val)
        if group.leads:
            cut_metrics(folder, self.step)
        self._saved_at_s = self.clock.seconds()

    def learn(self) -> float:
        """One step; the loss before it, over the whole batch.

        Raises:
            DivergedError: it is no number.
        """
        index, crop = self.next_pictures()
        train, num = self.config.train, len(index)
        parts = parts_of(num, train.accumulate, self.group)
        shown = [self.lesson.batch(index, self.step, crop=crop, part=part) for part in parts]
        weights = [self.lesson.weight(one) for one in shown]
        (total,) = self.group.sums(sum(weights))
        own_loss = 0.0
        seed = layers_seed(train.seed, self.step)
        torch.manual_seed(seed)
        for place, (part, batch, weight) in enumerate(zip(parts, shown, weights, strict=True), 1):
            draw_as_whole(self.net, seed, part, num)
            ends = place == len(parts)
            with told_when_lost(), gradients_kept_back(self.reader, kept=not ends):
                with compute_in(self.precision, self.device):
                    logits = self.reader(batch.grey())
                loss = self.lesson.loss(logits, batch) if len(batch) else 0 * logits.sum()
                own_loss += loss.item() * (weight / total)
                loss = loss * (weight / total * self.group.num)  # processes' gradients are averaged
                if ends:
                    self.optimiser.step(loss, self.step)
                else:
                    loss.backward()
        (whole_loss,) = self.group.sums(own_loss)
        self.count(whole_loss, num)
        return whole_loss

    def next_pictures(self) -> tuple[torch.Tensor, bool]:
        """Places of the pictures of this step, and whether quarters of them are read."""
        epoch, batch = divmod(self.step, self.steps_per_epoch)
        if batch == 0:
            self.epoch_loss_sum, self.losses = 0.0, []
        self.net.train()
        train = self.config.train
        if self._order is None or batch == 0:
            self._order = _epoch_order(train, epoch, self.lesson.num_train)
        index = self._order[batch * train.batch_size : (batch + 1) * train.batch_size]
        return index, self.step < train.crop_frac * self.num_steps

    def count(self, loss: float, num_images: int) -> None:
        """One more step is done.

        Raises:
            DivergedError: its loss is no number.
        """
        if not math.isfinite(loss):
            raise DivergedError(
                f"training diverged: the loss of step {self.step + 1} is {loss}; lower the learning rate"
            )
        self.step += 1
        self.epoch_loss_sum += loss * num_images
        self.losses.append(loss)

    def validate(self) -> None:
        """Score the validation pictures at the end of an epoch, or of the run within one, and note it."""
        with self.clock.paused():
            val = self._score()
        num_images = min(len(self.losses) * self.config.train.batch_size, self.lesson.num_train)
        row = {
            "epoch": self._epochs_begun(),
            "step": self.step,
            "train_loss": self.epoch_loss_sum / num_images,
            "val_loss": val.loss,
            "val_accuracy": val.accuracy,
            "train_seconds": round(self.clock.seconds(), 3),
            "losses": [round(float(np.mean(piece)), 6) for piece in _pieces(self.losses)],
        }
        if self.group.leads:
            append_metrics(self.folder, row)
        self.last_score = f", val accuracy {val.accuracy:.1f} %"

    def _score(self) -> PixelScore:
        """Of the network on all pictures to measure on, of which each process reads its share."""
        if not self.config.train.shared_norm:  # then batch norm's averages are those of the first process
            for buffer in self.net.buffers():
                self.group.as_first(buffer)
        own = self.lesson.score(self.net, self.group.part(0, self.lesson.num_val))
        pixels, right, loss = self.group.sums(own.num_pixels, own.num_right, own.loss_sum)
        return PixelScore(num_pixels=int(pixels), num_right=int(right), loss_sum=loss)

    def save_is_due(self) -> bool:
        """Whether enough work has piled up since the last checkpoint."""
        return self.clock.seconds() - self._saved_at_s > CHECKPOINT_EVERY_S

    def save(self) -> None:
        """Write the checkpoint, in the first process of a group."""
        if not self.group.leads:
            return
        so_far = self.losses[: self.step % self.steps_per_epoch]
        weights = {f"net.{name}": tensor for name, tensor in self.net.state_dict().items()}
        checkpoint = Checkpoint(
            config=self.config,
            digest=self.digest,
            step=self.step,
            train_seconds=self.clock.seconds(),
            epoch_loss_sum=self.epoch_loss_sum,
            precision=self.precision,
            tensors=weights | self.optimiser.state() | {"losses": torch.tensor(so_far, dtype=torch.float64)},
        )
        write_checkpoint(self.folder, checkpoint)
        self._saved_at_s = self.clock.seconds()

    def _restore(self, saved: Checkpoint) -> None:
        try:
            self.net.load_state_dict(with_prefix(saved.tensors, "net"))
            self.optimiser.restore(saved.tensors)
            self.losses = saved.tensors["losses"].reshape(saved.step % self.steps_per_epoch).tolist()
        except (RuntimeError, ValueError, KeyError) as error:
            raise CheckpointError(
                f"{self.folder / CHECKPOINT} does not fit the network; start the run anew"
            ) from error
        self.step, self.epoch_loss_sum = saved.step, saved.epoch_loss_sum

    def finish(self, peak_bytes: int) -> TrainResult:
        """Leave the model and the final state, and say what the run came to."""
        seconds = self.clock.seconds()
        self.save()  # first: a folder with a model and no checkpoint could neither go on nor start anew
        write_model(self.folder / MODEL, self.net, self.config.net, self.palette, self.size)
        last = next(reversed(read_metrics(self.folder)), None)
        if last is None:
            raise CheckpointError(f"{self.folder} has lost its {METRICS}; start the run anew")
        self._warn_of_no_use(last["val_accuracy"])
        return TrainResult(
            run=str(self.folder),
            epochs=self._epochs_begun(),
            steps=self.num_steps,
            train_loss=last["train_loss"],
            val_loss=last["val_loss"],
            val_accuracy=last["val_accuracy"],
            train_seconds=seconds,
            peak_memory_bytes=peak_bytes,
            processes=self.group.num,
        )

    def _epochs_begun(self) -> int:
        """Passes over the pictures so far, the one that is going on among them."""
        return -(-self.step // self.steps_per_epoch)

    def _warn_of_no_use(self, val_accuracy: float) -> None:
        """Say so when no network was needed for what came out: a few dozen pictures, or a few steps."""
        commonest = 100 * self.lesson.commonest_frac
        if val_accuracy <= commonest:
            _logger.warning(
                f"no better than always choosing the commonest class, right on {commonest:.1f} % of pixels; "
                f"{self.num_steps} steps on {self.lesson.num_train} pictures are too few or the rate is wrong"
            )


def _lesson(config: RunConfig, pictures: Pictures, palette: Palette, device: torch.device) -> Lesson:
    kind = ColourLesson if isinstance(config.net, ColourNetConfig) else ClassLesson
    return kind(config, pictures, palette, device)


def _reading_size(config: RunConfig, pictures: Pictures) -> int:
    """Short side in pixels at which the network is to read photos."""
    side: int = pictures.train.shape[-2]
    return side if config.train.window else min(_PHOTO_SCALE * side, SIZES[-1])


def _pieces(losses: list[float]) -> list[np.ndarray]:
    """The steps of an epoch in at most so many pieces of equal length, or nearly."""
    return np.array_split(losses, min(_PIECES, len(losses)))


def _epoch_order(train: TrainConfig, epoch: int, num_images: int) -> torch.Tensor:
    """The order in which an epoch meets the pictures: the files' own, or one drawn from seed and epoch."""
    if not train.reshuffle:
        return torch.arange(num_images)
    return torch.randperm(num_images, generator=drawn_by(train.seed, epoch, 0))


def _check_fit(net: Network, config: RunConfig, palette: Palette, pictures: Pictures) -> None:
    """Refuse pictures that the network cannot halve as often as it wants to, and classes without a colour."""
    if config.net.num_colours != palette.num_classes:
        raise ConfigError(
            f"the palette {config.palette} has {palette.num_classes} colours, "
            f"the network {config.net.num_colours}; make them equal"
        )
    stride = net.stride
    height, width = pictures.train.shape[-2:]
    if height % stride or width % stride:
        raise ConfigError(
            f"the network needs height and width divisible by {stride}, got {height}x{width}; "
            f"crop to {height - height % stride}x{width - width % stride}"
        )
