"""Which photos colours can be learned from: not those that are grey or toned, and none of them twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from pixelwise.photos.duplicates import coarse_colours, same_photos
from pixelwise.photos.tone import is_grey, is_sepia


@dataclass(frozen=True)
class Glimpse:
    """What is remembered of a photo that was read, to tell whether colours can be learned from it."""

    path: Path
    lacks: str
    """Why there are no colours in it to learn; empty where there are."""
    colours: Float32[Tensor, " colours"]
    """Coarsely."""
    ratio: float
    """Height over width of the whole photo."""

    @staticmethod
    def of(path: Path, picture: UInt8[Tensor, "3 H W"], ratio: float) -> Glimpse:
        """Of a photo or a part of it, in sRGB codes."""
        lacks = "it is grey" if is_grey(picture) else "it is in sepia" if is_sepia(picture) else ""
        return Glimpse(path, lacks, coarse_colours(picture), ratio)


def left_out(glimpses: Sequence[Glimpse]) -> dict[Path, str]:
    """The photos to leave out, each with a sentence that names it; of equal ones all but the earliest."""
    notes = {one.path: f"left out {one.path}: {one.lacks}" for one in glimpses if one.lacks}
    kept = [one for one in glimpses if not one.lacks]
    if kept:
        colours = torch.stack([one.colours for one in kept])
        ratios = torch.tensor([one.ratio for one in kept])
        for first, second in same_photos(colours, ratios):
            path = kept[second].path
            notes.setdefault(path, f"left out {path}: it is the same photo as {kept[first].path}")
    return notes
