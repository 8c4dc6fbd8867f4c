"""The verb that tells what a run will cost: plan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from pixelwise.cli.common import Common, DataDir, Outcome
from pixelwise.config import FinetuneConfig


def plan(
    verb: Literal["finetune"],
    source: str,
    /,
    *,
    backbone: str = "efficientnet_lite0",
    weights: Path | None = None,
    shots: int = 0,
    sizes: Annotated[tuple[int, ...], Parameter(consume_multiple=True, negative="")] = (),
    looks: int = 0,
    epochs: int = 20,
    batch_size: int = 8,
    data_dir: DataDir = None,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Outcome:
    """Tell what learning from masks will cost, by policy, before anything runs: memory, FLOPs and time.

    Memory and FLOPs are counted from the network itself, at the size at which photos are read and at twice
    its height and width. Time is that of a few pieces of the work, tried out here on photos of the source.

    Parameters
    ----------
    verb
        What is to run: finetune.
    source
        Photos and masks: flowers17, flowers17:classes, or folder:PATH with images/ and masks/.
    backbone
        The network whose features the head reads; `pixelwise finetune --help` names them.
    weights
        File of the backbone's weights, where there is no network to download them from.
    shots
        Photos to learn from; all of the training part if not given.
    sizes
        Short sides in pixels at which photos are read; the backbone's own if not given.
    looks
        Looks at each photo; more the fewer photos, if not given.
    epochs
        Passes over the photos, of the policies that thaw the backbone: stage and full.
    batch_size
        Photos at once, of the same policies.
    data_dir
        Where the data sets lie or are downloaded to; if not given, where PIXELWISE_DATA says, or
        else in the user's cache.
    """
    config = FinetuneConfig(
        source=source,
        backbone=backbone,
        weights=str(weights) if weights else None,
        sizes=sizes,
        shots=shots,
        looks=looks,
        seed=common.seed,
    )
    del verb
    from pixelwise.backbones import open_backbone
    from pixelwise.cost import process_age_s
    from pixelwise.data import load_labelled
    from pixelwise.finetune.plan import plan_finetune
    from pixelwise.processor import choose_device

    labelled = load_labelled(source, data_dir, common.seed)
    opened = open_backbone(backbone, weights)
    planned = plan_finetune(
        config,
        labelled,
        opened,
        choose_device(common.device),
        epochs=epochs,
        batch_size=batch_size,
        started_s=process_age_s(),
    )
    return Outcome(values=planned.to_dict(), message=planned.describe())
