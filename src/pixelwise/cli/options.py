"""Options of the verbs that learn: what follows `finetune` or `train` may follow `plan` and its name, too."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from pixelwise.cli.common import DataDir
from pixelwise.config import FinetuneConfig, Policy


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class FinetuneOptions:
    """How a head is learned from masks.

    Parameters
    ----------
    out
        The head's file; out/SOURCE.head.safetensors if not given.
    backbone
        The frozen network: efficientnet_lite0 (inside the package), deeplabv3_resnet101,
        deeplabv3_resnet50, deeplabv3_mobilenet_v3_large, lraspp_mobilenet_v3_large, or timm:NAME.
    weights
        File of the backbone's weights, where there is no network to download them from.
    shots
        Photos to learn from, drawn by --seed; all of the training part if not given.
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
        Learn exact last layers from 2, 5, 10, 20, ... of the photos, too, several draws of each: what
        they score by number, drawn in HEAD.curve.png, and what 10 more photos would bring at most.
    data_dir
        Where the data sets lie or are downloaded to; if not given, where PIXELWISE_DATA says, or else
        in the user's cache.
    """

    out: Annotated[Path | None, Parameter(name=["--out", "-o"])] = None
    backbone: str = "efficientnet_lite0"
    weights: Path | None = None
    shots: int = 0
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
        given = asdict(self)
        for name in ("out", "curve", "data_dir"):  # of where, not of how
            del given[name]
        weights = str(self.weights) if self.weights else None
        return FinetuneConfig(
            **given
            | {"source": source, "weights": weights, "policy": self.policy or "last-layer", "seed": seed}
        )
