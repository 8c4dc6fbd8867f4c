"""The label doctor: check-labels."""

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
    """Look for mistakes in masks before a network learns from them, and say what to do about each.

    It reads the photos in FOLDER/images and the masks in FOLDER/masks of the same names, or COCO's
    annotations.json, or LabelMe's files beside the photos. It finds missing halves of pairs; sizes and EXIF
    turns that disagree; masks resized smoothly or saved as JPEG; values that are no class; masks and classes
    with nothing in them; and photos that are there twice. Nothing is changed. With problems it exits with 1.

    Parameters
    ----------
    folder
        The folder of photos and masks.
    """
    from pixelwise.masks.doctor import check_folder

    problems = check_folder(folder)
    told = [f"{one.path}: {one.problem}; {one.remedy}" for one in problems]
    num = len(problems)
    summary = f"{num} problem{'s' if num != 1 else ''} in {folder}" if num else f"no problem in {folder}"
    values = {"problems": [asdict(one) | {"path": str(one.path)} for one in problems]}
    return Outcome(values=values, message="\n".join([*told, summary]), num_failed=num)
