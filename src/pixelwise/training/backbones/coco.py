"""torchvision's networks for segmentation, up to their last layer, with the weights they learned on COCO."""

from __future__ import annotations

import urllib.error
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pixelwise.errors import CheckpointError, DownloadError, OutputError
from pixelwise.files import checksum
from pixelwise.network.backbone import Level
from pixelwise.network.tensors import first_line
from pixelwise.progress import progress_is_shown
from pixelwise.training.backbones.backbone import (
    TorchBackbone,
    load_weights,
    read_weights,
    require_answer,
)

_FILES = {  # the files of their published weights, named by the first digits of their SHA-256
    "deeplabv3_resnet101": "deeplabv3_resnet101_coco-586e9e4e.pth",
    "deeplabv3_resnet50": "deeplabv3_resnet50_coco-cd0a2569.pth",
    "deeplabv3_mobilenet_v3_large": "deeplabv3_mobilenet_v3_large-fc3c493d.pth",
    "lraspp_mobilenet_v3_large": "lraspp_mobilenet_v3_large-d234d4ea.pth",
}
_SERVER = "https://download.pytorch.org/models"
_NUM_CLASSES = 21  # of COCO_WITH_VOC_LABELS_V1
_SIZE = 520  # short side of COCO's photos in training. Source: torchvision, SemanticSegmentation


class DeepLab(nn.Module):
    """A DeepLabv3 up to its last layer, `classifier.4`: 256 channels.

    Source: L.-C. Chen et al., arXiv:1706.05587.
    """

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.backbone = net.backbone
        self.classifier = nn.Sequential(*list(net.classifier)[:-1])

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Return the one map."""
        return (self.classifier(self.backbone(x)["out"]),)


class LiteRASPP(nn.Module):
    """An LR-ASPP up to its two last layers: details, and the deepest layer weighed by the whole photo.

    Source: A. Howard et al., arXiv:1905.02244, section 6.4.
    """

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.backbone, self.cbr, self.scale = net.backbone, net.classifier.cbr, net.classifier.scale

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return two maps."""
        maps = self.backbone(x)
        return maps["low"], self.cbr(maps["high"]) * self.scale(maps["high"])


def open_coco(name: str, weights: Path | None) -> TorchBackbone:
    """Return one of torchvision's networks; OutputError where there is no room for a download."""
    from torchvision.models import segmentation  # takes a second to import

    build = getattr(segmentation, name)
    with torch.device("meta"):  # filling in random weights takes seconds, and they are replaced
        # both None: without weights of its own the builder would download those of the network below
        net = build(weights=None, weights_backbone=None, num_classes=_NUM_CLASSES)
    path = weights or published_weights(name)
    tensors = read_weights(path)
    # an auxiliary classifier is for training only
    load_weights(net, {k: t for k, t in tensors.items() if not k.startswith("aux_classifier.")}, path)
    is_lraspp = name.startswith("lraspp")
    deep = (Level("aspp", 16 if "mobilenet" in name else 8, 256),)
    levels = (Level("low", 8, 40), Level("high", 16, 128)) if is_lraspp else deep
    return TorchBackbone(
        LiteRASPP(net) if is_lraspp else DeepLab(net),
        weights,
        name=name,
        licence="BSD-3-Clause",
        source="torchvision, COCO_WITH_VOC_LABELS_V1: learned from COCO's photos of the 20 classes of VOC",
        levels=levels,
        multiple=levels[-1].stride,
        sizes=(_SIZE,),
        last_stage=("cbr", "scale") if is_lraspp else ("classifier",),
    )


def published_weights(name: str) -> Path:
    """Return the weights in torch's folder of downloads, verified by the digits in their file's name."""
    file_name, folder = _FILES[name], Path(torch.hub.get_dir()) / "checkpoints"
    url = f"{_SERVER}/{file_name}"
    path, digits = folder / file_name, Path(file_name).stem.rpartition("-")[2]
    if not path.is_file():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            require_answer(url)
            torch.hub.download_url_to_file(url, str(path), digits, progress=progress_is_shown())
        except RuntimeError as error:  # the digits differ
            raise DownloadError(f"{url} came damaged ({first_line(error)}); run again") from error
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            raise DownloadError(
                f"cannot download {url} ({first_line(error)}); put {file_name} into {folder}, or say where "
                "it lies with --weights FILE"
            ) from error
        except OSError as error:
            raise OutputError(f"cannot write {path} ({first_line(error)}); set TORCH_HOME") from error
    if not (sha256 := checksum(path)).startswith(digits):
        raise CheckpointError(
            f"{path} is damaged: needed a SHA-256 that starts with {digits}, got {sha256[: len(digits)]}; "
            "delete it and run again"
        )
    return path
