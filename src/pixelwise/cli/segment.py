"""The verb that cuts things out of photos: segment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pixelwise.cli.common import Common, Outcome, Weights
from pixelwise.cli.photos import MaxMegapixels, Recursive, summary, teller, values_of


def segment(
    inputs: list[str],
    /,
    *,
    head: Annotated[list[str], Parameter(negative="")],
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    overlay: Annotated[bool, Parameter(negative="")] = False,
    opacity: float = 0.5,
    probabilities: Annotated[bool, Parameter(negative="")] = False,
    cut_out: Annotated[bool, Parameter(negative="")] = False,
    recursive: Recursive = False,
    max_megapixels: MaxMegapixels = 500.0,
    weights: Weights = None,
    common: Common = Common(),  # noqa: B008 - frozen
) -> Outcome:
    """Give each pixel of photos a class: masks of the photos' own size, NAME.png for each NAME.

    A mask is a PNG that holds class numbers and shows them in the classes' colours, turned on display as its
    photo is. Photos are of any size and of the kinds that colourise takes. What cannot be read is named, and
    the rest is done.

    Parameters
    ----------
    inputs
        Photos, folders of photos, or patterns such as 'scans/*.tif'.
    head
        A shipped head's name, or a file that finetune wrote. Given several times, the network looks once,
        and masks are called NAME.HEAD.png.
    out
        Folder for the masks; for a single photo also a file that ends in .png. What an earlier run left
        there of the same name is replaced.
    overlay
        Beside each mask write NAME.overlay in the photo's own format: the photo with the classes' colours
        laid over it. A class 0 called background stays clear.
    opacity
        How much of the colours an overlay has: 0 only outlines, 1 no photo to be seen.
    probabilities
        Beside each mask write NAME.probabilities.tif: how likely each class is, a page of 16-bit grey each.
    cut_out
        Beside each mask write NAME.cut.png: the photo, clear where the background is.
    """
    from pixelwise.backbones import open_backbone
    from pixelwise.heads import open_head
    from pixelwise.processor import choose_device
    from pixelwise.segmenting import SegmentOptions
    from pixelwise.segmenting import segment as segment_photos

    options = SegmentOptions(
        overlay=overlay,
        opacity=opacity,
        probabilities=probabilities,
        cut_out=cut_out,
        max_megapixels=max_megapixels,
    )
    heads = [open_head(name) for name in head]
    backbone = open_backbone(heads[0].backbone, weights)
    device = choose_device(common.device)
    result = segment_photos(inputs, out, heads, backbone, options, recursive, teller(common), device)
    values = values_of(result, common) | {
        "overlays": [str(path) for one in result.written for path in one.overlays],
        "probabilities": [str(path) for one in result.written for path in one.probabilities],
        "cut_outs": [str(path) for one in result.written for path in one.cut_outs],
    }
    return Outcome(
        values=values,
        message=summary(result, out, "segmented", "", "outdated file"),
        num_failed=len(result.failed),
    )
