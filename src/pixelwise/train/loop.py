"""One visible loop that trains a network on pictures."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import replace
from pathlib import Path

from pixelwise.config import LEARNED, Device, RunConfig
from pixelwise.data import Pictures, load_pictures
from pixelwise.errors import Interrupted
from pixelwise.labelspace import Palette
from pixelwise.launch import num_restarts
from pixelwise.processes import ALONE, Processes
from pixelwise.processor import choose_device, peak_memory_bytes
from pixelwise.progress import progress
from pixelwise.runs import read_checkpoint, resume_command
from pixelwise.stopping import finish_step_first
from pixelwise.train.run import Run, TrainResult
from pixelwise.train.saved import alone_in_run, refuse_another, saved_run

_logger = logging.getLogger(__name__)


def train(
    config: RunConfig,
    pictures: Pictures,
    folder: Path,
    *,
    device: Device = "auto",
    resume: bool = False,
    group: Processes = ALONE,
) -> TrainResult:
    """Train a network and leave it, its scores and its state in `folder`.

    On a CPU the same configuration, pictures and number of threads give the same weights, interrupted or
    not, as long as the precision is the same: "auto" measures it, and run.json says what came out. Of a
    `group` of processes, in which each calls this, each takes its share of every batch; the first one writes.

    Raises:
        ConfigError: the size of the pictures does not suit the network.
        CheckpointError: `resume` finds no run, or one of another configuration or data; or the folder holds
            a run and `resume` is off, or another process trains there.
        DivergedError: the loss is no longer a number.
        ProcessLostError: another process of the group is gone.
        Interrupted: Ctrl-C or a polite kill came; the state between two steps is saved in the folder.
        OutputError: the folder cannot be written.
    """
    with contextlib.ExitStack() as stack:
        group.by_first(lambda: stack.enter_context(alone_in_run(folder)))
        saved = group.by_first(lambda: saved_run(config, pictures, folder, resume=resume))
        if saved and (count := num_restarts()) and group.leads:
            _logger.warning("a process was lost; restart %d: going on from step %d", count, saved.step)
        on = choose_device(device) if group.num == 1 else group.device
        return _learn(Run(config, pictures, folder, on, saved, group))


def _learn(run: Run) -> TrainResult:
    """Step after step to the end, saved now and then."""
    group, folder = run.group, run.folder
    showing = progress(f"training on {run.name}", run.num_steps, done=run.step)
    with showing as advance, finish_step_first() as stop:
        while run.step < run.num_steps:
            loss = run.learn()
            if run.step % run.steps_per_epoch == 0 or run.step == run.num_steps:
                run.validate()
            stopping = group.any(stop())
            if stopping or run.save_is_due():
                run.save()
            if stopping and run.step < run.num_steps:
                raise Interrupted(
                    f"{run.step} of {run.num_steps} steps are saved in {folder}; to go on: "
                    + resume_command(folder),
                    folder,
                )
            advance(1, f"loss {loss:.3f}{run.last_score}")
        peak_bytes = group.most(peak_memory_bytes(run.device))
        result = group.by_first(lambda: run.finish(peak_bytes))
        if group.any(stop()):  # whoever trains several networks in turn is to hear of it
            raise Interrupted(f"the run in {folder} is finished; what was to follow is not begun", folder)
        return result


def train_source(
    config: RunConfig,
    folder: Path,
    *,
    data_dir: Path | None = None,
    device: Device = "auto",
    resume: bool = False,
    group: Processes = ALONE,
) -> TrainResult:
    """Load the pictures that a configuration names, give the network its palette's number of classes, train.

    Raises:
        DataError: the pictures are not to be had.
        PixelwiseError: as `train`.
    """
    config = with_palette(config)
    if resume:  # before a download of what is not wanted
        group.by_first(lambda: refuse_another(config, read_checkpoint(folder).config, folder))
    pictures = load_pictures(config.source, data_dir, config.train.seed, size=config.size)
    return train(config, pictures, folder, device=device, resume=resume, group=group)


def with_palette(config: RunConfig) -> RunConfig:
    """A configuration whose network has as many classes as the palette that it names, if it names one.

    Raises:
        ConfigError: there is no such palette.
    """
    if config.palette == LEARNED:
        return config
    num_colours = Palette.read(config.palette).num_classes
    return replace(config, net=replace(config.net, num_colours=num_colours))
