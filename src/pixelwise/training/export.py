"""Models and heads as ONNX files: traced, run beside torch on two real photos, and only then written.

The graphs read sRGB in [0, 1], (N, 3, H, W), whose sides are multiples of what the network needs; a grey
photo has its grey in all three channels. They give colours or logits, for any number, height and width.
"""

from __future__ import annotations

import copy
import json
import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from kornia.color import rgb_to_lab
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.export import Dim

from pixelwise import __version__
from pixelwise.colour.palette import softmax
from pixelwise.colour.spaces import lightness
from pixelwise.errors import ConfigError
from pixelwise.evaluate.colour_scores import ciede2000
from pixelwise.files import checksum, require_writable, write_bytes
from pixelwise.network.backbones.backbone import Backbone, folded
from pixelwise.network.backbones.efficientnet import StridedConv2d
from pixelwise.network.cards import read_card, shipped_heads, shipped_models
from pixelwise.network.model import new_session
from pixelwise.network.models.handout import MyConv2d
from pixelwise.network.models.on_backbone import ColourNet, OnBackbone
from pixelwise.network.runs import TorchModel
from pixelwise.network.tensors import first_line
from pixelwise.photos.crop_view import LONGEST
from pixelwise.photos.photo import open_photo
from pixelwise.photos.resize import resize
from pixelwise.progress import announce
from pixelwise.segmenting.enlarge import EnlargedLogits
from pixelwise.segmenting.extraction import Extractor, read_photo
from pixelwise.segmenting.heads import Head, find_head

_MOST_CIEDE2000 = 0.1
_LEAST_EQUAL = 0.999
_COMPARING = "running it beside torch, on real photos"
_RANGE = "sRGB from 0 to 1, N 3 H W; a grey photo has its grey three times"


@dataclass(frozen=True, kw_only=True)
class Exported:
    """Differences between the answers of the file that was written and torch's, on two real photos."""

    max_difference: float  # the largest of two logits
    ciede2000: float | None = None  # mean over pixels, of a model's colours
    equal: float | None = None  # share of pixels that have the same class, of a head's masks


def export_model(model: TorchModel, out: Path) -> Exported:
    """Write a colouriser as ONNX.

    Raises:
        ConfigError: it cannot be exported, or the export is not what the model is.
        OutputError: the file cannot be written.
    """
    _begin(out, model.name)
    graph = colouring_graph(model)
    logit_difference, colour_difference = compare_model(graph.SerializeToString(), model)
    if not colour_difference < _MOST_CIEDE2000:  # asked this way round, so that NaN is refused, too
        raise ConfigError(
            f"needed an export of {model.name} whose colours are within a CIEDE2000 of {_MOST_CIEDE2000}, "
            f"got {colour_difference:.4f}; nothing was written"
        )
    net = model.net
    facts = {
        "task": "colour",
        "checksum": model.checksum,
        "inputs": {"photo": _RANGE, "temperature": "above 0; 1 where none is given"},
        "outputs": {
            "chroma": "CIE Lab a and b, D65, to join with the photo's own L; enlarge it bicubically",
            "logits": "of each class of the palette",
        },
        "short_side": model.size,
        "multiple": net.stride,
        "out_stride": net.out_stride,
        "palette": model.palette.to_dict(),
        "saturation": net.saturation,
    }
    _write(out, graph, model.name, net.backbone if isinstance(net, OnBackbone) else None, facts)
    return Exported(max_difference=logit_difference, ciede2000=colour_difference)


