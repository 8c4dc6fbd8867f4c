"""Models and heads as ONNX graphs: photos in, colours or logits out, for any number, height and width.

All read sRGB in [0, 1], (N, 3, H, W), whose sides are multiples of what the network needs. A grey photo has
its grey in all three channels.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Sequence
from typing import Any

import onnx
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.export import Dim

from pixelwise.colour.spaces import lightness, mean_grey, srgb_to_lab
from pixelwise.errors import ConfigError
from pixelwise.network.backbones.backbone import Backbone, folded
from pixelwise.network.backbones.efficientnet import StridedConv2d
from pixelwise.network.models.colournet import ColourNet
from pixelwise.network.models.conv import MyConv2d
from pixelwise.network.models.linear import LinearNet
from pixelwise.network.runs import Model
from pixelwise.network.tensors import first_line
from pixelwise.segmenting.heads import Head


class _Colouring(nn.Module):
    """A colouriser with the step from logits to chroma of `Palette.chroma`, at its own saturation."""

    colours: Tensor

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.net: Any = _plain(model.net)
        self.backbone: Any = None
        if isinstance(model.net, ColourNet | LinearNet):
            self.backbone = _plain(model.net.backbone)  # of which the network itself has no weights
        self.register_buffer("colours", model.palette.colours.float())
        self.space, self.saturation = model.palette.space, model.net.saturation

    def forward(self, photo: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor]:
        """Return chroma and logits."""
        grey = mean_grey(photo) * (255 / 256) if self.space == "rgb" else lightness(photo) / 100
        logits = self._logits(grey)
        probs = (logits / temperature).softmax(1)
        mean = torch.einsum("nkhw,kd->ndhw", probs, self.colours)
        return (mean if self.space == "ab" else srgb_to_lab(mean)[:, 1:]) * self.saturation, logits

    def _logits(self, grey: Tensor) -> Tensor:
        if self.backbone is None:
            return self.net(grey)
        maps = self.backbone(grey.expand(-1, 3, -1, -1))
        if isinstance(self.net, ColourNet):
            return self.net.of_maps(maps)
        # as `logits_of_maps`, which sorts maps by their size: while a graph is traced, no size is known
        classes = self.net.classes
        parts = classes.weight.split([one.shape[1] for one in maps], dim=1)
        total: Tensor = classes.bias[:, None, None]
        for one, part in zip(maps, parts, strict=True):
            small = F.conv2d(one, part[:, :, None, None])
            total = total + F.interpolate(small, maps[0].shape[-2:], mode="bilinear", align_corners=False)
        return total


class _Segmenting(nn.Module):
    """A backbone and a head: the photo at each of its sizes to small logits, one for each size and stride."""

    weight: Tensor
    bias: Tensor

    def __init__(self, head: Head, backbone: Backbone) -> None:
        super().__init__()
        self.backbone, self.strides = _plain(backbone), [level.stride for level in backbone.levels]
        self.register_buffer("weight", head.weights.weight[:, :, None, None])
        self.register_buffer("bias", head.weights.bias[:, None, None])

    def forward(self, photos: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the small logits; the bias is in the first."""
        maps = [one for photo in photos for one in self.backbone(photo)]
        parts = self.weight.split([one.shape[1] for one in maps], dim=1)
        small: dict[tuple[int, int], Tensor] = {}
        for index, (one, part) in enumerate(zip(maps, parts, strict=True)):
            key = index // len(self.strides), self.strides[index % len(self.strides)]
            small[key] = small.get(key, 0 if small else self.bias) + F.conv2d(one, part)
        return tuple(small.values())


def _plain(net: Any) -> Any:
    """Return a copy to export: batch norms folded, layers of our own replaced by equal convolutions."""
    copied = folded(net, "fp32") if isinstance(net, Backbone) else copy.deepcopy(net)
    for part in list(copied.modules()):
        if isinstance(part, MyConv2d):
            part.how = "torch"
        for name, conv in list(part.named_children()):
            if isinstance(conv, StridedConv2d):
                kernel, stride = conv.kernel_size[0], conv.stride[0]
                channels, padding = (conv.in_channels, conv.out_channels), (kernel - 1) // 2
                plain = nn.Conv2d(*channels, kernel + 1, stride, padding, groups=conv.groups)
                plain.weight, plain.bias = nn.Parameter(conv.padded_weight, requires_grad=False), conv.bias
                setattr(part, name, plain)
    return copied.cpu().eval()


