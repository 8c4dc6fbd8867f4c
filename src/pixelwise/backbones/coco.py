"""torchvision's networks for segmentation, up to their last layer, with the weights they learned on COCO."""

from __future__ import annotations

import re
import urllib.error
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import segmentation

from pixelwise.backbones.backbone import About, Backbone, Level, Reading, Triple
from pixelwise.backbones.weights import fill, read_tensors
from pixelwise.errors import CheckpointError, DownloadError, OutputError
from pixelwise.files import checksum
from pixelwise.progress import progress_is_shown
from pixelwise.tensors import first_line

_MEAN: Triple = (0.485, 0.456, 0.406)  # ImageNet's. Source: torchvision, SemanticSegmentation
_STD: Triple = (0.229, 0.224, 0.225)
_SIZE = 520  # short side of COCO's photos in training. Source: the same
_NUM_CLASSES = len(segmentation.DeepLabV3_ResNet101_Weights.COCO_WITH_VOC_LABELS_V1.meta["categories"])
_AUXILIARY = "aux_classifier."  # a second classifier that only training uses


class DeepLab(nn.Module):
    """What the last layer of a DeepLabv3 reads: 256 channels.

    Source: L.-C. Chen et al., arXiv:1706.05587.
    """

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.backbone = net.backbone
        self.classifier = nn.Sequential(*list(net.classifier)[:-1])

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """One map."""
        return (self.classifier(self.backbone(x)["out"]),)


class LiteRASPP(nn.Module):
    """What the two last layers of an LR-ASPP read: details, and the deepest layer weighed by the whole photo.

    Source: A. Howard et al., arXiv:1905.02244, section 6.4.
    """

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.backbone, self.cbr, self.scale = net.backbone, net.classifier.cbr, net.classifier.scale

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Two maps."""
        maps = self.backbone(x)
        return maps["low"], self.cbr(maps["high"]) * self.scale(maps["high"])


@dataclass(frozen=True)
class Shape:
    """What a network is built with, and its levels."""

    build: Callable[..., nn.Module]
    up_to_last: Callable[[nn.Module], nn.Module]
    last_layers: tuple[str, ...]
    """Of the original network, one for each level; what they give is added."""
    levels: tuple[Level, ...]
    last_stage: tuple[str, ...]
    """Of the network up to its last layers."""


_DEEPLAB_LAST, _ASPP = ("classifier.4",), ("classifier",)
_SHAPES = {
    "deeplabv3_resnet101": Shape(
        segmentation.deeplabv3_resnet101, DeepLab, _DEEPLAB_LAST, (Level("aspp", 8, 256),), _ASPP
    ),
    "deeplabv3_resnet50": Shape(
        segmentation.deeplabv3_resnet50, DeepLab, _DEEPLAB_LAST, (Level("aspp", 8, 256),), _ASPP
    ),
    "deeplabv3_mobilenet_v3_large": Shape(
        segmentation.deeplabv3_mobilenet_v3_large, DeepLab, _DEEPLAB_LAST, (Level("aspp", 16, 256),), _ASPP
    ),
    "lraspp_mobilenet_v3_large": Shape(
        segmentation.lraspp_mobilenet_v3_large,
        LiteRASPP,
        ("classifier.low_classifier", "classifier.high_classifier"),
        (Level("low", 8, 40), Level("high", 16, 128)),
        ("cbr", "scale"),
    ),
}


def open_coco(about: About, weights: Path | None, random_weights: bool) -> Backbone:
    """One of torchvision's networks with its weights, those of a file in the same form, or random ones.

    Raises:
        CheckpointError: the file is missing or damaged, or fits another network.
        DownloadError: the weights are not there and cannot be downloaded.
    """
    shape = _SHAPES[about.name]
    # filling in random weights takes seconds: what is read from a file replaces them
    with torch.device("cpu" if random_weights else "meta"):
        # both None: without weights of its own the builder would download those of the network below
        net = shape.build(weights=None, weights_backbone=None, num_classes=_NUM_CLASSES)
    if not random_weights:
        path = weights or _downloaded(about)
        tensors = read_tensors(path)
        fill(net, {name: one for name, one in tensors.items() if not name.startswith(_AUXILIARY)}, path)
    reading = Reading(
        levels=shape.levels,
        mean=_MEAN,
        std=_STD,
        multiple=max(level.stride for level in shape.levels),
        sizes=(_SIZE,),
        last_layer=shape.last_layers[0] if len(shape.last_layers) == 1 else None,
        last_stage=shape.last_stage,
    )
    return Backbone(shape.up_to_last(net), about, reading, weights)


def _downloaded(about: About) -> Path:
    """The published weights in torch's own folder of downloads, verified by the digits in their name."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    path = folder / about.file_name
    matched = re.search(r"-([0-9a-f]{8,})\.", about.file_name)
    digits = matched[1] if matched else ""
    by_hand = f"put {about.file_name} into {folder}, or say where it lies with --weights FILE"
    if not path.is_file():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(str(about.url), str(path), digits, progress=progress_is_shown())
        except RuntimeError as error:  # the digits differ
            raise DownloadError(f"{about.url} came damaged ({first_line(error)}); run again") from error
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            raise DownloadError(f"cannot download {about.url} ({first_line(error)}); {by_hand}") from error
        except OSError as error:
            raise OutputError(f"cannot write {path} ({first_line(error)}); set TORCH_HOME") from error
    if not (sha256 := checksum(path)).startswith(digits):
        raise CheckpointError(
            f"{path} is damaged: needed a SHA-256 that starts with {digits}, got {sha256[: len(digits)]}; "
            "delete it and run again"
        )
    return path
