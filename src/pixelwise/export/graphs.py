"""What is exported, as modules of torch: photos in, colours or logits out, with layers that ONNX knows.

All read a `photo`, sRGB in [0, 1], (N, 3, H, W), whose sides are multiples of what the network needs. A grey
photo has its grey in all three channels. Making a photo that small is left to whoever calls: every library
does that, and none as a graph would.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim

from pixelwise.backbones import Backbone, folded
from pixelwise.backbones.efficientnet import StridedConv2d, same_padding
from pixelwise.colour import lightness, mean_grey, srgb_to_lab
from pixelwise.errors import ConfigError
from pixelwise.heads import Head
from pixelwise.models import ColourNet, LinearNet, MyConv2d
from pixelwise.runs import Model

_EXAMPLE = (6, 8)  # multiples in height and width of the photo that a graph is traced with


@dataclass(frozen=True)
class Graph:
    """A module, and how it is called."""

    module: nn.Module
    inputs: tuple[Any, ...]
    """Examples of its arguments."""
    dynamic: tuple[Any, ...]
    """Which axes of the arguments are free, as `torch.export` takes it."""
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]


class _Colours(nn.Module):
    """From logits to chroma at a temperature, as in `Palette.chroma`, times the network's own strength."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.register_buffer("colours", model.palette.colours.float())
        self.space, self.strength = model.palette.space, model.net.saturation

    def forward(self, logits: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor]:
        """Chroma, and the logits as they are."""
        shares = (logits / temperature).softmax(1)
        mean = torch.einsum("nkhw,kd->ndhw", shares, self.colours)
        return (mean if self.space == "ab" else srgb_to_lab(mean)[:, 1:]) * self.strength, logits


class _Colouring(nn.Module):
    """A colouriser whole, or from what its backbone saw on."""

    net: Any
    looking: Any

    def __init__(self, model: Model, from_maps: bool = False) -> None:
        super().__init__()
        self.net, self.space, self.colours = _plain(model.net), model.palette.space, _Colours(model)
        on_backbone = isinstance(model.net, ColourNet | LinearNet)
        # named, so that its weights are part of the module
        self.looking = _plain(model.net.backbone) if on_backbone and not from_maps else None
        self.from_maps = from_maps

    def forward(self, seen: Any, temperature: Tensor) -> Any:
        """Chroma and logits; `seen` is the photo, or the backbone's maps of its grey."""
        if self.from_maps:
            return self.colours(self._of_maps(seen), temperature)
        grey = mean_grey(seen) * (255 / 256) if self.space == "rgb" else lightness(seen) / 100
        if self.looking is None:
            return self.colours(self.net(grey), temperature)
        return self.colours(self._of_maps(self.looking(grey.expand(-1, 3, -1, -1))), temperature)

    def _of_maps(self, maps: tuple[Tensor, ...]) -> Tensor:
        if isinstance(self.net, ColourNet):
            return self.net.of_maps(maps)
        # as `logits_of_maps`, which sorts maps by their size: while a graph is traced, no size is known
        classes = self.net.classes
        parts = classes.weight.split([one.shape[1] for one in maps], dim=1)
        total = classes.bias[:, None, None]
        for one, part in zip(maps, parts, strict=True):
            small = F.conv2d(one, part[:, :, None, None])
            total = total + F.interpolate(small, maps[0].shape[-2:], mode="bilinear", align_corners=False)
        return total


class _Judging(nn.Module):
    """Small logits of a head, one for each reading and stride; the bias is in the first."""

    weight: Tensor
    bias: Tensor
    looking: Any

    def __init__(self, head: Head, backbone: Backbone, from_maps: bool = False) -> None:
        super().__init__()
        self.strides = [level.stride for level in backbone.levels]
        self.looking = None if from_maps else _plain(backbone)
        self.register_buffer("weight", head.weights.weight[:, :, None, None])
        self.register_buffer("bias", head.weights.bias[:, None, None])

    def forward(self, seen: tuple[Tensor, ...]) -> Any:
        """`seen`: the photo at each size that the head reads, or the backbone's maps of these."""
        maps = seen if self.looking is None else [one for photo in seen for one in self.looking(photo)]
        parts = self.weight.split([one.shape[1] for one in maps], dim=1)
        small: dict[tuple[int, int], Tensor] = {}
        for place, (one, part) in enumerate(zip(maps, parts, strict=True)):
            reading, level = divmod(place, len(self.strides))
            key = reading, self.strides[level]
            small[key] = small.get(key, 0 if small else self.bias) + F.conv2d(one, part)
        return tuple(small.values())


