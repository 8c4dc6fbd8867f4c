"""Files of weights: read without running anything that is in them, and loaded into a network, or refused."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pixelwise.errors import CheckpointError
from pixelwise.network.tensors import first_line


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name, safetensors or what torch saved, or raise a CheckpointError."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():  # of how others wrote their files
            warnings.simplefilter("ignore", UserWarning)
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"needed a file of weights, but there is no {path}") from error
    except (SafetensorError, pickle.UnpicklingError, OSError, RuntimeError, ValueError, EOFError) as error:
        raise CheckpointError(
            f"{path} cannot be read as weights ({first_line(error)}); it is damaged or holds more"
        ) from error
    if not (isinstance(tensors, dict) and all(isinstance(tensor, Tensor) for tensor in tensors.values())):
        raise CheckpointError(f"{path} holds no weights: needed tensors by name, as a network's state_dict()")
    return tensors


def load_weights(net: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Load a file's tensors into a network, maybe a meta one; a CheckpointError if they do not fit."""
    needed = net.state_dict()
    shapes, found = ({name: tensor.shape for name, tensor in those.items()} for those in (needed, tensors))
    if wrong := [name for name in shapes | found if shapes.get(name) != found.get(name)]:
        raise CheckpointError(
            f"{path} does not fit the network: {len(wrong)} tensors are missing, too many, or of another "
            f"shape, such as {', '.join(sorted(wrong)[:3])}; give the file that was made for it"
        )
    net.load_state_dict(
        {name: tensors[name].to(tensor.dtype) for name, tensor in needed.items()}, assign=True
    )
