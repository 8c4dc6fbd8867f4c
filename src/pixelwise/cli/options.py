"""Options of the verbs that learn: what follows `finetune` or `train` may follow `plan` and its name, too."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from pixelwise.cli.common import DataDir, Weights
from pixelwise.config import (
    LEARNED,
    NET_NAMES,
    ColourFinetuneConfig,
    FinetuneConfig,
    Policy,
    Precision,
    RunConfig,
)
from pixelwise.errors import ConfigError
from pixelwise.recipes import change, recipe_names
from pixelwise.recipes import recipe as build_recipe


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class FinetuneOptions:
    """How a head is learned from masks, or a colouriser from colour photos.

    Parameters
    ----------
    task
        mask: a head, from photos and their masks. colour: a colouriser, from the colour photos of
        folder:PATH; of the other options it takes --out, --colours, --shots, --looks, --sizes (one),
        --ridge and --backbone.
    colours
        Of --task colour: classes of colour; 32, or fewer of few photos, if not given.
    out
        The head's file; out/SOURCE.head.safetensors if not given. Of --task colour the model's file;
        out/SOURCE.safetensors if not given.
    backbone
        The frozen network: efficientnet_lite0 (inside the package), deeplabv3_resnet101,
        deeplabv3_resnet50, deeplabv3_mobilenet_v3_large, lraspp_mobilenet_v3_large, or timm:NAME.
    shots
        Photos to learn from, drawn by --seed; all of the training part if not given.
    then_all
        Once the head is scored on the photos held out, learn it anew from these, too. Its scores stay those
        of before.
    sizes
        Short sides in pixels at which photos are read; the backbone's own if not given.
    looks
        Looks at each photo, the first at the whole, others closer; more the fewer photos, if not
        given.
    ridge
        Keeps the head's weights small; chosen by photos left out, if not given.
    rebalance
        Weight rare classes up: 0 not at all, 1 until all classes weigh the same.
    loss
        Of a sample of pixels, or of every labelled pixel at full size.
    policy
        What learns: the last layer alone, if not given; with it the last stage of the network; or all
        of it. The best on photos that are not learned from is kept, Ctrl-C or not.
    solver
        Of the last layer: exact, or by adam as the handout does, the network run again in each epoch:
        to compare.
    epochs
        Passes over the photos: 10 with --solver adam, at most 20 with --policy stage or full, if not
        given.
    batch_size
        Photos in a step, of the same.
    learning_rate
        Of the same: 0.01 with --solver adam, 0.0001 of the network with --policy, if not given.
    advise
        Measure on photos held out what --policy stage would gain, and what it would cost.
    curve
        Learn exact last layers from 2, 5, 10, 20, ... of the photos, too, several draws of each,
        each with a ridge of its own unless one is given: what they score by number, drawn in
        HEAD.curve.png, and what 10 more photos would bring at most.
    data_dir
        Where the data sets lie or are downloaded to; if not given, where PIXELWISE_DATA says, or else
        in the user's cache.
    """

    task: Literal["mask", "colour"] = "mask"
    colours: int = 0
    out: Annotated[Path | None, Parameter(name=["--out", "-o"])] = None
    backbone: str = "efficientnet_lite0"
    weights: Weights = None
    shots: int = 0
    then_all: Annotated[bool, Parameter(negative="")] = False
    sizes: Annotated[tuple[int, ...], Parameter(consume_multiple=True, negative="")] = ()
    looks: int = 0
    ridge: float | None = None
    rebalance: float = 0.0
    loss: Literal["pixels", "whole"] = "pixels"
    policy: Policy | None = None
    solver: Literal["exact", "adam"] = "exact"
    epochs: int = 0
    batch_size: int = 8
    learning_rate: float | None = None
    advise: Annotated[bool, Parameter(negative="")] = False
    curve: Annotated[bool, Parameter(negative="")] = False
    data_dir: DataDir = None

    def config(self, source: str, seed: int) -> FinetuneConfig:
        """The configuration that they make.

        Raises:
            ConfigError: a value is out of range, or of no use beside another.
        """
        if self.task != "mask":
            raise ConfigError("--task colour is an option of pixelwise finetune alone, which takes a minute")
        self._refuse("--task colour", {"colours"})
        given = asdict(self)
        for name in ("task", "colours", "out", "curve", "data_dir"):  # of what and where, not of how
            del given[name]
        weights = str(self.weights) if self.weights else None
        return FinetuneConfig(
            **given
            | {"source": source, "weights": weights, "policy": self.policy or "last-layer", "seed": seed}
        )

    def colour_config(self, source: str, seed: int) -> ColourFinetuneConfig:
        """The configuration that they make with --task colour.

        Raises:
            ConfigError: a value is out of range, or an option is one of --task mask.
        """
        own = {"task", "colours", "out", "backbone", "shots", "sizes", "looks", "ridge"}
        self._refuse("--task mask", {one.name for one in fields(self)} - own)
        if len(self.sizes) > 1:
            raise ConfigError(f"--task colour reads photos at one size, got --sizes {self.sizes}; give one")
        size = {"size": self.sizes[0]} if self.sizes else {}
        return ColourFinetuneConfig(
            source=source,
            backbone=self.backbone,
            shots=self.shots,
            looks=self.looks,
            num_colours=self.colours,
            ridge=self.ridge,
            seed=seed,
            **size,
        )

    def _refuse(self, whose: str, names: set[str]) -> None:
        for one in fields(self):
            if one.name in names and getattr(self, one.name) != one.default:
                raise ConfigError(f"--{one.name.replace('_', '-')} is an option of {whose}; leave it out")


_OF_RECIPES = (
    *("palette", "num_colours", "size", "rebalance", "softness", "film"),
    *("kernel", "num_filters", "convolution", "precision"),
)
"""Options that go by the names of what they change in a recipe."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How a network is trained on pictures.

    Parameters
    ----------
    recipe
        Of cnn and unet: handout (the assignment's own), fast (soonest to its quality), best (most
        accurate in its time) or embedded (of the shipped model cifar-ab). Of colournet: photo (of the
        shipped model of that name). The first of them to train by, and all of them to plan, if not given.
    epochs
        Passes over the training images; the recipe's if not given.
    batch_size
        Images per step; need not divide the number of images.
    learning_rate
        The recipe's if not given.
    fixed_order
        Never reshuffle the batches, as the assignment's original code did not.
    palette
        Colours to choose from: handout24, a palette file, or learned: from the
        pictures themselves, for colournet.
    num_colours
        Classes of a palette that is learned; as many as the palette has of any other.
    size
        Side in pixels of the squares that the photos of a folder are cut to.
    rebalance
        Weight rare classes up: 0 not at all, 1 until all weigh the same; more vivid, less accurate.
    softness
        How far, in Lab units, a colour still counts for the classes around it; of colournet.
    film
        Share of the photos that are read as if on old film, red blind, faded, grainy or blurred; of
        colournet.
    kernel
        Side of the convolutions' windows; odd.
    num_filters
        Filters of the first block (NF).
    convolution
        Torch's kernel, or the written-out matrix product: the same numbers.
    precision
        fp32, bf16, or auto: bf16 where this processor computes it faster, measured.
    out
        The run's folder; out/NET-SOURCE-RECIPE if not given.
    resume
        Go on with the run in --out as it was started: of all it was started with only --data-dir is
        needed again.
    data_dir
        Where the data sets lie or are downloaded to; if not given, where PIXELWISE_DATA says, or else
        in the user's cache.
    """

    recipe: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    fixed_order: Annotated[bool, Parameter(negative="")] = False
    palette: str | None = None
    num_colours: int | None = None
    size: int | None = None
    rebalance: float | None = None
    softness: float | None = None
    film: float | None = None
    kernel: int | None = None
    num_filters: int | None = None
    convolution: Literal["torch", "unfold"] | None = None
    precision: Precision | None = None
    out: Annotated[Path | None, Parameter(name=["--out", "-o"])] = None
    resume: Annotated[bool, Parameter(negative="")] = False
    data_dir: DataDir = None

    def config(self, net: str | None, source: str | None, seed: int) -> RunConfig:
        """The configuration that they make; of a run to go on with, as it was started.

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
                f"--num-colours is of a palette that is learned, {config.palette} has its own; leave it out, "
                "or choose --palette learned"
            )
        return config

    def folder(self, net: str | None, source: str | None) -> Path:
        """Where the run goes.

        Raises:
            ConfigError: it is given no folder, and no network or no source, by which it is named.
        """
        if self.out:
            return self.out
        net, source = _both(net, source, ", or --out with the run's folder" if self.resume else "")
        name = self.recipe or recipe_names(net)[0]
        return Path("out") / f"{net}-{source.replace(':', '-').replace('/', '-')}-{name}"

    def _changes(self, seed: int) -> dict[str, Any]:
        """What a recipe has otherwise; None changes nothing."""
        return {
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "reshuffle": False if self.fixed_order else None,
            **{name: getattr(self, name) for name in _OF_RECIPES},
            "seed": seed or None,  # as all recipes have it; a run to go on with may have another
        }

    def _as_started(self, net: str | None, source: str | None, seed: int) -> RunConfig:
        """An interrupted run's, with whatever was given again; training refuses a difference."""
        from pixelwise.runs import read_checkpoint

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
    """The network and the source.

    Raises:
        ConfigError: one is missing.
    """
    if net is None or source is None:
        missing = "NET and SOURCE" if net is None else "SOURCE"
        raise ConfigError(f"train needs {missing}{otherwise}. See pixelwise train --help.")
    return net, source
