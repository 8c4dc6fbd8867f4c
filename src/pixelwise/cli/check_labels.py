"""The verb check-labels: the label doctor."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from pixelwise.cli.common import Common, Outcome


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
    lines = [f"{one.path}: {one.problem}; {one.remedy}" for one in problems]
    num = len(problems)
    lines.append(f"{num} problem{'s' if num != 1 else ''} in {folder}" if num else f"no problem in {folder}")
    values = {"problems": [asdict(one) | {"path": str(one.path)} for one in problems]}
    return Outcome(values=values, message="\n".join(lines), num_failed=num)
