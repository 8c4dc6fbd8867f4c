"""Make the files that colour without torch: `python -m pixelwise.training.shipped` writes them anew.

A backbone's outputs have the names of its levels, and so have the inputs of a decoder. The metadata of both
say what is needed to run them.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.export import Dim

from pixelwise.errors import ConfigError
from pixelwise.files import checksum, write_bytes
from pixelwise.network.backbones import Backbone
from pixelwise.network.cards import SHIPPED
from pixelwise.network.model import DEFAULT_MODEL, Model, OnnxModel, OnnxNetwork
from pixelwise.network.models.on_backbone import ColourNet
from pixelwise.network.runs import TorchModel, open_torch_model
from pixelwise.segmenting.extraction import read_photo
from pixelwise.training.export import plain_copy, sample_photos, trace

_LARGE = 20_000  # numbers, of a tensor that is stored in fewer bits; smaller ones matter more than they take
_MOST_OFF = 0.01  # of a logit, that rounding to half precision may change


class _Maps(nn.Module):
    """A backbone, whose levels are its outputs."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone: Any = plain_copy(backbone)

    def forward(self, photo: Tensor) -> tuple[Tensor, ...]:
        """Return the maps of photos, sRGB in [0, 1]."""
        maps: tuple[Tensor, ...] = self.backbone(photo)
        return maps


class _Decoder(nn.Module):
    """The part of a network behind its backbone."""

    def __init__(self, net: ColourNet, levels: Sequence[int]) -> None:
        super().__init__()
        self.net: Any = plain_copy(net)
        self.levels = levels

    def forward(self, *maps: Tensor) -> Tensor:
        """Return the logits of the maps that it reads."""
        all_maps: list[Any] = [None] * (max(self.levels) + 1)
        for level, one in zip(self.levels, maps, strict=True):
            all_maps[level] = one
        logits: Tensor = self.net.forward_maps(all_maps)
        return logits


def write_backbone(backbone: Backbone, out: Path) -> None:
    """Write a backbone as ONNX; OutputError if it cannot be written."""
    multiple = backbone.multiple
    rows, columns = multiple * Dim("rows"), multiple * Dim("columns")
    inputs = {"photo": _example(backbone, 3)}
    names = [level.name for level in backbone.levels]
    graph = trace(backbone.name, _Maps(backbone), inputs, ({0: Dim("batch"), 2: rows, 3: columns},), names)
    about = {
        "task": "features",
        "name": backbone.name,
        "licence": backbone.licence,
        "source": backbone.source,
        "checksum": backbone.checksum,
        "levels": [asdict(level) for level in backbone.levels],
        "multiple": multiple,
        "sizes": backbone.sizes,
        "margin": backbone.margin,
    }
    _write(graph, about, out, fine=True)  # errors of early layers grow on the way


def write_decoder(model: TorchModel, out: Path, backbone_sha256: str) -> None:
    """Write what follows the backbone of a colouriser as ONNX; OutputError if it cannot be written.

    `backbone_sha256` is the checksum of the backbone's file.
    """
    net = model.net
    assert isinstance(net, ColourNet)
    backbone, levels = net.backbone, sorted(net.levels.values())
    maps = net.features(_example(backbone, 1))
    inputs = {backbone.levels[index].name: maps[index] for index in levels}
    batch, rows, columns = Dim("batch"), Dim("rows"), Dim("columns")
    axes = []
    for index in levels:
        finer = backbone.multiple // backbone.levels[index].stride
        axes.append({0: batch, 2: finer * rows, 3: finer * columns})
    graph = trace(model.name, _Decoder(net, levels), inputs, (tuple(axes),), ["logits"])
    about = {
        "task": "colour",
        "name": model.name,
        "backbone": backbone.name,
        "backbone_sha256": backbone_sha256,
        "palette": model.palette.to_dict(),
        "short_side": model.size,
        "multiple": net.stride,
        "out_stride": net.out_stride,
        "saturation": net.saturation,
    }
    _write(graph, about, out, fine=False)


def main() -> None:
    """Write the default model and its backbone into the package, and print what their cards have to say.

    Raises:
        ConfigError: the files give other logits than torch.
    """
    model = open_torch_model(DEFAULT_MODEL)
    assert isinstance(model.net, ColourNet)
    with tempfile.TemporaryDirectory(dir=SHIPPED) as folder:
        paths = [Path(folder) / f"{name}.onnx" for name in (model.net.backbone.name, model.name)]
        write_backbone(model.net.backbone, paths[0])
        write_decoder(model, paths[1], checksum(paths[0]))
        off = largest_difference(model, OnnxNetwork(paths[0]), OnnxNetwork(paths[1]))
        if not off < _MOST_OFF:  # asked this way round, so that NaN is refused, too
            raise ConfigError(f"needed logits within {_MOST_OFF} of torch's, got {off:.4f}")
        for path in paths:
            print(f"{path.name}: {path.stat().st_size:,} bytes, onnx_checksum: {checksum(path)}")
            path.replace(SHIPPED / path.name)
    print(f"logits differ from torch's by at most {off:.4f}")


def largest_difference(model: TorchModel, backbone: OnnxNetwork, decoder: OnnxNetwork) -> float:
    """Return how far logits are from torch's at most, on two real photos."""
    largest = 0.0
    shared = {field.name: getattr(model, field.name) for field in fields(Model)}
    exported = OnnxModel(**shared, backbone=backbone, decoder=decoder)
    for path in sample_photos():
        grey = model.palette.read_grey(read_photo(path, model.size, model.stride)[None].numpy())
        largest = max(largest, float(np.abs(model.logits(grey) - exported.logits(grey)).max()))
    return largest


def _example(backbone: Backbone, num_channels: int) -> Tensor:
    return torch.rand(2, num_channels, 6 * backbone.multiple, 8 * backbone.multiple)


def _write(graph: onnx.ModelProto, about: dict[str, Any], out: Path, *, fine: bool) -> None:
    for node in graph.graph.node:
        del node.metadata_props[:]  # which lines of ours it was traced from
    _compact(graph.graph, fine)
    helper.set_model_props(graph, {key: json.dumps(value) for key, value in about.items()})
    write_bytes(out, graph.SerializeToString())


def _compact(graph: onnx.GraphProto, fine: bool) -> None:
    """Store large tensors in half precision; with `fine` what is missing from that as well, in 8 bit.

    A network puts them together once, when it is opened, and computes in single precision.
    """
    stored, nodes = [], []
    for tensor in graph.initializer:
        values, name = numpy_helper.to_array(tensor), tensor.name
        if values.dtype != np.float32 or values.size <= _LARGE:
            stored.append(tensor)
            continue
        half = values.astype(np.float16)
        stored.append(numpy_helper.from_array(half, f"{name}_half"))
        if not fine:
            nodes.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
            continue
        rest = values - half.astype(np.float32)
        step = np.float32(np.abs(rest).max() / 127)
        stored.append(numpy_helper.from_array(np.rint(rest / step).astype(np.int8), f"{name}_rest"))
        stored.append(numpy_helper.from_array(np.array(step), f"{name}_step"))
        nodes += [
            helper.make_node("Cast", [f"{name}_{part}"], [f"{name}_{part}_single"], to=TensorProto.FLOAT)
            for part in ("half", "rest")
        ]
        nodes.append(helper.make_node("Mul", [f"{name}_rest_single", f"{name}_step"], [f"{name}_added"]))
        nodes.append(helper.make_node("Add", [f"{name}_half_single", f"{name}_added"], [name]))
    nodes += graph.node
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(stored)
    graph.node.extend(nodes)


if __name__ == "__main__":
    main()
