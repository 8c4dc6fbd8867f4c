"""Networks in ONNX files, and the sessions of ONNX Runtime that run them."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy import ndarray

from pixelwise.colour.arrays import Float
from pixelwise.errors import CheckpointError, ConfigError, FrozenError, is_of_memory
from pixelwise.files import checksum
from pixelwise.network.config import Device

if TYPE_CHECKING:
    import onnxruntime

_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_LARGE = 3 * 1_000_000  # numbers that a network reads at once, after which its memory is given back


class OnnxNetwork:
    """A network in an ONNX file, with what it says of itself in its metadata."""

    def __init__(self, source: Path | bytes, threads: int = 0, device: Device = "auto") -> None:
        """Open a file, or its content, to run in so many threads; 0: one for each processor that we may use.

        CheckpointError where it is damaged or no network, ConfigError where a GPU is asked for in vain.
        """
        self.source, self.threads = source, threads
        try:
            content = source if isinstance(source, bytes) else source.read_bytes()
            self.sha256 = hashlib.sha256(content).hexdigest()  # of what runs, whatever becomes of the file
            self._session, self.device = _new_session(content, threads, device)
            self.nodes = self._session.get_inputs(), self._session.get_outputs()  # name, shape and type
            self.inputs = tuple(node.name for node in self.nodes[0])
            self.outputs = {node.name: node.shape for node in self.nodes[1]}
            self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        except ConfigError:
            raise
        except Exception as error:  # of a kind of its own for each fault
            _raise_lack_of_memory(error)
            raise CheckpointError(f"{self} cannot be read as a network: {error!s:.200}") from error
        self.about: dict[str, Any] = {}  # what our own files say; others may have values of other kinds
        for name, value in self.metadata.items():
            with contextlib.suppress(ValueError, RecursionError):
                self.about[name] = json.loads(value)

    def run(
        self, inputs: dict[str, ndarray], outputs: tuple[str, ...]
    ) -> dict[str, Float[ndarray, "N _C _h _w"]]:
        """Return some outputs, by name; MemoryError where there is too little, else a CheckpointError."""
        options = _giving_back() if max(array.size for array in inputs.values()) > _LARGE else None
        try:
            found = self._session.run(list(outputs), inputs, options)
        except Exception as error:
            _raise_lack_of_memory(error)
            raise CheckpointError(f"{self} cannot be run: {error!s:.200}") from error
        return dict(zip(outputs, found, strict=True))

    def in_threads(self, threads: int) -> OnnxNetwork:
        """Return the network, to run in so many threads; FrozenError if its file has changed."""
        if threads == self.threads:
            return self
        again = OnnxNetwork(self.source, threads, self.device)
        if again.sha256 != self.sha256:
            raise FrozenError(f"needed a network that stays as it is, but {self} changed; run again")
        return again

    def checksum(self) -> str:
        """Return the SHA-256 of its file, read anew."""
        content = self.source
        return hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else checksum(content)

    def __str__(self) -> str:
        return "a network" if isinstance(self.source, bytes) else str(self.source)

    def __reduce__(self) -> tuple[type[OnnxNetwork], tuple[Path | bytes, int, Device]]:
        """Let a copy in another process open the file itself."""
        return OnnxNetwork, (self.source, self.threads, self.device)


def _new_session(content: bytes, threads: int, device: Device) -> tuple[onnxruntime.InferenceSession, Device]:
    """Return a session and where it computes: cpu or cuda."""
    providers = [_CUDA, _CPU] if choose_device(device) == "cuda" else [_CPU]
    import onnxruntime  # an eighth of a second

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what fails is raised
    options.intra_op_num_threads = threads or usable_processors()
    # Threads that spin while they wait take the processor from whoever else works on a busy machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # An arena pays where each thread runs a photo after the other; elsewhere it only keeps their memory.
    options.enable_cpu_mem_arena = threads == 1
    # Where it may fall back, it tells of each damaged file on standard output.
    session = onnxruntime.InferenceSession(
        content, options, providers=providers, enable_fallback=len(providers) > 1
    )
    if session.get_providers()[0] == _CUDA:
        return session, "cuda"
    if device == "cuda":
        raise ConfigError("device cuda needs a GPU that works, and this one does not; use --device cpu")
    return session, "cpu"


def choose_device(device: Device) -> Device:
    """Return cpu or cuda: for "auto" a GPU where ONNX Runtime has one; ConfigError if "cuda" has none."""
    try:
        import onnxruntime
    except ImportError as error:
        remedy = "install it again; on Windows it needs the Visual C++ runtime"
        raise ConfigError(f"onnxruntime cannot be loaded ({error!s:.200}); {remedy}") from error
    has_gpu = _CUDA in onnxruntime.get_available_providers()
    if device == "cuda" and not has_gpu:
        raise ConfigError(
            "device cuda needs a GPU that ONNX Runtime can use, and there is none: pip install "
            "onnxruntime-gpu in place of onnxruntime, or use --device cpu"
        )
    return "cuda" if has_gpu and device != "cpu" else "cpu"


def _giving_back() -> onnxruntime.RunOptions:
    """Return options that hand memory back after a run: an arena keeps that of its largest inputs."""
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


def usable_processors() -> int:
    """Return the number of processors that we may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def give_back_memory() -> None:
    """Return memory that is free within this process to the system, where its C library can (glibc)."""
    with contextlib.suppress(OSError, TypeError, AttributeError):  # Windows has no library of that kind
        ctypes.CDLL(None).malloc_trim(0)


def _raise_lack_of_memory(error: Exception) -> None:
    if is_of_memory(error):
        raise MemoryError("a network needed more memory than there is") from error