def colouring(model: Model) -> Graph:
    """`photo` and `temperature` to `chroma` and `logits`."""
    photo, free = _photo(model.net.stride)
    return Graph(
        _Colouring(model).eval(),
        (photo, torch.tensor(1.0)),
        (free, {}),
        ("photo", "temperature"),
        ("chroma", "logits"),
    )


def decoding(model: Model) -> Graph:
    """A backbone's maps and `temperature` to `chroma` and `logits`.

    Raises:
        ConfigError: the model has no backbone.
    """
    if not isinstance(model.net, ColourNet | LinearNet):
        raise ConfigError(f"needed a model on a backbone to split, {model.name} has none; leave out --split")
    backbone = model.net.backbone
    maps, free, names = _maps(backbone)
    return Graph(
        _Colouring(model, from_maps=True).eval(),
        (maps, torch.tensor(1.0)),
        (free, {}),
        (*names, "temperature"),
        ("chroma", "logits"),
    )


def looking(backbone: Backbone) -> Graph:
    """`photo` to the backbone's maps, called as its levels are."""
    photo, free = _photo(backbone.multiple)
    names = tuple(level.name for level in backbone.levels)
    return Graph(_plain(backbone), (photo,), (free,), ("photo",), names)


def judging(head: Head, backbone: Backbone, from_maps: bool = False) -> Graph:
    """The photo at each size that a head reads, or maps of these, to small logits `small0`, `small1`, ..."""
    if from_maps:
        looks = [_maps(backbone, f"_{size}") for size in head.sizes]
        seen = tuple(one for look in looks for one in look[0])
        free = tuple(one for look in looks for one in look[1])
        names = tuple(one for look in looks for one in look[2])
    else:
        photos = [_photo(backbone.multiple, f"_{size}") for size in head.sizes]
        seen, free = tuple(one[0] for one in photos), tuple(one[1] for one in photos)
        names = photo_names(head)
    num = len(head.sizes) * len({level.stride for level in backbone.levels})
    outputs = tuple(f"small{place}" for place in range(num))
    return Graph(_Judging(head, backbone, from_maps).eval(), (seen,), (free,), names, outputs)


def photo_names(head: Head) -> tuple[str, ...]:
    """What the inputs of a head's graph are called: `photo_SIZE` for each short side that it reads."""
    return tuple(f"photo_{size}" for size in head.sizes)


def _photo(multiple: int, ending: str = "") -> tuple[Tensor, dict[int, Any]]:
    """An example of a photo, and which of its axes are free."""
    rows, columns = (multiple * Dim(f"{axis}{ending}") for axis in ("rows", "columns"))
    shape = [multiple * num for num in _EXAMPLE]
    return torch.rand(2, 3, *shape), {0: Dim("batch"), 2: rows, 3: columns}


def _maps(
    backbone: Backbone, ending: str = ""
) -> tuple[tuple[Tensor, ...], tuple[dict[int, Any], ...], tuple[str, ...]]:
    """Examples of what a backbone sees, which of their axes are free, and their names."""
    times = [backbone.multiple // level.stride for level in backbone.levels]
    maps = tuple(
        torch.rand(2, level.channels, *(num * more for num in _EXAMPLE))
        for level, more in zip(backbone.levels, times, strict=True)
    )
    rows, columns = Dim(f"rows{ending}"), Dim(f"columns{ending}")
    free = tuple({0: Dim("batch")} | {2: _times(rows, more), 3: _times(columns, more)} for more in times)
    return maps, free, tuple(level.name + ending for level in backbone.levels)


def _times(dim: Any, factor: int) -> Any:
    return dim if factor == 1 else factor * dim


def _plain(net: Any) -> Any:
    """A copy to export: batch norms folded, and layers of our own as the convolutions that they equal."""
    copied = folded(net, "fp32") if isinstance(net, Backbone) else copy.deepcopy(net)
    for part in list(copied.modules()):
        if isinstance(part, MyConv2d):
            part.how = "torch"
        for name, child in list(part.named_children()):
            if isinstance(child, StridedConv2d):
                setattr(part, name, _padded(child))
    return copied.cpu().eval()


def _padded(conv: StridedConv2d) -> nn.Conv2d:
    """The same convolution with the row and column of zeros in its weights, in front of its kernel."""
    kernel, stride = conv.kernel_size[0], conv.stride[0]
    _, after = same_padding(kernel)
    plain = nn.Conv2d(conv.in_channels, conv.out_channels, kernel + 1, stride, after, groups=conv.groups)
    plain.weight = nn.Parameter(F.pad(conv.weight, (1, 0, 1, 0)), requires_grad=False)
    plain.bias = conv.bias
    return plain
