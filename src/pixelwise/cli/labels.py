"""The verbs about labels, which photos need them and where they are wrong: suggest, check-labels."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pixelwise.cli.common import Common, DataDir, Outcome, Weights, say
from pixelwise.errors import ConfigError


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
        without masks are taken, and those that were learned from are known.
    head
        The head that is to learn more: a shipped head's name, or a file that finetune wrote.
    num
        How many photos to name.
    backbone
        The frozen network whose features set photos apart; the head's own, with a head.
    sizes
        Short sides in pixels at which photos are read; the backbone's own, or the head's.
    """
    from pixelwise.network.backbone import open_backbone
    from pixelwise.segmenting.heads import open_head
    from pixelwise.segmenting.suggest import candidates
    from pixelwise.segmenting.suggest import suggest as suggest_photos

    opened = open_head(head) if head else None
    photos, known, failures = candidates(source, opened, data_dir, common.seed)
    for failure in failures:
        say(failure.error)
    if not photos:
        raise ConfigError(f"needed photos without labels to choose from, {source} has none")
    suggested = suggest_photos(
        photos,
        known,
        open_backbone(opened.backbone if opened else backbone, weights, common.device),
        opened,
        num=num,
        sizes=sizes or None,
    )
    values = {
        "suggestions": [{"path": str(found.photo), "gain": found.gain} for found in suggested],
        "num_candidates": len(photos),
        "num_known": len(known),
    }
    title = f"{len(photos)} photos without labels, {len(known)} known; doubt that labels of each will settle:"
    lines = [f"{100 * found.gain:5.1f} %  {found.photo}" for found in suggested]
    return Outcome(values=values, message="\n".join([title, *lines]))


def check_labels(
    folder: Path,
    /,
    *,
    common: Common = Common(),  # noqa: ARG001, B008 - every verb's options
) -> Outcome:
    """Find mistakes in masks before a network learns from them, with a remedy for each; 1 if there are any.

    It finds missing halves of pairs; sizes and EXIF turns that disagree; masks resized smoothly or saved as
    JPEG; values that are no class; masks and classes with nothing in them; and photos that are there twice.

    Parameters
    ----------
    folder
        Photos in images and masks in masks, of the same names; or COCO's annotations.json; or LabelMe's files
        beside the photos.
    """
    from pixelwise.labels.doctor import check_folder

    problems = check_folder(folder)
    lines = [f"{found.path}: {found.problem}; {found.remedy}" for found in problems]
    num = len(problems)
    lines.append(f"{num} problem{'s' if num != 1 else ''} in {folder}" if num else f"no problem in {folder}")
    values = {"problems": [asdict(found) | {"path": str(found.path)} for found in problems]}
    return Outcome(values=values, message="\n".join(lines), num_failed=num)