def export_head(head: Head, backbone: Backbone, out: Path) -> Exported:
    """Write a head with its backbone as ONNX, as `export_model` does; a CheckpointError for another one."""
    backbone = head.apply_weights(backbone)
    _begin(out, head.name)
    graph = segmenting_graph(head, backbone)
    logit_difference, equal = compare_head(graph.SerializeToString(), head, backbone)
    if not equal > _LEAST_EQUAL:
        raise ConfigError(
            f"needed an export of {head.name} with torch's class in over {_LEAST_EQUAL:.1%} of pixels, "
            f"got {equal:.4%}; nothing was written"
        )
    inputs = {f"photo_{size}": _RANGE for size in head.sizes}
    facts = {
        "task": "segment",
        "checksum": checksum(find_head(head.name)),
        "inputs": inputs | {"size": "height and width of the logits"},
        "outputs": {"logits": "of each class; the class of a pixel is the one whose logit is largest"},
        "short_side": list(head.sizes),
        "multiple": backbone.multiple,
        "out_stride": 1,
        "classes": head.classes.to_dict(),
    }
    _write(out, graph, head.name, backbone, facts)
    return Exported(max_difference=logit_difference, equal=equal)


def _begin(out: Path, name: str) -> None:
    if out.suffix != ".onnx":
        raise ConfigError(f"-o names the exported file, such as {out.with_suffix('.onnx')}, got {out}")
    require_writable(out)
    announce(f"tracing {name}; what follows runs on the CPU and takes up to a minute")


def _write(
    out: Path, graph: onnx.ModelProto, name: str, backbone: Backbone | None, facts: dict[str, Any]
) -> None:
    is_shipped = name in shipped_models() + shipped_heads()
    facts |= {
        "name": name,
        "made_by": f"pixelwise {__version__}",
        "licence": read_card(name).licence if is_shipped else "that of whoever made it",
        "longest": LONGEST,
        "normalisation": "inside",
    }
    if backbone is not None:
        for fact in ("name", "checksum", "licence", "source"):
            facts["backbone" if fact == "name" else f"backbone_{fact}"] = getattr(backbone, fact)
    others = {entry.key: entry.value for entry in graph.metadata_props}  # the exporter's; set anew, not twice
    helper.set_model_props(graph, {key: json.dumps(value) for key, value in (others | facts).items()})
    write_bytes(out, graph.SerializeToString())


def compare_model(content: bytes, model: TorchModel) -> tuple[float, float]:
    """Return how far an exported colouriser's logits are from torch's at most, and its colours on average."""
    announce(_COMPARING)
    runner, largest, differences = new_session(content), 0.0, []
    for path in sample_photos():
        codes = read_photo(path, model.size, model.net.stride)[None]
        image = codes.numpy() / np.float32(255)
        chroma, logits = runner.run(None, {"photo": image})
        expected = model.logits(model.palette.read_grey(codes.numpy()))
        largest = max(largest, float(np.abs(logits - expected).max()))
        light = lightness(image[0])
        colours = [
            np.concatenate((light, resize(ab[0], image.shape[-2:])))
            for ab in (model.palette.chroma(expected, 1.0) * model.net.saturation, chroma)
        ]
        differences.append(float(ciede2000(*colours).mean()))
    return largest, sum(differences) / len(differences)


def compare_head(content: bytes, head: Head, backbone: Backbone) -> tuple[float, float]:
    """Return how far an exported head's logits are from torch's at most, and the share of equal classes.

    Compared are logarithms of probabilities, 1e-30 at least: a number added to all logits changes nothing.
    """
    announce(_COMPARING)
    runner, extractor = new_session(content), Extractor(backbone, dtype=torch.float32)
    largest, num_equal, num = 0.0, 0, 0
    for path in sample_photos():
        photo = open_photo(path)
        images = {size: read_photo(photo, size, backbone.multiple) for size in head.sizes}
        inputs = {f"photo_{size}": (image[None].float() / 255).numpy() for size, image in images.items()}
        (logits,) = runner.run(None, inputs | {"size": np.array(photo.upright_size)})
        maps = [level for image in images.values() for level in extractor(image)]
        expected, height = EnlargedLogits(head.weights, maps, photo.upright_size), photo.upright_size[0]
        log_probs = np.log(expected.probs(0, height).clip(1e-30))
        found_log_probs = np.log(softmax(logits[0]).clip(np.exp(log_probs.min())))
        largest = max(largest, float(np.abs(found_log_probs - log_probs).max()))
        labels = expected.labels(0, height)
        num_equal += int((logits[0].argmax(0) == labels).sum())
        num += labels.size
    return largest, num_equal / num


