"""Frozen backbones: networks that others trained, whose feature maps a head of ours reads."""

from __future__ import annotations

from pathlib import Path

from pixelwise.errors import ConfigError
from pixelwise.network.backbones.backbone import Backbone, folded
from pixelwise.network.backbones.coco import COCO, open_coco
from pixelwise.network.backbones.efficientnet import NAME as DEFAULT
from pixelwise.network.backbones.efficientnet import open_efficientnet

_TIMM = "timm:"


def open_backbone(name: str = DEFAULT, weights: Path | None = None) -> Backbone:
    """Return a backbone by its name, frozen, with its published weights, or those of a file.

    Weights that are not installed are downloaded once, and verified.

    Raises:
        ConfigError: there is no such backbone, or it does not read photos of any size.
        CheckpointError: the file of weights is missing, damaged or made for another network.
        DownloadError: the weights are not there and cannot be downloaded.
    """
    if name == DEFAULT:
        return open_efficientnet(weights)
    if name in COCO:
        return open_coco(name, weights)
    if name.startswith(_TIMM):
        from pixelwise.network.backbones.timm_models import open_timm  # takes seconds to import

        return open_timm(name, weights)
    raise ConfigError(
        f"needed one of the backbones {', '.join((DEFAULT, *COCO))}, or {_TIMM}NAME for a model of timm, "
        f"got {name!r}"
    )


__all__ = ["COCO", "DEFAULT", "Backbone", "folded", "open_backbone"]
