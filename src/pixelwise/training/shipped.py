"""Make the package's own model of a run: `python -m pixelwise.training.shipped RUN` writes its files anew.

Large tensors are stored in 16 bit; a network widens them when it is opened, and computes in single precision.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pixelwise.errors import ConfigError
from pixelwise.files import write_bytes
from pixelwise.network.backbone import EMBEDDED, Backbone
from pixelwise.network.cards import SHIPPED
from pixelwise.network.model import DEFAULT_MODEL, MODEL, OnnxModel, open_model_with_classes
from pixelwise.network.session import OnnxNetwork
from pixelwise.training.backbones import open_torch_backbone
from pixelwise.training.convert import backbone_content, logits_of_both

_LARGE = 20_000  # numbers, of a tensor that is stored in 16 bit; smaller ones matter more than they take
_MOST_OFF = 0.01  # of a logit, that rounding may change


def main(run: Path) -> None:
    """Write the default model and its backbone into the package; ConfigError if logits are not the run's."""
    exact = open_model_with_classes(run)
    assert isinstance(exact, OnnxModel)
    whole = backbone_content(open_torch_backbone())
    files = {EMBEDDED: compact(whole), DEFAULT_MODEL: compact((run / MODEL).read_bytes())}
    backbone, decoder = map(OnnxNetwork, files.values())
    found = replace(exact, network=decoder, backbone=Backbone.of(backbone))
    for ours, theirs in logits_of_both(found, replace(exact, backbone=Backbone.of(OnnxNetwork(whole)))):
        off = float(np.abs(ours - theirs).max())
        if not off < _MOST_OFF:
            raise ConfigError(f"needed logits within {_MOST_OFF} of the run's, got {off:.4f}")
    for name, content in files.items():
        write_bytes(SHIPPED / f"{name}.onnx", content)
        print(f"{name}.onnx: {len(content):,} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}")


def compact(content: bytes) -> bytes:
    """Return a file whose large tensors are whole numbers of 16 bit, with a factor for each row.

    So they are four times nearer to what they were than in half precision, which has 11 bits of each number.
    """
    model = onnx.load_from_string(content)
    graph, stored, nodes = model.graph, [], []
    for tensor in graph.initializer:
        values, name = numpy_helper.to_array(tensor), tensor.name
        if values.dtype != np.float32 or values.size <= _LARGE:
            stored.append(tensor)
            continue
        largest = np.abs(values).max(tuple(range(1, values.ndim)), keepdims=True)
        step = np.maximum(largest, np.finfo(np.float32).tiny) / np.float32(2**15 - 1)
        codes = np.rint(values / step).astype(np.int16)
        stored += [
            numpy_helper.from_array(codes, f"{name}_codes"),
            numpy_helper.from_array(step, f"{name}_step"),
        ]
        nodes += [
            helper.make_node("Cast", [f"{name}_codes"], [f"{name}_whole"], to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"{name}_whole", f"{name}_step"], [name]),
        ]
    nodes += graph.node
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(stored)
    graph.node.extend(nodes)
    return model.SerializeToString()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
