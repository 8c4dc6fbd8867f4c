"""A frozen backbone on torch: photos in, feature maps of several sizes out; and the files of its weights.

These are read without running anything that is in them, and loaded into a network, or refused.
"""

from __future__ import annotations

import contextlib
import copy
import pickle
import urllib.error
import urllib.request
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pixelwise.colour.arrays import Float
from pixelwise.errors import CheckpointError
from pixelwise.network.backbone import Level, require_multiples
from pixelwise.network.tensors import first_line
from pixelwise.training.frozen import fingerprint, freeze

_ANSWER_S = 5.0
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # Source: torchvision


@final
class TorchBackbone(nn.Module):
    """A frozen network that turns photos into feature maps."""

    centre: Tensor
    scale: Tensor

    def __init__(
        self,
        net: nn.Module,
        weights: Path | None = None,
        *,
        name: str,
        licence: str,
        source: str,
        implementation: str = "",
        levels: tuple[Level, ...],
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        multiple: int,
        sizes: tuple[int, ...],
        margin: int | None = None,
        last_stage: tuple[str, ...] = (),
    ) -> None:
        """`net` gives one map for each level from photos less `mean`, over `std`, of sRGB in [0, 1].

        The others are what a `Backbone` has; `last_stage` are prefixes of the parameters that only the last
        level depends on, if they are known.
        """
        super().__init__()
        self.net, self.name, self.levels = net, name, levels
        self.licence = "that of the file" if weights else licence
        self.source = f"weights from {weights.name}" if weights else source
        self.implementation, self.multiple, self.sizes, self.margin = implementation, multiple, sizes, margin
        self.last_stage = tuple(f"net.{prefix}" for prefix in last_stage)
        self.register_buffer("centre", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("scale", torch.tensor(std).view(3, 1, 1))
        # convolutions in bf16 on a CPU take half the time in this order
        freeze(self).to(memory_format=torch.channels_last)
        self.checksum = fingerprint(self)  # of weights, `mean` and `std`, as it was opened

    def forward(self, images: Float[Tensor, "N 3 H W"]) -> tuple[Float[Tensor, "N _ _ _"], ...]:
        """Return the maps of photos, sRGB in [0, 1]: for each level (N, channels, H / stride, W / stride)."""
        require_multiples(self.name, self.multiple, *images.shape[-2:])
        normal = (images - self.centre) / self.scale
        return self.net(normal.contiguous(memory_format=torch.channels_last))


def folded(backbone: TorchBackbone) -> TorchBackbone:
    """Return a faster copy, with batch norms folded into the convolutions before them.

    Its maps differ by rounding only. Folded are those in an `nn.Sequential`, where one surely follows the
    other. Source: B. Jacob et al., arXiv:1712.05877, 3.2.
    """
    faster = copy.deepcopy(backbone)
    for part in faster.modules():
        if isinstance(part, nn.Sequential):
            for index in range(len(part) - 1):
                conv, norm = part[index], part[index + 1]
                if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    part[index], part[index + 1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
    return faster


def require_answer(url: str) -> None:
    """Ask quickly whether there is a network, and raise urllib's error if not: downloads wait for minutes."""
    with contextlib.suppress(urllib.error.HTTPError):
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=_ANSWER_S).close()


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name, safetensors or what torch saved, or raise a CheckpointError."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():  # of how others wrote their files
            warnings.simplefilter("ignore", UserWarning)
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"needed a file of weights, but there is no {path}") from error
    except (SafetensorError, pickle.UnpicklingError, OSError, RuntimeError, ValueError, EOFError) as error:
        raise CheckpointError(
            f"{path} cannot be read as weights ({first_line(error)}); it is damaged or holds more"
        ) from error
    if not (isinstance(tensors, dict) and all(isinstance(tensor, Tensor) for tensor in tensors.values())):
        raise CheckpointError(f"{path} holds no weights: needed tensors by name, as a network's state_dict()")
    return tensors


def load_weights(net: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Load a file's tensors into a network, maybe a meta one; a CheckpointError if they do not fit."""
    needed = net.state_dict()
    shapes, found = ({name: tensor.shape for name, tensor in those.items()} for those in (needed, tensors))
    if wrong := [name for name in shapes | found if shapes.get(name) != found.get(name)]:
        raise CheckpointError(
            f"{path} does not fit the network: {len(wrong)} tensors are missing, too many, or of another "
            f"shape, such as {', '.join(sorted(wrong)[:3])}; give the file that was made for it"
        )
    net.load_state_dict(
        {name: tensors[name].to(tensor.dtype) for name, tensor in needed.items()}, assign=True
    )