def sample_photos() -> list[Path]:
    """Return two of the demonstration's photographs."""
    folder = resources.files("pixelwise.api") / "photographs"
    return [Path(str(folder / name)) for name in ("temple.jpg", "flower.jpg")]


class _Colouring(nn.Module):
    """A colouriser, from a photo to logits and, as by `Palette.chroma` at its own saturation, to chroma."""

    colours: Tensor

    def __init__(self, model: TorchModel) -> None:
        super().__init__()
        self.net: Any = plain_copy(model.net)
        self.backbone: Any = None
        if isinstance(model.net, OnBackbone):
            self.backbone = plain_copy(model.net.backbone)  # of which the network itself has no weights
        self.register_buffer("colours", torch.from_numpy(model.palette.colours).float())
        self.space, self.saturation = model.palette.space, model.net.saturation

    def forward(self, photo: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor]:
        mean, light = photo.mean(1, keepdim=True), rgb_to_lab(photo)[:, :1]
        grey = mean * (255 / 256) if self.space == "rgb" else light / 100
        logits = self._logits(grey)
        probs = (logits / temperature).softmax(1)
        mean = torch.einsum("nkhw,kd->ndhw", probs, self.colours)
        return (mean if self.space == "ab" else rgb_to_lab(mean)[:, 1:]) * self.saturation, logits

    def _logits(self, grey: Tensor) -> Tensor:
        if self.backbone is None:
            return self.net(grey)
        maps = self.backbone(grey.expand(-1, 3, -1, -1))
        if isinstance(self.net, ColourNet):
            return self.net.forward_maps(maps)
        # as `logits_of_maps`, which sorts maps by their size: while a graph is traced, no size is known
        classes = self.net.classes
        parts = classes.weight.split([level.shape[1] for level in maps], dim=1)
        total: Tensor = classes.bias[:, None, None]
        for level, part in zip(maps, parts, strict=True):
            small = F.conv2d(level, part[:, :, None, None])
            total = total + F.interpolate(small, maps[0].shape[-2:], mode="bilinear", align_corners=False)
        return total


class _Segmenting(nn.Module):
    """A backbone and a head: the photo at each of its sizes to small logits, one for each size and stride."""

    weight: Tensor
    bias: Tensor

    def __init__(self, head: Head, backbone: Backbone) -> None:
        super().__init__()
        self.backbone, self.strides = plain_copy(backbone), [level.stride for level in backbone.levels]
        self.register_buffer("weight", head.weights.weight[:, :, None, None])
        self.register_buffer("bias", head.weights.bias[:, None, None])

    def forward(self, *photos: Tensor) -> tuple[Tensor, ...]:
        maps = [level for photo in photos for level in self.backbone(photo)]
        parts = self.weight.split([level.shape[1] for level in maps], dim=1)
        small: dict[tuple[int, int], Tensor] = {}  # the bias is in the first
        for index, (level, part) in enumerate(zip(maps, parts, strict=True)):
            key = index // len(self.strides), self.strides[index % len(self.strides)]
            small[key] = small.get(key, 0 if small else self.bias) + F.conv2d(level, part)
        return tuple(small.values())


def plain_copy(net: Any) -> Any:
    """Return a copy to export: batch norms folded, layers of our own replaced by equal convolutions."""
    copied = folded(net, "fp32") if isinstance(net, Backbone) else copy.deepcopy(net)
    for part in list(copied.modules()):
        if isinstance(part, MyConv2d):
            part.how = "torch"
        for name, conv in list(part.named_children()):
            if isinstance(conv, StridedConv2d):
                setattr(part, name, conv.plain())
    return copied.cpu().eval()


