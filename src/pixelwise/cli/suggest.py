"""The verb that names photos to label next: suggest."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pixelwise.cli.common import Common, DataDir, Outcome, Weights, say
from pixelwise.errors import ConfigError, DataError


def suggest(
    source: str,
    /,
    *,
    head: str | None = None,
    num: Annotated[int, Parameter(name=["--num", "-n"])] = 10,
    backbone: str = "efficientnet_lite0",
    sizes: tuple[int, ...] = (),
    weights: Weights = None,
    data_dir: DataDir = None,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Outcome:
    """Say which photos to label next: those whose labels would improve a head most, in that order.

    With a head, what it does not know decides; without, the photos that stand best for all of them come
    first, which is how to choose the first ones to label. Each is chosen in view of those before it.

    Parameters
    ----------
    source
        Photos without labels: a folder of them and all below it; or folder:PATH or flowers17, of which those
        without masks are taken, and those with masks are known.
    head
        The head that is to learn more: a shipped head's name, or a file that finetune wrote.
    num
        How many photos to name.
    backbone
        The frozen network whose features set photos apart; the head's own, with a head.
    sizes
        Short sides in pixels at which photos are read; the backbone's own, or the head's.
    """
    from pixelwise.labels.sources import load_labelled
    from pixelwise.network.backbones import open_backbone
    from pixelwise.photos.find import find_photos, is_folder
    from pixelwise.segmenting.heads import open_head
    from pixelwise.segmenting.suggest import suggest as suggest_photos

    opened = open_head(head) if head else None
    known: list[Path] = []
    if is_folder(source):
        found, failures = find_photos([source], recursive=True)
        for failure in failures:
            say(failure.error, always=True)
        photos = [one.path for one in found]
        if opened and (learned := opened.facts.source):
            with contextlib.suppress(ConfigError, DataError):  # it may be on another machine
                known = [one.photo for one in load_labelled(learned, data_dir, common.seed).train]
    else:
        labelled = load_labelled(source, data_dir, common.seed)
        photos, known = list(labelled.unlabelled), [one.photo for one in labelled.train]
    if not photos:
        raise ConfigError(f"needed photos without labels to choose from, {source} has none")
    suggested = suggest_photos(
        photos,
        known,
        open_backbone(opened.backbone if opened else backbone, weights),
        opened,
        num=num,
        sizes=sizes or None,
        device=common.device,
    )
    values = {
        "suggestions": [{"path": str(one.photo), "gain": one.gain} for one in suggested],
        "num_candidates": len(photos),
        "num_known": len(known),
    }
    title = f"{len(photos)} photos without labels, {len(known)} known; doubt that labels of each will settle:"
    lines = [f"{100 * one.gain:5.1f} %  {one.photo}" for one in suggested]
    return Outcome(values=values, message="\n".join([title, *lines]))
