"""Options of the verb train: what they change in a recipe."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from cyclopts import Parameter

from pixelwise.cli.common import DataDir, Out
from pixelwise.errors import ConfigError
from pixelwise.network.config import LEARNED, NET_NAMES, Precision, RunConfig
from pixelwise.training.recipes import change, recipe_names
from pixelwise.training.recipes import recipe as build_recipe


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """What a run has otherwise than its recipe."""

    recipe: str | None = None
    """Of cnn and unet: handout (the assignment's own), fast (soonest to its quality), best (most accurate in
    its time) or embedded (of the shipped model cifar-ab). Of colournet: photo (of the shipped model of that
    name). The first of them if not given."""
    epochs: int | None = None
    """Passes over the training images; the recipe's if not given."""
    batch_size: int | None = None
    """Images per step; need not divide the number of images."""
    learning_rate: float | None = None
    """The recipe's if not given."""
    fixed_order: bool = False
    """Never reshuffle the batches, as the assignment's original code did not."""
    palette: str | None = None
    """Colours to choose from: handout24, a palette file, or learned: from the pictures themselves, for
    colournet."""
    num_colours: int | None = None
    """Classes of a palette that is learned; as many as the palette has of any other."""
    size: int | None = None
    """Side in pixels of the squares that the photos of a folder are cut to."""
    rebalance: float | None = None
    """Weight rare classes up: 0 not at all, 1 until all weigh the same; more vivid, less accurate."""
    softness: float | None = None
    """How far, in Lab units, a colour still counts for the classes around it; of colournet."""
    film: float | None = None
    """Share of the photos that are read as if on old film, red blind, faded, grainy or blurred; of
    colournet."""
    kernel: int | None = None
    """Side of the convolutions' windows; odd."""
    num_filters: int | None = None
    """Filters of the first block (NF)."""
    convolution: Literal["torch", "unfold"] | None = None
    """Torch's kernel, or the written-out matrix product: the same numbers."""
    precision: Precision | None = None
    """fp32, bf16, or auto: bf16 where this processor computes it faster, measured."""
    out: Out = None
    """The run's folder; out/NET-SOURCE-RECIPE if not given."""
    resume: bool = False
    """Go on with the run in --out as it was started: of all it was started with only --data-dir is needed
    again."""
    data_dir: DataDir = None

    def config(self, net: str | None, source: str | None, seed: int) -> RunConfig:
        """Return the configuration of the run; of one to go on with, as it was started.

        Raises:
            CheckpointError: there is no run to go on with.
            ConfigError: the recipe or the network is not there, or a value is out of range.
        """
        if self.resume:
            return self._as_started(net, source, seed)
        net, source = _both(net, source)
        config = build_recipe(self.recipe or recipe_names(net)[0], net, source, **self._changes(seed))
        if self.num_colours is not None and config.palette != LEARNED:
            raise ConfigError(
                f"--num-colours is of a palette that is learned, {config.palette} has its own; leave it out"
            )
        return config

    def folder(self, net: str | None, source: str | None) -> Path:
        """Return the folder of the run.

        Raises:
            ConfigError: none is given, and no network or no source to name it by.
        """
        if self.out:
            return self.out
        net, source = _both(net, source, ", or --out with the run's folder" if self.resume else "")
        name = self.recipe or recipe_names(net)[0]
        return Path("out") / f"{net}-{source.replace(':', '-').replace('/', '-')}-{name}"

    def _changes(self, seed: int) -> dict[str, Any]:
        """Return what a recipe has otherwise; None changes nothing."""
        changes = asdict(self)
        for name in ("recipe", "fixed_order", "out", "resume", "data_dir"):
            del changes[name]
        # seed 0 is that of all recipes; a run to go on with may have another
        return changes | {"reshuffle": False if self.fixed_order else None, "seed": seed or None}

    def _as_started(self, net: str | None, source: str | None, seed: int) -> RunConfig:
        """Return an interrupted run's, with whatever was given again; training refuses a difference."""
        from pixelwise.network.runs import read_checkpoint

        saved = read_checkpoint(self.folder(net, source)).config
        given = {key: value for key, value in self._changes(seed).items() if value is not None}
        again = {"seed": saved.train.seed} | given
        saved_net = NET_NAMES[type(saved.net)]
        if self.recipe is not None or net not in (None, saved_net):
            net = net or saved_net
            name = self.recipe or recipe_names(net)[0]
            return build_recipe(name, net, source or saved.source, **again)
        return change(saved, source=source, **again)


def _both(net: str | None, source: str | None, otherwise: str = "") -> tuple[str, str]:
    if net is None or source is None:
        missing = "NET and SOURCE" if net is None else "SOURCE"
        raise ConfigError(f"train needs {missing}{otherwise}. See pixelwise train --help.")
    return net, source