def colouring_graph(model: TorchModel) -> onnx.ModelProto:
    """Return a colouriser as ONNX: `photo` and `temperature`, 1 if left out, to `chroma` and `logits`."""
    photo, axes = _photo(model.net.stride, "")
    inputs = {"photo": photo, "temperature": torch.tensor(1.0)}
    graph = trace(model.name, _Colouring(model), inputs, (axes, {}), ["chroma", "logits"])
    graph.graph.initializer.append(helper.make_tensor("temperature", TensorProto.FLOAT, [], [1.0]))
    return graph


def segmenting_graph(head: Head, backbone: Backbone) -> onnx.ModelProto:
    """Return a head and its backbone as ONNX: `photo_SIZE` for each of its sizes, and `size`, to `logits`."""
    photos, axes = zip(*(_photo(backbone.multiple, f"_{size}") for size in head.sizes), strict=True)
    inputs = {f"photo_{size}": photo for size, photo in zip(head.sizes, photos, strict=True)}
    small = [f"small{i}" for i in range(len(head.sizes) * len({level.stride for level in backbone.levels}))]
    graph = trace(head.name, _Segmenting(head, backbone), inputs, (axes,), small)
    _enlarge(graph.graph, small, head.classes.num_classes)
    return graph


def _photo(multiple: int, ending: str) -> tuple[Tensor, dict[int, Any]]:
    """Return an example of a photo, and which of its axes may have any length."""
    rows, columns = (multiple * Dim(f"{axis}{ending}") for axis in ("rows", "columns"))
    return torch.rand(2, 3, 6 * multiple, 8 * multiple), {0: Dim("batch"), 2: rows, 3: columns}


def trace(
    name: str, module: nn.Module, inputs: dict[str, Tensor], axes: tuple[Any, ...], outputs: Sequence[str]
) -> onnx.ModelProto:
    """Return a module as ONNX; `axes` says which of its inputs' axes may have any length.

    Raises:
        ConfigError: it computes something that ONNX has not.
    """
    logging.getLogger("onnxscript").setLevel(logging.ERROR)  # it remarks on its own parts
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program: Any = torch.onnx.export(
                module.eval(),
                tuple(inputs.values()),
                dynamo=True,
                input_names=list(inputs),
                output_names=outputs,
                dynamic_shapes=axes,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:  # in which it wraps whatever a step of its own raises
        raise ConfigError(
            f"{name} cannot be exported for photos of every size: {first_line(error)}; "
            "take one on efficientnet_lite0"
        ) from error
    proto: onnx.ModelProto = program.model_proto
    return proto


def _enlarge(graph: onnx.GraphProto, small: Sequence[str], num_classes: int) -> None:
    """Add a last step: `logits` (N, K, height, width), the small ones enlarged to the new input `size`."""
    graph.input.append(helper.make_tensor_value_info("size", TensorProto.INT64, [2]))
    for name, value in (("enlarge_from", 0), ("enlarge_to", 2)):
        graph.initializer.append(numpy_helper.from_array(torch.tensor([value]).numpy(), name))
    for name in small:
        shape, batch, size = f"{name}_shape", f"{name}_batch", f"{name}_size"
        resize = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
        graph.node.append(helper.make_node("Shape", [name], [shape]))
        graph.node.append(helper.make_node("Slice", [shape, "enlarge_from", "enlarge_to"], [batch]))
        graph.node.append(helper.make_node("Concat", [batch, "size"], [size], axis=0))
        graph.node.append(helper.make_node("Resize", [name, "", "", size], [f"{name}_large"], **resize))
    graph.node.append(helper.make_node("Sum", [f"{name}_large" for name in small], ["logits"]))
    del graph.output[:]
    dims: list[str | int | None] = ["batch", num_classes, "height", "width"]
    graph.output.append(helper.make_tensor_value_info("logits", TensorProto.FLOAT, dims))
