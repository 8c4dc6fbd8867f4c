"""Colourisers ready to predict, and the files that they come in."""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy import ndarray

from pixelwise.colour.arrays import Float32, UInt8
from pixelwise.colour.palette import Palette
from pixelwise.errors import CheckpointError, ConfigError, LabelError
from pixelwise.files import checksum
from pixelwise.network.backbone import Backbone, open_backbone, open_shipped
from pixelwise.network.cards import read_card, shipped_heads, shipped_models, weights_path
from pixelwise.network.config import Device
from pixelwise.network.linear import checked_layer, logits_of_maps
from pixelwise.network.session import OnnxNetwork, choose_device
from pixelwise.network.tensors import first_line, read_tensors, write_tensors

DEFAULT_MODEL = "photo"
MODEL = "model.onnx"  # the finished model in a run's folder
CHECKPOINT = "checkpoint.safetensors"  # from which a run goes on
SIZES = range(8, 1025)  # short sides in pixels: with a longer one each photo would take gigabytes


@dataclass(frozen=True, kw_only=True, eq=False)
class Colouriser(ABC):
    """A network that guesses colours, ready to predict: a `Model`, or another that has no classes."""

    name: str  # a shipped model's, or the path it was read from
    palette: Palette | None  # the colours of its classes, if it has any
    size: int  # short side in pixels at which it reads a photo
    checksum: str  # SHA-256 of its file, which holds a checksum of its backbone, too, if it has one
    licence: str = ""  # as its file says
    trained_on: str = ""  # the source of its pictures, where that is known

    @abstractmethod
    def read_grey(self, images: UInt8[ndarray, "N 3 H W"]) -> Float32[ndarray, "N 1 H W"]:
        """Return grey pictures as it reads them."""

    @abstractmethod
    def __call__(self, grey: Float32[ndarray, "N 1 H W"]) -> Float32[ndarray, "N C h w"]:
        """Return the answer to grey pictures: logits of its classes, or Lab a and b if it has none."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Model(Colouriser):
    """A network with its palette, which gives probabilities of classes."""

    palette: Palette
    stride: int  # divides height and width of what it reads
    out_stride: int  # pixels of that, down and across, that share one place of the logits
    saturation: float = 1.0  # factor on the chroma that its probabilities mean

    def read_grey(self, images: UInt8[ndarray, "N 3 H W"]) -> Float32[ndarray, "N 1 H W"]:
        """Return grey pictures as its palette has them."""
        return self.palette.read_grey(images)

    def __call__(self, grey: Float32[ndarray, "N 1 H W"]) -> Float32[ndarray, "N K h w"]:
        """Return `logits`."""
        return self.logits(grey)

    def logits(self, grey: Float32[ndarray, "N 1 H W"]) -> Float32[ndarray, "N K h w"]:
        """Return the logits of grey pictures of any size, at that size over `out_stride`.

        At the lower and right border pixels repeat until `stride` divides height and width.
        """
        height, width = grey.shape[-2:]
        padding = ((0, 0), (0, 0), (0, -height % self.stride), (0, -width % self.stride))
        rows, columns = (-(-side // self.out_stride) for side in (height, width))
        return self._forward(np.pad(grey, padding, mode="edge"))[..., :rows, :columns]

    @abstractmethod
    def _forward(self, grey: Float32[ndarray, "N 1 H W"]) -> Float32[ndarray, "N K _h _w"]:
        """Return the logits of grey pictures whose sides `stride` divides."""


@dataclass(frozen=True, kw_only=True, eq=False)
class OnnxModel(Model):
    """A colouriser in an ONNX file: a whole network, or what follows a frozen backbone."""

    network: OnnxNetwork
    backbone: Backbone | None

    def _forward(self, grey: Float32[ndarray, "N 1 H W"]) -> Float32[ndarray, "N K _h _w"]:
        inputs = {"grey": grey}
        if self.backbone:
            inputs = self.backbone.network.run({"photo": np.repeat(grey, 3, axis=1)}, self.network.inputs)
        return self.network.run(inputs, ("logits",))["logits"]


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearModel(Model):
    """A colouriser that is one linear layer on a frozen backbone, solved exactly."""

    stride: int = 32
    out_stride: int = 4
    backbone: Backbone
    weight: Float32[ndarray, "K D"]
    bias: Float32[ndarray, " K"]

    def _forward(self, grey: Float32[ndarray, "N 1 H W"]) -> Float32[ndarray, "N K _h _w"]:
        size = (grey.shape[-2] // self.out_stride, grey.shape[-1] // self.out_stride)
        maps = self.backbone(np.repeat(grey, 3, axis=1))
        return np.stack(
            [
                logits_of_maps([level[index] for level in maps], self.weight, self.bias, size)
                for index in range(len(grey))
            ]
        )


def open_model(
    name_or_path: str | Path = DEFAULT_MODEL, device: Device = "auto", threads: int = 0
) -> Colouriser:
    """Open a shipped model by its name, or a run folder or model file by its path.

    An ONNX file that is not ours is taken for another's colouriser, as `foreign` says. It runs in so many
    threads; 0: one for each processor that we may use.

    Raises:
        CheckpointError: there is no such model, or the file is damaged or foreign.
        ConfigError: a GPU was asked for and there is none.
    """
    name = str(name_or_path)
    if name in shipped_models():
        network = open_shipped(name, read_card(name).checksum, threads, device)
        return model_of(name, network)
    path = weights_path(name) if name in shipped_heads() else _find_model(Path(name))
    if path.suffix.lower() != ".onnx":
        return _linear_model(name, path, device, threads)
    network = OnnxNetwork(path, threads, device)
    if "task" in network.about:  # which ours say
        return model_of(name, network)
    from pixelwise.network.foreign import foreign_model  # made of what is here

    return foreign_model(name, network)


def open_model_with_classes(name_or_path: str | Path, device: Device = "auto") -> Model:
    """Open a model as `open_model` does; a CheckpointError if it gives no probabilities of classes."""
    model = open_model(name_or_path, device)
    if not isinstance(model, Model):
        raise CheckpointError(f"needed a model that gives class probabilities, {model.name} gives colours")
    return model


def model_of(name: str, network: OnnxNetwork) -> OnnxModel:
    """Return the model that an ONNX file of ours describes; CheckpointError if it describes none."""
    about = network.about
    try:
        if about["task"] != "colour":
            raise ValueError(f"it is for the task {about['task']}")
        palette, backbone = Palette.from_dict(about["palette"]), None
        if "backbone" in about:
            known = about["backbone"], about["backbone_checksum"]
            backbone = _same_backbone(*known, network.device, network.threads)
        given = [level.name for level in backbone.levels] if backbone else ["grey"]
        if not set(network.inputs) <= set(given) or network.outputs["logits"][1] != palette.num_classes:
            raise ValueError("its network reads or gives something else than it says")
        strides, saturation = [about["multiple"], about["out_stride"]], float(about["saturation"])
        if not all(type(stride) is int and stride > 0 for stride in strides) or not 0 < saturation < 100:
            raise ValueError(f"it has strides of {strides} and a saturation of {saturation}")
        return OnnxModel(
            name=name,
            palette=palette,
            size=reading_size(about["short_side"]),
            checksum=network.sha256,
            stride=strides[0],
            out_stride=strides[1],
            saturation=saturation,
            trained_on=str(about["trained_on"]),
            licence=str(about.get("licence", "")),
            network=network,
            backbone=backbone,
        )
    except (LookupError, TypeError, ValueError, OverflowError, ConfigError, LabelError) as error:
        raise _no_model(network, error) from error


def write_linear_model(path: Path, model: LinearModel) -> None:
    """Write a model as one file that describes itself, or raise an OutputError."""
    installed = np.frombuffer(bytes.fromhex(model.backbone.checksum), np.uint8)
    tensors = {"classes.weight": model.weight, "classes.bias": model.bias, "backbone_checksum": installed}
    net = {"name": "linear", "num_colours": model.palette.num_classes, "backbone": model.backbone.name}
    about = {"net": net, "palette": model.palette.to_dict(), "size": model.size}
    write_tensors(path, tensors, about | {"trained_on": model.trained_on})


def _linear_model(name: str, path: Path, device: Device, threads: int) -> LinearModel:
    choose_device(device)
    tensors, about = read_tensors(path)
    if "kind" in about:  # which models do not say
        raise CheckpointError(
            f"needed a model, got the {about['kind']} {name}: segment, evaluate and export take "
            f"heads; models are {', '.join(shipped_models())}, runs and what train wrote"
        )
    try:
        if about["net"]["name"] != "linear":
            raise ConfigError(
                f"it is of an earlier version; pixelwise export {name} -o FILE.onnx converts it"
            )
        palette, installed = Palette.from_dict(about["palette"]), tensors["backbone_checksum"].tobytes()
        backbone = _same_backbone(about["net"]["backbone"], installed.hex(), device, threads)
        layer = tensors["classes.weight"], tensors["classes.bias"]
        weight, bias = checked_layer(*layer, palette.num_classes)
        if weight.shape[1] != sum(level.channels for level in backbone.levels):
            raise ValueError(f"weights of shape {weight.shape} for the features of {backbone.name}")
        return LinearModel(
            name=name,
            palette=palette,
            size=reading_size(about["size"]),
            checksum=checksum(path),
            trained_on=str(about.get("trained_on", "")),
            backbone=backbone,
            weight=weight,
            bias=bias,
        )
    except (KeyError, TypeError, ValueError, OverflowError, ConfigError, LabelError) as error:
        raise _no_model(path, error) from error


def _no_model(path: object, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{path} holds no model of ours ({first_line(error)}); give a run, a model file or one of "
        f"{', '.join(shipped_models())}"
    )


def reading_size(size: object) -> int:
    """Return a short side in pixels that a file has; ValueError if it is none of `SIZES`."""
    if type(size) is not int or size not in SIZES:
        raise ValueError(f"it reads photos at a short side of {size} pixels, not {SIZES[0]} to {SIZES[-1]}")
    return size


def _same_backbone(name: str, sha256: str, device: Device, threads: int) -> Backbone:
    """Open the backbone that a file names; CheckpointError if it has other weights than it had."""
    backbone = open_backbone(str(name), device=device, threads=threads)
    if backbone.checksum != sha256:
        raise CheckpointError(
            f"this network was trained on other weights of {backbone.name} than are installed; "
            "install the version of them that it names, or train it again"
        )
    return backbone


def _find_model(path: Path) -> Path:
    for candidate in (path / MODEL, path):
        if candidate.is_file():
            return candidate
    if (path / "model.safetensors").is_file():
        command = shlex.join(["pixelwise", "export", str(path), "-o", str(path / MODEL)])
        raise CheckpointError(f"{path} holds a run of an earlier version; convert it: {command}")
    if (path / CHECKPOINT).is_file():
        raise CheckpointError(f"{path} holds an unfinished run; finish it: {resume_command(path)}")
    raise CheckpointError(
        f"needed a model, but {path} is neither a run folder, a model file, nor one of: "
        f"{', '.join(shipped_models())}"
    )


def resume_command(folder: Path) -> str:
    """Return the command that goes on with an interrupted run."""
    return shlex.join(["pixelwise", "train", "--resume", "--out", str(folder)])
