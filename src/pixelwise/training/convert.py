"""Networks of torch as ONNX files, which is how everything else runs them.

A file is compared with torch on two real photos before it is kept. Its metadata say what is needed to run it.
"""

from __future__ import annotations

import copy
import json
import logging
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy import ndarray
from onnx import helper
from torch import Tensor, nn
from torch.export import Dim

from pixelwise.errors import ConfigError
from pixelwise.files import write_bytes
from pixelwise.network.backbone import Backbone
from pixelwise.network.model import Model, model_of
from pixelwise.network.session import OnnxNetwork
from pixelwise.network.tensors import first_line
from pixelwise.progress import announce
from pixelwise.segmenting.extraction import read_photo
from pixelwise.training.backbones import TorchBackbone, folded, open_torch_backbone
from pixelwise.training.backbones.efficientnet import StridedConv2d
from pixelwise.training.models.handout import MyConv2d
from pixelwise.training.models.on_backbone import ColourNet
from pixelwise.training.runs import TorchModel

_MOST_OFF = 1e-3  # of what torch gives, over the largest of that
_LEAST = 1e-9  # that numbers are divided by
_MOST_BYTES = 2**31 - 2**20  # that one ONNX file takes


def write_backbone(name: str, weights: Path | None, path: Path) -> None:
    """Write a backbone as an ONNX file; errors are those of `open_backbone`, or an OutputError."""
    write_bytes(path, backbone_content(open_torch_backbone(name, weights)))


def backbone_content(backbone: TorchBackbone) -> bytes:
    """Return a backbone as an ONNX file that gives its levels; ConfigError if it gives others there."""
    announce(f"converting {backbone.name} to ONNX, once; this takes up to a minute")
    names = [level.name for level in backbone.levels]
    photo, axes = _example(3, backbone.multiple)
    graph = trace(backbone.name, plain_copy(backbone), {"photo": photo}, (axes,), names)
    about = {
        "task": "features",
        "levels": [asdict(level) for level in backbone.levels],
        "num_tensors": len([*backbone.parameters(), *backbone.buffers()]),
    }
    for fact in ("name", "licence", "source", "implementation", "checksum", "multiple", "sizes", "margin"):
        about[fact] = getattr(backbone, fact)
    content = described(graph, about)
    require_equal(backbone.name, _maps_of_both(backbone, Backbone.of(OnnxNetwork(content, device="cpu"))))
    return content


@torch.no_grad()
def _maps_of_both(backbone: TorchBackbone, found: Backbone) -> Iterator[tuple[ndarray, ndarray]]:
    for path in sample_photos():
        photo = read_photo(path, 6 * backbone.multiple, backbone.multiple)[None] / np.float32(255)
        expected = backbone.cpu()(torch.from_numpy(photo))
        yield from zip(found(photo), (level.float().numpy() for level in expected), strict=True)


def model_content(model: TorchModel) -> bytes:
    """Return a colouriser as an ONNX file: grey, or the maps of its backbone, to logits.

    ConfigError if it computes something that ONNX has not, or gives other logits there.
    """
    net, about = model.net, colour_facts(model)
    if isinstance(net, ColourNet):
        graph = _decoder_graph(model.name, net)
        about |= {"backbone": net.backbone.name, "backbone_checksum": net.backbone.checksum}
    else:
        grey, axes = _example(1, net.stride)
        graph = trace(model.name, plain_copy(net), {"grey": grey}, (axes,), ["logits"])
    content = described(graph, about)
    found = model_of(model.name, OnnxNetwork(content, device="cpu"))
    require_equal(model.name, logits_of_both(found, model))
    return content


def colour_facts(model: Model) -> dict[str, Any]:
    """Return what the file of a colouriser says of it, for JSON."""
    return {
        "task": "colour",
        "name": model.name,
        "palette": model.palette.to_dict(),
        "short_side": model.size,
        "multiple": model.stride,
        "out_stride": model.out_stride,
        "saturation": model.saturation,
        "trained_on": model.trained_on,
    }


def logits_of_both(found: Model, expected: Model) -> Iterator[tuple[ndarray, ndarray]]:
    """Yield the logits that two colourisers give to the sample photos."""
    for path in sample_photos():
        grey = expected.palette.read_grey(read_photo(path, expected.size, expected.stride)[None])
        yield found.logits(grey), expected.logits(grey)


def _decoder_graph(name: str, net: ColourNet) -> onnx.ModelProto:
    backbone, decoder = net.backbone, plain_copy(net)
    decoder.forward = decoder.forward_maps
    maps = net.features(_example(1, backbone.multiple)[0])
    inputs = {backbone.levels[index].name: maps[index] for index in net.levels}
    batch, rows, columns = Dim("batch"), Dim("rows"), Dim("columns")
    axes = []
    for index in net.levels:
        finer = backbone.multiple // backbone.levels[index].stride
        axes.append({0: batch, 2: finer * rows, 3: finer * columns})
    return trace(name, decoder, inputs, (tuple(axes),), ["logits"])


def described(graph: onnx.ModelProto, about: dict[str, Any]) -> bytes:
    """Return the content of a file with these metadata; ConfigError if it is too large for one."""
    for node in graph.graph.node:
        del node.metadata_props[:]  # which lines of ours it was traced from
    helper.set_model_props(graph, {key: json.dumps(value) for key, value in about.items()})
    if (num_bytes := graph.ByteSize()) > _MOST_BYTES:
        raise ConfigError(f"needed a network of 2 GB at most, {about['name']} has {num_bytes / 1e9:.1f} GB")
    return graph.SerializeToString()


def require_equal(name: str, pairs: Iterable[tuple[ndarray, ndarray]]) -> float:
    """Return how far ONNX is from torch, over the largest number; ConfigError if by more than rounding."""
    largest = 0.0
    for found, expected in pairs:
        off = float(np.abs(found - expected).max() / max(np.abs(expected).max(), _LEAST))
        if not off < _MOST_OFF:  # asked this way round, so that NaN is refused, too
            raise ConfigError(
                f"{name} gives other numbers as ONNX than on torch: by {off:.2g} of the largest"
            )
        largest = max(largest, off)
    return largest


def sample_photos() -> list[Path]:
    """Return two of the demonstration's photographs."""
    folder = resources.files("pixelwise.api") / "photographs"
    return [Path(str(folder / name)) for name in ("temple.jpg", "flower.jpg")]


def plain_copy(net: Any) -> Any:
    """Return a copy to export: batch norms folded, layers of our own replaced by equal convolutions."""
    copied = folded(net) if isinstance(net, TorchBackbone) else copy.deepcopy(net)
    for part in list(copied.modules()):
        if isinstance(part, MyConv2d):
            part.how = "torch"
        for name, conv in list(part.named_children()):
            if isinstance(conv, StridedConv2d):
                setattr(part, name, conv.plain())
    return copied.cpu().eval()


def _example(num_channels: int, multiple: int) -> tuple[Tensor, dict[int, Any]]:
    """Return an example of a picture, and which of its axes may have any length."""
    axes = {0: Dim("batch"), 2: multiple * Dim("rows"), 3: multiple * Dim("columns")}
    return torch.rand(2, num_channels, 6 * multiple, 8 * multiple), axes


def trace(
    name: str, module: nn.Module, inputs: dict[str, Tensor], axes: tuple[Any, ...], outputs: Sequence[str]
) -> onnx.ModelProto:
    """Return a module as ONNX, `axes` of its inputs having any length; ConfigError if that is impossible."""
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
    return program.model_proto
