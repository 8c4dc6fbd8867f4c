"""Backbones that are downloaded, as far as they are known without what they are built with."""

from __future__ import annotations

from pixelwise.backbones.backbone import About

TIMM = "timm:"
"""What comes before the name of a model of timm."""


def _coco(name: str, purpose: str, file_name: str) -> About:
    return About(
        name=name,
        purpose=purpose,
        licence="BSD-3-Clause",
        source="torchvision, COCO_WITH_VOC_LABELS_V1: learned from COCO's photos of the 20 classes of VOC",
        url=f"https://download.pytorch.org/models/{file_name}",
    )


COCO = {
    about.name: about
    for about in (
        _coco("deeplabv3_resnet101", "the handout's", "deeplabv3_resnet101_coco-586e9e4e.pth"),
        _coco("deeplabv3_resnet50", "half as deep", "deeplabv3_resnet50_coco-cd0a2569.pth"),
        _coco(
            "deeplabv3_mobilenet_v3_large",
            "the same head on a small network",
            "deeplabv3_mobilenet_v3_large-fc3c493d.pth",
        ),
        _coco(
            "lraspp_mobilenet_v3_large",
            "the smallest that knows things by name",
            "lraspp_mobilenet_v3_large-d234d4ea.pth",
        ),
    )
}
"""torchvision's networks for segmentation, by name."""
