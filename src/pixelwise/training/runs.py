"""Run folders, checkpoints and models on disk: safetensors and JSON, never pickle."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import torch
from numpy import ndarray
from torch import Tensor

from pixelwise.colour.arrays import Float32
from pixelwise.colour.palette import Palette
from pixelwise.errors import CheckpointError, ConfigError, LabelError
from pixelwise.files import checksum, write_text
from pixelwise.network.config import NET_NAMES, EpochMetrics, NetConfig, Precision, RunConfig, net_from_dict
from pixelwise.network.model import CHECKPOINT, Model, reading_size, resume_command
from pixelwise.network.tensors import first_line, read_tensors, write_tensors
from pixelwise.training.device import processor_name
from pixelwise.training.models import Network, build

WEIGHTS = "model.safetensors"  # the finished network, which describes itself: label space, weights
SAMPLES = "samples.safetensors"  # a few validation pictures, so that the run can be shown without its data
MANIFEST = "run.json"  # configuration, versions, data checksum, and reasons for what was automatic
METRICS = "metrics.jsonl"  # one line per epoch
_NUM_SAMPLES = 8
_VERSIONED = ("pixelwise", "torch", "numpy")
_METRICS_KEYS = tuple(name for name in EpochMetrics.__annotations__ if name != "losses")


@dataclass(frozen=True, kw_only=True, eq=False)
class TorchModel(Model):
    """A colouriser on torch."""

    net: Network  # in evaluation mode

    @staticmethod
    def of(net: Network, **others: Any) -> TorchModel:
        """Return a network as a model; `others` are the fields that it does not decide."""
        decided = {name: getattr(net, name) for name in ("stride", "out_stride", "saturation")}
        return TorchModel(net=net, **decided, **others)

    @torch.inference_mode()
    def _forward(self, grey: Float32[ndarray, "N 1 H W"]) -> Float32[ndarray, "N K _h _w"]:
        device = next(self.net.parameters()).device
        logits: Tensor = self.net(torch.from_numpy(grey).to(device))
        return logits.float().cpu().numpy()


def write_weights(path: Path, net: Network, config: NetConfig, palette: Palette, size: int) -> None:
    """Write a network as one file that describes itself, or raise an OutputError."""
    described = {"name": NET_NAMES[type(config)]} | asdict(config)
    write_tensors(
        path, _arrays(net.state_dict()), {"net": described, "palette": palette.to_dict(), "size": size}
    )


def open_torch_model(folder_or_file: str | Path, trained_on: str = "") -> TorchModel:
    """Open the network of a run on torch, or raise a CheckpointError."""
    path = _find_weights(Path(folder_or_file))
    tensors, about = _read(path)
    try:
        config = net_from_dict(about["net"])
        palette, size = Palette.from_dict(about["palette"]), reading_size(about["size"])
        _require_agreement(config, palette)
        net = _load(config, tensors)
    except (KeyError, TypeError, ValueError, OverflowError, RuntimeError, ConfigError, LabelError) as error:
        raise CheckpointError(
            f"{path} holds no network of ours ({first_line(error)}); give a run or the model file in it"
        ) from error
    net.eval().requires_grad_(False)
    return TorchModel.of(
        name=str(folder_or_file),
        net=net,
        palette=palette,
        size=size,
        checksum=checksum(path),
        trained_on=trained_on,
    )


def _require_agreement(config: NetConfig, palette: Palette) -> None:
    if config.num_colours != palette.num_classes:
        raise ConfigError(
            f"its network has {config.num_colours} classes, its palette {palette.num_classes} colours"
        )
    if config.num_in_channels != 1:
        raise ConfigError(f"its network reads {config.num_in_channels} channels, a grey picture has 1")


def _load(config: NetConfig, tensors: dict[str, Tensor]) -> Network:
    with torch.device("meta"):  # memory is taken only once the weights are known to fit
        net = build(config)
    needed, found = ({name: (t.shape, t.dtype) for name, t in d.items()} for d in (net.state_dict(), tensors))
    if wrong := sorted(name for name in needed | found if needed.get(name) != found.get(name)):
        raise ConfigError(f"its weights do not fit its network: {', '.join(wrong[:3])}")
    net.to_empty(device="cpu").load_state_dict(tensors)
    return net


def _find_weights(path: Path) -> Path:
    for candidate in (path / WEIGHTS, path):
        if candidate.is_file():
            return candidate
    if (path / CHECKPOINT).is_file():
        raise CheckpointError(f"{path} holds an unfinished run; finish it: {resume_command(path)}")
    raise CheckpointError(f"needed a run, but {path} has no {WEIGHTS}")


def _arrays(tensors: Mapping[str, Tensor]) -> dict[str, ndarray]:
    return {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    arrays, about = read_tensors(path)
    return {name: torch.from_numpy(array) for name, array in arrays.items()}, about


@dataclass(kw_only=True)
class Checkpoint:
    """The state of a run between two steps."""

    config: RunConfig
    digest: str  # of the training data
    step: int  # steps done
    train_seconds: float
    precision: Precision  # kept since another would not go on bit for bit
    tensors: dict[str, Tensor]  # weights, optimiser state and the epoch's losses

    def __post_init__(self) -> None:
        is_step = type(self.step) is int and 0 <= self.step < 2**63
        is_known = isinstance(self.digest, str) and self.precision in get_args(Precision)
        if not (is_step and is_known and _is_number(self.train_seconds)):
            raise CheckpointError("needed the state between two steps of a run, got values of other kinds")


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write the state of a run in one atomic step, or raise an OutputError."""
    about = {name: value for name, value in vars(checkpoint).items() if name not in ("tensors", "config")}
    write_tensors(
        folder / CHECKPOINT, _arrays(checkpoint.tensors), about | {"config": checkpoint.config.to_dict()}
    )


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read the state of a run; raise a CheckpointError where it is missing, damaged or foreign."""
    path = folder / CHECKPOINT
    if not path.is_file():
        raise CheckpointError(
            f"needed an interrupted run to resume, but {folder} has no {CHECKPOINT}; leave out --resume"
        )
    tensors, about = _read(path)
    try:
        names = {entry.name for entry in fields(Checkpoint)}
        known = {name: value for name, value in about.items() if name in names}  # older ones hold more
        return Checkpoint(**known | {"config": RunConfig.from_dict(about["config"]), "tensors": tensors})
    except (KeyError, TypeError, ConfigError, CheckpointError) as error:
        raise CheckpointError(
            f"{path} is no checkpoint of ours ({first_line(error)}); start the run anew"
        ) from error


def _describe_machine() -> dict[str, str]:
    threads = str(torch.get_num_threads())
    return {"processor": processor_name(), "threads": threads, "python": platform.python_version()}


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Content of run.json: all it takes to repeat the run."""

    config: RunConfig
    data_sha256: str  # of the training data
    reasons: dict[str, str]  # why what was automatic came out as it did
    versions: dict[str, str] = field(default_factory=lambda: {name: version(name) for name in _VERSIONED})
    machine: dict[str, str] = field(default_factory=_describe_machine)
    notes: tuple[str, ...] = ()  # about the pictures, such as files left out
    num_images: tuple[int, int] = (0, 0)  # to train and to validate on; 0 in runs of earlier versions


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write run.json, or raise an OutputError."""
    values = vars(manifest) | {"config": manifest.config.to_dict()}
    write_text(folder / MANIFEST, json.dumps(values, indent=1) + "\n")


def read_manifest(folder: Path) -> Manifest:
    """Read run.json; raise a CheckpointError where it is missing or damaged."""
    try:
        values = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        tables = {
            name: {key: str(value) for key, value in values[name].items()}
            for name in ("reasons", "versions", "machine")
        }
        num_train, num_val = map(int, values.get("num_images", (0, 0)))
        return Manifest(
            config=RunConfig.from_dict(values["config"]),
            data_sha256=str(values["data_sha256"]),
            notes=tuple(map(str, values.get("notes", []))),
            num_images=(num_train, num_val),
            **tables,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, ConfigError) as error:
        raise CheckpointError(
            f"{folder} holds no run: {MANIFEST} is missing or damaged; give the folder that --out named"
        ) from error


def write_samples(folder: Path, images: Tensor) -> None:
    """Keep a few of the validation pictures, uint8 (M, 3, H, W), spread evenly over them."""
    index = torch.linspace(0, len(images) - 1, min(_NUM_SAMPLES, len(images))).long()
    write_tensors(folder / SAMPLES, {"images": images[index].numpy()}, {})


def read_samples(folder: Path) -> Tensor:
    """Read the pictures that `write_samples` kept, uint8 (n, 3, H, W), or raise a CheckpointError."""
    tensors, _ = _read(folder / SAMPLES)
    images = tensors.get("images", torch.empty(0))
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3 or not images.numel():
        raise CheckpointError(f"{folder / SAMPLES} holds no pictures; start the run anew")
    return images


def append_metrics(folder: Path, row: EpochMetrics) -> None:
    """Add one epoch's line to metrics.jsonl."""
    with (folder / METRICS).open("a") as file:
        file.write(json.dumps(row) + "\n")


