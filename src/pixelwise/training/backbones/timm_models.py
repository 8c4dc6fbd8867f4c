"""Any model of timm as a backbone, with the weights timm publishes for it or those of a file.

A network that shrinks the photo step by step gives a level for each of its steps from stride 4 on; one that
keeps a single grid of patches, such as DINOv2, gives its last map.
"""

from __future__ import annotations

import contextlib
import math
import sys
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import constants, try_to_load_from_cache
from torch import Tensor, nn

from pixelwise.errors import CheckpointError, ConfigError, DownloadError
from pixelwise.network.backbone import Level
from pixelwise.network.tensors import first_line
from pixelwise.training.backbones.backbone import TorchBackbone, read_weights, require_answer

_FINEST = 4  # stride: maps at half the photo's size take much room and say little
_PROBED = 64  # pixels: enough for two places of the coarsest map
_REFUSALS = (AssertionError, RuntimeError, ValueError, IndexError, TypeError)  # of sizes, by models
_PUBLISHED_AS = "model.safetensors"


class Intermediate(nn.Module):
    """The maps inside a model of timm, by their numbers."""

    def __init__(self, net: Any, indices: list[int], norm: bool) -> None:
        super().__init__()
        self.net, self.options = net, {"indices": indices, "norm": norm, "output_fmt": "NCHW"}

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return one map for each number."""
        return tuple(self.net.forward_intermediates(x, intermediates_only=True, **self.options))


def open_timm(name: str, weights: Path | None) -> TorchBackbone:
    """Return a model of timm, `timm:NAME`, as `open_torch_backbone` does."""
    model = name.removeprefix("timm:")
    facts = _facts(model)
    hub = facts.get("hf_hub_id")
    # of an earlier download: timm would first ask the network, for most of a minute
    kept = try_to_load_from_cache(hub, _PUBLISHED_AS) if hub else None
    if weights or isinstance(kept, str):
        net = _load(model, weights or Path(str(kept)))
    else:
        url = f"{constants.ENDPOINT}/{hub}/resolve/main/{_PUBLISHED_AS}" if hub else facts.get("url")
        net = _download(model, url)
    if not getattr(net, "feature_info", ()) or not hasattr(net, "forward_intermediates"):
        raise ConfigError(f"{name} gives no maps of features in timm {timm.__version__}; choose another")
    maps = [(step["reduction"], step["num_chs"]) for step in net.feature_info]
    one_grid = len({stride for stride, _ in maps}) == 1  # of patches: one level, read at one size
    indices = [index for index, (stride, _) in enumerate(maps) if stride >= _FINEST]
    indices = indices[-1:] if one_grid else indices
    levels = tuple(Level(f"map{index}", *maps[index]) for index in indices)
    # the part that makes the last map, by the name that timm has for it, where that has parameters
    last = net.feature_info[-1].get("module", "")
    has_last = any(parameter.startswith(f"{last}.") for parameter, _ in net.named_parameters())
    native = facts["input_size"][1]
    with contextlib.suppress(*_REFUSALS, AttributeError):
        net.reset_classifier(0)  # what is behind the maps only takes memory
    backbone = TorchBackbone(
        Intermediate(net, indices, norm=one_grid),
        weights,
        name=name,
        licence=facts.get("license") or "not said; see the model's page",
        source=f"timm {facts.get('architecture', model)}" + (f", {hub}" if hub else ""),
        implementation=f"timm {timm.__version__}",
        levels=levels,
        mean=facts["mean"],
        std=facts["std"],
        multiple=math.lcm(*(level.stride for level in levels)),
        sizes=(native,) if one_grid else (native, 2 * native),
        last_stage=(f"net.{last}",) if has_last else (),
    )
    _require_any_size(backbone)
    return backbone


def _facts(model: str) -> dict[str, Any]:
    architecture = model.partition(".")[0]
    if not timm.is_model(model):
        similar = timm.list_models(f"*{architecture}*")[:5]
        near = f"; it has {', '.join(similar)}" if similar else ""
        raise ConfigError(f"needed timm: and the name of a model of timm, got {'timm:' + model!r}{near}")
    try:
        configured: Any = timm.get_pretrained_cfg(model, allow_unregistered=False)
    except RuntimeError as error:  # there is no such tag
        there = ", ".join(timm.list_pretrained(f"{architecture}.*")) or "none"
        raise ConfigError(f"timm has no weights timm:{model}; of {architecture} it has {there}") from error
    return configured.to_dict()


def _create(model: str, **options: Any) -> Any:
    """Create a model with its weights, and the option to read photos of any size if it has one."""
    any_size: dict[str, Any] = {"dynamic_img_size": True, "strict_img_size": False}
    for option, value in any_size.items():
        try:
            return timm.create_model(model, pretrained=True, **options, **{option: value})
        except TypeError as error:
            if option not in str(error):  # then it is another error than having no such option
                raise
    return timm.create_model(model, pretrained=True, **options)


def _load(model: str, path: Path) -> Any:
    """Create a model with a file's weights, which timm translates where another project named them."""
    tensors = read_weights(path)
    try:
        net = _create(model, pretrained_cfg_overlay={"state_dict": tensors})
    except Exception as error:  # each model has a translator of its own, which fails in its own way
        raise CheckpointError(
            f"{path} does not fit timm:{model} ({first_line(error)}); give the file that was made for it"
        ) from error
    net.pretrained_cfg = net.default_cfg = {}  # they would hold the file's tensors a second time
    return net


def _download(model: str, url: str | None) -> Any:
    if not url:
        raise CheckpointError(f"timm publishes no weights for {model}; give a file with --weights FILE")
    try:
        require_answer(url)  # timm itself would ask again and again
        with contextlib.redirect_stdout(sys.stderr):  # where torch says that it downloads
            return _create(model)
    except (OSError, RuntimeError) as error:
        raise DownloadError(
            f"cannot download {url} ({first_line(error)}); "
            "fetch that file on another machine and give it with --weights FILE"
        ) from error


@torch.no_grad()
def _require_any_size(backbone: TorchBackbone) -> None:
    """Refuse a model whose maps of a small photo, wider than high, have other shapes than it says."""
    height = math.ceil(_PROBED / backbone.multiple) * backbone.multiple
    width = height + backbone.multiple
    needed = [(level.channels, height // level.stride, width // level.stride) for level in backbone.levels]
    try:
        found: object = [tuple(level.shape[1:]) for level in backbone(torch.zeros(1, 3, height, width))]
    except _REFUSALS as error:
        found = first_line(error)
    if found != needed:
        raise ConfigError(
            f"{backbone.name} does not read photos of any size: needed maps {needed} of a photo of "
            f"{height} x {width}, got {found}; choose a convolutional network or DINOv2"
        )
