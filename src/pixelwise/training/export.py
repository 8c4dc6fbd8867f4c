"""A model or head exported: traced, run beside torch on two real photos, and only then written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from torch import Tensor

from pixelwise import __version__
from pixelwise.colour.spaces import lightness
from pixelwise.errors import ConfigError
from pixelwise.evaluate.colour_scores import ciede2000
from pixelwise.files import checksum, require_writable, write_bytes
from pixelwise.network.backbones.backbone import Backbone
from pixelwise.network.cards import read_card, shipped_heads, shipped_models, weights_path
from pixelwise.network.models.colournet import ColourNet
from pixelwise.network.models.linear import LinearNet
from pixelwise.network.runs import Model
from pixelwise.photos.crop_view import LONGEST
from pixelwise.photos.photo import open_photo
from pixelwise.progress import announce
from pixelwise.segmenting.enlarge import EnlargedLogits
from pixelwise.segmenting.extraction import Extractor, read_photo
from pixelwise.segmenting.heads import Head
from pixelwise.training.onnx_graphs import colouring_graph, segmenting_graph

_MOST_CIEDE2000 = 0.1
_LEAST_EQUAL = 0.999
_RANGE = "sRGB from 0 to 1, N 3 H W; a grey photo has its grey three times"


@dataclass(frozen=True, kw_only=True)
class Exported:
    """How far the answers of the file that was written are from torch's, on two real photos."""

    max_difference: float
    """The largest of two logits."""
    ciede2000: float | None = None
    """Mean over pixels, of a model's colours."""
    equal: float | None = None
    """Share of pixels that have the same class, of a head's masks."""


