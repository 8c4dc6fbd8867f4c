"""Frozen backbones on torch: networks that others trained, to learn in, and to write as ONNX files."""

from __future__ import annotations

from pathlib import Path

from pixelwise.network.backbone import COCO, EMBEDDED
from pixelwise.training.backbones.backbone import TorchBackbone, folded
from pixelwise.training.backbones.coco import open_coco
from pixelwise.training.backbones.efficientnet import open_efficientnet


def open_torch_backbone(name: str = EMBEDDED, weights: Path | None = None) -> TorchBackbone:
    """Return a backbone by its name, frozen, with its published weights, or those of a file.

    Weights that are not installed are downloaded once, and verified. Errors are those of `open_backbone`.
    """
    if name == EMBEDDED:
        return open_efficientnet(weights)
    if name in COCO:
        return open_coco(name, weights)
    from pixelwise.training.backbones.timm_models import open_timm  # takes seconds to import

    return open_timm(name, weights)


__all__ = ["TorchBackbone", "folded", "open_torch_backbone"]
