"""Named arrays and plain values in one file that describes itself: safetensors, never pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray
from safetensors import SafetensorError, safe_open

from pixelwise.errors import CheckpointError, OutputError
from pixelwise.files import whole_file

_FORMAT = 1
_UNREADABLE = (SafetensorError, OSError, ValueError, TypeError, RuntimeError, OverflowError, MemoryError)


def write_tensors(path: Path, tensors: Mapping[str, ndarray], about: dict[str, Any]) -> None:
    """Write arrays by name, and plain values for JSON, in one atomic step, or raise an OutputError."""
    from safetensors.numpy import save_file

    contiguous = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
    with whole_file(path) as temporary:
        try:
            save_file(contiguous, temporary, metadata={"pixelwise": json.dumps({"format": _FORMAT} | about)})
        except SafetensorError as error:  # it has the system's words, and no number
            reason = str(error).rpartition("I/O error: ")[2].partition(" (os error")[0]
            raise OutputError(f"cannot write {path}: {reason.lower()}") from error


def read_tensors(path: Path, header_only: bool = False) -> tuple[dict[str, ndarray], dict[str, Any]]:
    """Read what `write_tensors` wrote, without arrays if `header_only`, or raise a CheckpointError."""
    try:
        with safe_open(path, framework="np") as file:
            about = json.loads((file.metadata() or {}).get("pixelwise", "null"))
            if not isinstance(about, dict):
                raise CheckpointError(f"{path} was not written by pixelwise: its header says nothing of it")
            if (found := about.pop("format", None)) != _FORMAT:
                raise CheckpointError(
                    f"{path} has format {found}, this version reads {_FORMAT}; update pixelwise"
                )
            names = [] if header_only else list(file.keys())
            return {name: file.get_tensor(name) for name in names}, about
    except _UNREADABLE as error:
        raise CheckpointError(
            f"{path} cannot be read as safetensors ({first_line(error)}); it is damaged or of another kind"
        ) from error


def first_line(error: Exception) -> str:
    """Return the first line of a library's error, short enough for a message."""
    return str(error).strip().split("\n")[0][:200] or type(error).__name__
