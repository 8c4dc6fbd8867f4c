"""Frozen backbones: networks that others trained, whose feature maps a head of ours reads."""

from __future__ import annotations

from pathlib import Path

from pixelwise.backbones.backbone import About, Backbone, Level
from pixelwise.backbones.catalogue import COCO, TIMM
from pixelwise.backbones.efficientnet import ABOUT as EFFICIENTNET
from pixelwise.backbones.efficientnet import open_efficientnet
from pixelwise.backbones.folding import folded
from pixelwise.errors import ConfigError

_NAMED = {EFFICIENTNET.name: EFFICIENTNET} | COCO
DEFAULT = EFFICIENTNET.name
"""The backbone that needs no network."""


def backbone_names() -> tuple[str, ...]:
    """Names that `open_backbone` takes, beside `timm:NAME` for any of timm's models."""
    return tuple(_NAMED)


def about(name: str) -> About:
    """What is known of a backbone before it is opened.

    Raises:
        ConfigError: there is no such backbone.
    """
    if name.startswith(TIMM):
        from pixelwise.backbones.any_timm import about_timm  # seconds to import, and only this needs it

        return about_timm(name)
    if name not in _NAMED:
        raise ConfigError(
            f"needed one of the backbones {', '.join(_NAMED)}, or {TIMM}NAME for one of timm, got {name!r}"
        )
    return _NAMED[name]


def open_backbone(name: str = DEFAULT, weights: Path | None = None, random_weights: bool = False) -> Backbone:
    """A backbone by its name, frozen, with the weights it was published with.

    `weights` is a file to read instead: safetensors or what torch saved. `random_weights` takes numbers from
    torch's random state instead, which do to measure time and memory. Weights that are not installed are
    downloaded once, and verified.

    Raises:
        ConfigError: there is no such backbone, or it does not read photos of any size.
        CheckpointError: the file of weights is missing, damaged or made for another network.
        DownloadError: the weights are not there, and neither is the network.
    """
    if weights is not None and random_weights:
        raise ConfigError(
            f"needed weights from a file or random ones, got both: {weights} and random weights"
        )
    facts = about(name)
    if name == EFFICIENTNET.name:
        return open_efficientnet(weights, random_weights)
    # what is beneath these takes a second or two to import
    if name in COCO:
        from pixelwise.backbones.coco import open_coco

        return open_coco(facts, weights, random_weights)
    from pixelwise.backbones.any_timm import open_timm

    return open_timm(facts, weights, random_weights)


__all__ = [
    "DEFAULT",
    "About",
    "Backbone",
    "Level",
    "about",
    "backbone_names",
    "folded",
    "open_backbone",
]