def colouring_graph(model: Model) -> onnx.ModelProto:
    """Return a colouriser as ONNX: `photo` and `temperature`, 1 if left out, to `chroma` and `logits`.

    Raises:
        ConfigError: the network does something that ONNX cannot say for every size.
    """
    photo, axes = _photo(model.net.stride, "")
    names = ["photo", "temperature"], ["chroma", "logits"]
    module = _Colouring(model).eval()
    graph = _traced(model.name, module, (photo, torch.tensor(1.0)), (axes, {}), *names)
    graph.graph.initializer.append(helper.make_tensor("temperature", TensorProto.FLOAT, [], [1.0]))
    return graph


def segmenting_graph(head: Head, backbone: Backbone) -> onnx.ModelProto:
    """Return a head and its backbone as ONNX: `photo_SIZE` for each of its sizes, and `size`, to `logits`.

    Raises:
        ConfigError: the backbone does something that ONNX cannot say for every size.
    """
    photos, axes = zip(*(_photo(backbone.multiple, f"_{size}") for size in head.sizes), strict=True)
    small = [f"small{i}" for i in range(len(head.sizes) * len({level.stride for level in backbone.levels}))]
    module = _Segmenting(head, backbone).eval()
    graph = _traced(head.name, module, (photos,), (axes,), [f"photo_{size}" for size in head.sizes], small)
    _enlarge(graph.graph, small, head.classes.num_classes)
    return graph


def _photo(multiple: int, ending: str) -> tuple[Tensor, dict[int, Any]]:
    """Return an example of a photo, and which of its axes may have any length."""
    rows, columns = (multiple * Dim(f"{axis}{ending}") for axis in ("rows", "columns"))
    return torch.rand(2, 3, 6 * multiple, 8 * multiple), {0: Dim("batch"), 2: rows, 3: columns}


def _traced(
    name: str,
    module: nn.Module,
    inputs: tuple[Any, ...],
    axes: tuple[Any, ...],
    input_names: Sequence[str],
    output_names: Sequence[str],
) -> onnx.ModelProto:
    talking = logging.getLogger("onnxscript")
    level = talking.level
    talking.setLevel(logging.ERROR)  # it remarks on its own parts
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module,
                inputs,
                dynamo=True,
                input_names=input_names,
                output_names=output_names,
                dynamic_shapes=axes,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:  # in which it wraps whatever a step of its own raises
        raise ConfigError(
            f"{name} cannot be exported for photos of every size: {first_line(error)}; "
            "take one on efficientnet_lite0"
        ) from error
    finally:
        talking.setLevel(level)
    assert program is not None  # which it is only where a file is written
    return program.model_proto


def _enlarge(graph: onnx.GraphProto, small: Sequence[str], num_classes: int) -> None:
    """Make one output `logits` (N, K, height, width) of the small ones, at the `size` that is a new input.

    Enlarged bilinearly, corners not aligned, and added, as `EnlargedLogits` has it.
    """
    graph.input.append(helper.make_tensor_value_info("size", TensorProto.INT64, [2]))
    for name, value in (("enlarge_from", 0), ("enlarge_to", 2)):
        graph.initializer.append(numpy_helper.from_array(torch.tensor([value]).numpy(), name))
    for name in small:
        shape, batch, size = f"{name}_shape", f"{name}_batch", f"{name}_size"
        resize = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
        graph.node.extend(
            (
                helper.make_node("Shape", [name], [shape]),
                helper.make_node("Slice", [shape, "enlarge_from", "enlarge_to"], [batch]),
                helper.make_node("Concat", [batch, "size"], [size], axis=0),
                helper.make_node("Resize", [name, "", "", size], [f"{name}_large"], **resize),
            )
        )
    graph.node.append(helper.make_node("Sum", [f"{name}_large" for name in small], ["logits"]))
    del graph.output[:]
    dims: list[str | int | None] = ["batch", num_classes, "height", "width"]
    graph.output.append(helper.make_tensor_value_info("logits", TensorProto.FLOAT, dims))
