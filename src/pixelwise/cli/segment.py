"""The verb that cuts things out of photos: segment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pixelwise.cli.common import Common, Outcome, Weights
from pixelwise.cli.photos import Recursive, report_photo, summary, values_of
from pixelwise.network.config import SegmentOptions


def segment(
    inputs: list[str],
    /,
    *,
    head: list[str],
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    options: Annotated[SegmentOptions, Parameter(name="*")] = SegmentOptions(),  # noqa: B008 - frozen
    recursive: Recursive = False,
    weights: Weights = None,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Outcome:
    """Give each pixel of photos a class: masks of the photos' own size, NAME.png for each NAME.

    A mask is a PNG that holds class numbers and shows them in the classes' colours, turned on display as its
    photo is. What cannot be read is named, and the rest is done.

    Parameters
    ----------
    inputs
        Photos, folders of photos, or patterns such as 'scans/*.tif'.
    head
        A shipped head's name, or a file that finetune wrote. Given several times, the network runs once, and
        masks are called NAME.HEAD.png.
    out
        Folder for the masks; for a single photo also a file that ends in .png. What an earlier run left
        there of the same name is replaced.
    """
    from pixelwise.network.backbones import open_backbone
    from pixelwise.network.device import choose_device
    from pixelwise.segmenting.heads import open_head
    from pixelwise.segmenting.run import segment_files

    heads = [open_head(name) for name in head]
    backbone = open_backbone(heads[0].backbone, weights)
    device = choose_device(common.device)
    result = segment_files(inputs, out, heads, backbone, options, recursive, report_photo(common), device)
    values = values_of(result, common)
    for name in ("overlays", "probabilities", "cut_outs"):
        values[name] = [str(path) for one in result.written for path in getattr(one, name)]
    message = summary(result, out, "segmented")
    return Outcome(values=values, message=message, num_failed=len(result.failed))