def export_model(model: Model, out: Path) -> Exported:
    """Write a colouriser as ONNX.

    Raises:
        ConfigError: it cannot be exported, or the export is not what the model is.
        OutputError: the file cannot be written.
    """
    _require_target(out)
    announce(f"tracing {model.name}; what follows runs on the CPU and takes up to a minute")
    graph = colouring_graph(model)
    announce("running it beside torch, on real photos")
    far, apart = compare_model(graph.SerializeToString(), model)
    if not apart < _MOST_CIEDE2000:  # asked this way round, so that NaN is refused, too
        raise ConfigError(
            f"needed an export of {model.name} whose colours are within a CIEDE2000 of {_MOST_CIEDE2000}, "
            f"got {apart:.4f}; nothing was written"
        )
    net = model.net
    facts = _facts(model.name, net.backbone if isinstance(net, ColourNet | LinearNet) else None) | {
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
    _write(out, graph, facts)
    return Exported(max_difference=far, ciede2000=apart)


def export_head(head: Head, backbone: Backbone, out: Path) -> Exported:
    """Write a head with its backbone as ONNX.

    Raises:
        CheckpointError: the head was learned on another backbone.
        ConfigError, OutputError: as `export_model`.
    """
    _require_target(out)
    backbone = head.apply_weights(backbone)
    announce(f"tracing {head.name}; what follows runs on the CPU and takes up to a minute")
    graph = segmenting_graph(head, backbone)
    announce("running it beside torch, on real photos")
    far, equal = compare_head(graph.SerializeToString(), head, backbone)
    if not equal > _LEAST_EQUAL:
        raise ConfigError(
            f"needed an export of {head.name} with torch's class in over {_LEAST_EQUAL:.1%} of pixels, "
            f"got {equal:.4%}; nothing was written"
        )
    is_shipped = head.name in shipped_heads()
    facts = _facts(head.name, backbone) | {
        "task": "segment",
        "checksum": checksum(weights_path(head.name) if is_shipped else Path(head.name)),
        "inputs": {f"photo_{size}": _RANGE for size in head.sizes}
        | {"size": "height and width of the logits"},
        "outputs": {"logits": "of each class; the class of a pixel is the one whose logit is largest"},
        "short_side": list(head.sizes),
        "multiple": backbone.multiple,
        "out_stride": 1,
        "classes": head.classes.to_dict(),
    }
    _write(out, graph, facts)
    return Exported(max_difference=far, equal=equal)


def compare_model(content: bytes, model: Model) -> tuple[float, float]:
    """Return how far an exported colouriser's logits are from torch's at most, and its colours on average."""
    run, far, apart = session(content), 0.0, []
    for path in sample_photos():
        codes = read_photo(path, model.size, model.net.stride)[None]
        image = codes.float() / 255
        chroma, logits = (torch.from_numpy(one) for one in run.run(None, {"photo": image.numpy()}))
        expected = model.logits(model.palette.read_grey(codes))
        far = max(far, float((logits - expected).abs().max()))
        wanted = model.palette.chroma(expected, 1.0) * model.net.saturation
        ours, theirs = (_with_lightness(one, image) for one in (chroma, wanted))
        apart.append(float(ciede2000(theirs, ours).mean()))
    return far, sum(apart) / len(apart)


def _with_lightness(chroma: Tensor, image: Tensor) -> Tensor:
    large = F.interpolate(chroma, image.shape[-2:], mode="bilinear", align_corners=False)
    return torch.cat((lightness(image[0]), large[0]))


def compare_head(content: bytes, head: Head, backbone: Backbone) -> tuple[float, float]:
    """Return how far an exported head's logits are from torch's at most, and the share of equal classes.

    Compared are logarithms of probabilities, since a number added to all logits of a pixel changes nothing;
    probabilities below 1e-30 count as that.
    """
    run, extractor = session(content), Extractor(backbone, dtype=torch.float32)
    far, num_equal, num = 0.0, 0, 0
    for path in sample_photos():
        photo = open_photo(path)
        images = {size: read_photo(photo, size, backbone.multiple) for size in head.sizes}
        fed = {f"photo_{size}": (image[None].float() / 255).numpy() for size, image in images.items()}
        (logits,) = run.run(None, fed | {"size": np.array(photo.upright_size)})
        found = torch.from_numpy(logits[0])
        maps = [one for image in images.values() for one in extractor(image)]
        expected = EnlargedLogits(head.weights, maps, photo.upright_size)
        log_probs = expected.probs(0, photo.upright_size[0]).clamp_min(1e-30).log()
        far = max(far, float((found.log_softmax(0).clamp_min(log_probs.min()) - log_probs).abs().max()))
        labels = expected.labels(0, photo.upright_size[0])
        num_equal += int((found.argmax(0) == labels).sum())
        num += labels.numel()
    return far, num_equal / num


def sample_photos() -> list[Path]:
    """Return two real photos that are installed with scikit-learn."""
    folder = resources.files("sklearn.datasets.images")
    return [Path(str(folder / name)) for name in ("china.jpg", "flower.jpg")]


def session(content: bytes, threads: int = 0) -> onnxruntime.InferenceSession:
    """Return what runs a file's content on the CPU, in so many threads; 0: one for each core."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of a temperature that may be left out, which is meant
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _facts(name: str, backbone: Backbone | None) -> dict[str, Any]:
    """Return what users of any exported file have to know."""
    is_shipped = name in shipped_models() + shipped_heads()
    facts = {
        "name": name,
        "made_by": f"pixelwise {__version__}",
        "licence": read_card(name).licence if is_shipped else "that of whoever made it",
        "longest": LONGEST,
        "normalisation": "inside",
    }
    if backbone is not None:
        facts |= {
            "backbone": backbone.name,
            "backbone_checksum": backbone.checksum,
            "backbone_licence": backbone.licence,
            "backbone_source": backbone.source,
        }
    return facts


def _require_target(out: Path) -> None:
    if out.suffix != ".onnx":
        raise ConfigError(f"-o names the exported file, such as {out.with_suffix('.onnx')}, got {out}")
    require_writable(out)


def _write(out: Path, graph: onnx.ModelProto, facts: dict[str, Any]) -> None:
    """Write a graph with facts in its metadata, each as JSON under its name."""
    others = {entry.key: entry.value for entry in graph.metadata_props}  # the exporter's; set anew, not twice
    onnx.helper.set_model_props(graph, {name: json.dumps(value) for name, value in (others | facts).items()})
    write_bytes(out, graph.SerializeToString())
