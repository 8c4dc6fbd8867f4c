"""Models and heads as single ONNX files for other programs, put together from what runs here.

A model reads grey as its palette says (`grey`, N 1 H W), a head photos in sRGB from 0 to 1 (`photo_SIZE`,
N 3 H W) whose sides are multiples of what the network needs. Both give `logits`, for any number and size.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy import ndarray
from onnx import TensorProto, helper, numpy_helper

from pixelwise import __version__
from pixelwise.colour.palette import softmax
from pixelwise.errors import ConfigError
from pixelwise.files import checksum, require_writable, write_bytes
from pixelwise.network.backbone import Backbone
from pixelwise.network.cards import read_card, shipped_heads, shipped_models
from pixelwise.network.model import MODEL, LinearModel, Model, OnnxModel, model_of, open_model_with_classes
from pixelwise.network.session import OnnxNetwork
from pixelwise.network.tensors import read_tensors
from pixelwise.photos.crop_view import LONGEST
from pixelwise.photos.photo import open_photo
from pixelwise.progress import announce
from pixelwise.segmenting.extraction import Extractor, read_photo
from pixelwise.segmenting.heads import Head, find_head
from pixelwise.segmenting.linear_head import EnlargedLogits
from pixelwise.training.convert import colour_facts, described, logits_of_both, model_content, sample_photos
from pixelwise.training.runs import MANIFEST, WEIGHTS, open_torch_model, read_manifest

_MOST_OFF = 0.01  # of a logit
_LEAST_EQUAL = 0.999
_SMALL, _MAP = "small", "map_"  # names in a graph


@dataclass(frozen=True, kw_only=True)
class Exported:
    """Differences between the answers of the file that was written and ours, on two real photos."""

    max_difference: float  # the largest of two logits
    equal: float | None = None  # share of pixels that have the same class, of a head's masks


def export_model(model: Model, out: Path) -> Exported:
    """Write a colouriser as one ONNX file, which colours here, too; ConfigError if it gives other logits."""
    _begin(out, model.name)
    assert isinstance(model, OnnxModel | LinearModel)
    about = colour_facts(model) | _facts(model.name, model.checksum, model.backbone)
    content = described(_colouring_graph(model), about)
    found = model_of(model.name, OnnxNetwork(content, device="cpu"))
    largest = np.max([np.abs(ours - theirs).max() for ours, theirs in logits_of_both(found, model)])
    if not largest < _MOST_OFF:  # asked this way round, so that NaN is refused, too
        raise ConfigError(f"needed logits of {model.name} within {_MOST_OFF}, got {largest:.4f}")
    write_bytes(out, content)
    return Exported(max_difference=float(largest))


def export_head(head: Head, backbone: Backbone, out: Path) -> Exported:
    """Write a head with its backbone as `export_model` does; a CheckpointError for another backbone."""
    backbone = head.apply_weights(backbone)
    _begin(out, head.name)
    about = {
        "task": "segment",
        "short_side": list(head.sizes),
        "multiple": backbone.multiple,
        "out_stride": 1,
        "classes": head.classes.to_dict(),
    }
    facts = _facts(head.name, checksum(find_head(head.name)), backbone)
    content = described(_segmenting_graph(head, backbone), about | facts)
    largest, equal = _compare(OnnxNetwork(content, device="cpu"), head, backbone)
    if not equal > _LEAST_EQUAL:
        raise ConfigError(
            f"needed our class in over {_LEAST_EQUAL:.1%} of pixels of {head.name}, got {equal:.4%}"
        )
    write_bytes(out, content)
    return Exported(max_difference=largest, equal=equal)


def open_any_model(name_or_path: str) -> Model:
    """Open a model as `open_model` does, and one that an earlier version left without an ONNX file."""
    path = Path(name_or_path)
    weights = path / WEIGHTS if path.is_dir() else path
    is_earlier = weights.suffix == ".safetensors" and weights.is_file() and not (path / MODEL).is_file()
    net = read_tensors(weights, header_only=True)[1].get("net") if is_earlier else None
    if not isinstance(net, dict) or net.get("name") == "linear":
        return open_model_with_classes(name_or_path)
    source = read_manifest(path).config.source if (path / MANIFEST).is_file() else ""
    return model_of(name_or_path, OnnxNetwork(model_content(open_torch_model(weights, source))))


def _begin(out: Path, name: str) -> None:
    if out.suffix != ".onnx":
        raise ConfigError(f"-o names the exported file, such as {out.with_suffix('.onnx')}, got {out}")
    require_writable(out)
    announce(f"exporting {name}, and running it on real photos")


def _facts(name: str, sha256: str, backbone: Backbone | None) -> dict[str, Any]:
    is_shipped = name in shipped_models() + shipped_heads()
    facts = {
        "name": name,
        "made_by": f"pixelwise {__version__}",
        "checksum": sha256,
        "licence": read_card(name).licence if is_shipped else "that of whoever made it",
        "longest": LONGEST,
    }
    if backbone is not None:
        for fact in ("name", "checksum", "licence", "source"):
            facts[f"read_by_{fact}"] = getattr(backbone, fact)
    return facts


def _compare(network: OnnxNetwork, head: Head, backbone: Backbone) -> tuple[float, float]:
    """Return how far an exported head's logits are from ours at most, and the share of equal classes.

    Compared are logarithms of probabilities, 1e-30 at least: a number added to all logits changes nothing.
    """
    extractor, largest, num_equal, num = Extractor(backbone), 0.0, 0, 0
    for path in sample_photos():
        photo = open_photo(path)
        images = {size: read_photo(photo, size, backbone.multiple) for size in head.sizes}
        inputs = {f"photo_{size}": image[None] / np.float32(255) for size, image in images.items()}
        inputs["size"] = np.array(photo.upright_size)
        logits = network.run(inputs, ("logits",))["logits"][0]
        maps = [level for image in images.values() for level in extractor(image)]
        (expected,) = EnlargedLogits.of([head.weights], maps, photo.upright_size)
        log_probs = np.log(expected.probs(0, photo.upright_size[0]).clip(1e-30))
        found_log_probs = np.log(softmax(logits).clip(np.exp(log_probs.min())))
        largest = max(largest, float(np.abs(found_log_probs - log_probs).max()))
        labels = expected.labels(0, photo.upright_size[0])
        num_equal += int((logits.argmax(0) == labels).sum())
        num += labels.size
    return largest, num_equal / num


def _colouring_graph(model: OnnxModel | LinearModel) -> onnx.ModelProto:
    if model.backbone is None:
        return _loaded(model.network)
    graph = _Graph(_loaded(model.backbone.network))
    graph.add_input("grey", ["batch", 1, "height", "width"])
    graph.add("Concat", ["grey"] * 3, "photo", axis=1)
    graph.add_copy(_loaded(model.backbone.network), {"photo": "photo"}, _MAP)
    if isinstance(model, OnnxModel):
        decoder = _loaded(model.network)
        graph.add_copy(
            decoder, {name: f"{_MAP}{name}" for name in model.network.inputs}, "decoder_", "logits"
        )
    else:
        graph.add_constant("out_stride", np.array([model.out_stride]))
        graph.add("Shape", ["grey"], "size_before", start=2, end=4)
        graph.add("Div", ["size_before", "out_stride"], "size")
        maps = [f"{_MAP}{level.name}" for level in model.backbone.levels]
        graph.add_linear(maps, [level.channels for level in model.backbone.levels], model.weight, model.bias)
    return graph.finished(model.palette.num_classes)


def _segmenting_graph(head: Head, backbone: Backbone) -> onnx.ModelProto:
    graph, maps, channels = _Graph(_loaded(backbone.network)), [], []
    for size in head.sizes:
        photo = f"photo_{size}"
        graph.add_input(photo, ["batch", 3, f"height_{size}", f"width_{size}"])
        graph.add_copy(_loaded(backbone.network), {"photo": photo}, f"{_MAP}{size}_")
        maps += [f"{_MAP}{size}_{level.name}" for level in backbone.levels]
        channels += [level.channels for level in backbone.levels]
    graph.add_input("size", [2], TensorProto.INT64)
    graph.add_linear(maps, channels, head.weights.weight, head.weights.bias)
    return graph.finished(head.classes.num_classes)


def _loaded(network: OnnxNetwork) -> onnx.ModelProto:
    source = network.source
    return onnx.load_from_string(source if isinstance(source, bytes) else source.read_bytes())


class _Graph:
    """A graph that is put together from networks and single steps; tensors go by name."""

    def __init__(self, like: onnx.ModelProto) -> None:
        """Begin an empty graph for the same version of ONNX as another."""
        self.model = onnx.ModelProto()
        self.model.CopyFrom(like)
        for part in ("node", "input", "output", "initializer", "value_info"):
            self.model.graph.ClearField(part)
        self.model.ClearField("metadata_props")

    def add_input(self, name: str, shape: list[Any], kind: int = TensorProto.FLOAT) -> None:
        self.model.graph.input.append(helper.make_tensor_value_info(name, kind, shape))

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self.model.graph.node.append(helper.make_node(kind, inputs, [output], **attributes))

    def add_constant(self, name: str, value: ndarray) -> None:
        self.model.graph.initializer.append(numpy_helper.from_array(value, name))

    def add_copy(
        self, network: onnx.ModelProto, inputs: dict[str, str], prefix: str, output: str | None = None
    ) -> None:
        """Add a network, whose inputs are named tensors; what it computes gets a prefix, weights are shared.

        Its one output is called `output`, if that is given.
        """
        weights, known = network.graph.initializer, {tensor.name for tensor in self.model.graph.initializer}
        names = inputs | {tensor.name: tensor.name for tensor in weights} | {"": ""}
        if output is not None:
            names[network.graph.output[0].name] = output
        for node in network.graph.node:
            copied = onnx.NodeProto()
            copied.CopyFrom(node)
            copied.name = f"{prefix}{node.name}" if node.name else ""
            copied.input[:] = [names.get(name, f"{prefix}{name}") for name in node.input]
            copied.output[:] = [names.get(name, f"{prefix}{name}") for name in node.output]
            self.model.graph.node.append(copied)
        self.model.graph.initializer.extend(tensor for tensor in weights if tensor.name not in known)

    def add_linear(self, maps: list[str], channels: list[int], weight: ndarray, bias: ndarray) -> None:
        """Add a linear layer on maps: each one's logits, enlarged to the tensor `size`, are added up."""
        large = []
        self.add_constant("bias", bias)
        for index, part in enumerate(np.split(weight, np.cumsum(channels)[:-1], axis=1)):
            small = f"{_SMALL}{index}"
            self.add_constant(f"{small}_weight", np.ascontiguousarray(part[:, :, None, None]))
            self.add("Conv", [maps[index], f"{small}_weight", *(["bias"] if index == 0 else [])], small)
            self.add("Shape", [small], f"{small}_batch", end=2)
            self.add("Concat", [f"{small}_batch", "size"], f"{small}_size", axis=0)
            resize = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
            self.add("Resize", [small, "", "", f"{small}_size"], f"{small}_large", **resize)
            large.append(f"{small}_large")
        self.add("Sum", large, "logits")

    def finished(self, num_classes: int) -> onnx.ModelProto:
        """Return the graph, whose output is `logits`."""
        shape: list[Any] = ["batch", num_classes, "out_height", "out_width"]
        self.model.graph.output.append(helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape))
        return self.model