def read_metrics(folder: Path) -> list[EpochMetrics]:
    """Read the epochs of a run so far; raise a CheckpointError where they are missing or damaged."""
    path = folder / METRICS
    rows: list[EpochMetrics] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{folder} holds no run: {METRICS} is missing or no text") from error
    for number, line in enumerate(lines, 1):
        try:
            row: Any = json.loads(line)
        except (ValueError, RecursionError):
            break  # a line cut off by a kill; the epoch is done again
        losses = row.get("losses", []) if isinstance(row, dict) else None
        if not isinstance(losses, list) or not all(map(_is_number, [*map(row.get, _METRICS_KEYS), *losses])):
            raise CheckpointError(
                f"{path} is damaged: line {number} needs the numbers {', '.join(_METRICS_KEYS)}; "
                "start the run anew"
            )
        rows.append(row)
    return rows


def cut_metrics(folder: Path, num_steps: int) -> None:
    """Drop the lines of what came after the first `num_steps`, which a resumed run does again."""
    rows = read_metrics(folder) if (folder / METRICS).is_file() else []
    kept = (json.dumps(row) + "\n" for row in rows if row["step"] <= num_steps)
    write_text(folder / METRICS, "".join(kept))


def _is_number(value: object) -> bool:
    """Return whether a value from JSON is a number, and none of more digits than a float takes."""
    return type(value) is float or (type(value) is int and abs(value) < 2**63)
