"""Graphs as ONNX: traced by torch, completed with what torch cannot say, described for readers."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

from pixelwise.errors import ConfigError
from pixelwise.export.graphs import Graph
from pixelwise.tensors import first_line


def to_onnx(graph: Graph, name: str) -> onnx.ModelProto:
    """A graph as ONNX; height, width and number of photos are free.

    Raises:
        ConfigError: the network does something that ONNX cannot say for every size.
    """
    try:
        with warnings.catch_warnings(), only_errors("onnxscript"), torch.no_grad():
            warnings.simplefilter("ignore")  # of the exporter about its own parts, as are its remarks
            program = torch.onnx.export(
                graph.module,
                graph.inputs,
                dynamo=True,
                input_names=graph.input_names,
                output_names=graph.output_names,
                dynamic_shapes=graph.dynamic,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:  # in which it wraps whatever a step of its own raises
        raise ConfigError(
            f"{name} cannot be exported for photos of every size: {first_line(error)}; "
            "take one on efficientnet_lite0"
        ) from error
    assert program is not None  # which it is only where a file is written
    model = program.model_proto
    if "temperature" in graph.input_names:  # whoever gives none gets 1
        model.graph.initializer.append(helper.make_tensor("temperature", TensorProto.FLOAT, [], [1.0]))
    return model


@contextmanager
def only_errors(logger: str | None) -> Iterator[None]:
    """Let a library's logger, None: the root, say errors alone, and as much as before afterwards."""
    talking = logging.getLogger(logger)
    level = talking.level
    talking.setLevel(logging.ERROR)
    try:
        yield
    finally:
        talking.setLevel(level)


def enlarge(model: onnx.ModelProto, num_classes: int) -> None:
    """Make one output `logits` (N, K, height, width) of the small ones, at the `size` that is a new input.

    Enlarged bilinearly, corners not aligned, and added, as `head.Enlarged` has it.
    """
    graph = model.graph
    small = [one.name for one in graph.output]
    graph.input.append(helper.make_tensor_value_info("size", TensorProto.INT64, [2]))
    graph.initializer.append(numpy_helper.from_array(_int64(0), "enlarge_from"))
    graph.initializer.append(numpy_helper.from_array(_int64(2), "enlarge_to"))
    for index, name in enumerate(small):
        inner = [f"enlarge{index}_{what}" for what in ("shape", "batch", "size", "logits")]
        graph.node.extend(
            (
                helper.make_node("Shape", [name], [inner[0]]),
                helper.make_node("Slice", [inner[0], "enlarge_from", "enlarge_to"], [inner[1]]),
                helper.make_node("Concat", [inner[1], "size"], [inner[2]], axis=0),
                helper.make_node(
                    "Resize",
                    [name, "", "", inner[2]],
                    [inner[3]],
                    mode="linear",
                    coordinate_transformation_mode="half_pixel",
                ),
            )
        )
    enlarged = [f"enlarge{index}_logits" for index in range(len(small))]
    graph.node.append(helper.make_node("Sum", enlarged, ["logits"]))
    del graph.output[:]
    shape: list[str | int | None] = ["batch", num_classes, "height", "width"]
    graph.output.append(helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape))


def describe(model: onnx.ModelProto, facts: dict[str, Any]) -> None:
    """Put facts into the file's metadata, each as JSON under its name."""
    others = {entry.key: entry.value for entry in model.metadata_props}  # the exporter's; set anew, not twice
    helper.set_model_props(model, {name: json.dumps(value) for name, value in (others | facts).items()})


def session(content: bytes, threads: int = 0) -> onnxruntime.InferenceSession:
    """What runs a file's content, on the CPU, in so many threads; 0: one for each core."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of a temperature that may be left out, which is meant
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _int64(value: int) -> Any:
    return torch.tensor([value]).numpy()
