"""The notebook: made from its paired source, run from top to bottom, with its outputs kept."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Final

import jupytext
import nbformat
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

from pixelwise.errors import DataError, OutputError
from pixelwise.files import write_text
from pixelwise.lab.answer import Setting
from pixelwise.progress import progress

NOTEBOOK: Final = "a2-cnn.ipynb"
_SOURCE = "a2-cnn.py"  # beside this file, in jupytext's percent format
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def make_notebook(setting: Setting) -> nbformat.NotebookNode:
    """The notebook, not run yet; its first cell of code has what the setting says.

    Equal settings make equal notebooks.
    """
    source = resources.files(__package__).joinpath(_SOURCE).read_text(encoding="utf-8")
    data_dir = str(setting.data_dir.absolute()) if setting.data_dir else None
    chosen = {
        "QUICK": setting.quick,
        "SEED": setting.seed,
        "DATA_DIR": data_dir,
        "DEVICE": setting.device,
        "PRECISION": setting.precision,
        "RUNS": _runs(setting),
    }
    for name, value in chosen.items():
        (written,) = re.findall(rf"^{name} = \S+", source, re.MULTILINE)
        source = source.replace(written, f"{name} = {value!r}", 1)
    notebook: nbformat.NotebookNode = jupytext.reads(source, fmt="py:percent")
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        cell.metadata.pop("cell_marker", None)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return notebook


def _runs(setting: Setting) -> str | None:
    """Where the lab's own runs lie; none where there are none, or not the pictures that they learned from."""
    try:
        return str(setting.runs.absolute()) if (setting.out / "runs").is_dir() else None
    except DataError:
        return None


def write_notebook(setting: Setting) -> Path:
    """Run the notebook in a process of its own, and write it with its outputs; gives its path.

    It needs no kernel to be registered, and leaves nothing outside of the setting's folder.

    Raises:
        KeyboardInterrupt: Ctrl-C came; nothing is written.
        OutputError: a cell ended with an error, or the notebook cannot be written.
    """
    path = setting.out / NOTEBOOK
    notebook = make_notebook(setting)
    with tempfile.TemporaryDirectory(prefix="pixelwise-") as folder:
        _run(notebook, Path(folder), path)
    write_text(path, nbformat.writes(notebook) + "\n")
    return path


def _run(notebook: nbformat.NotebookNode, folder: Path, path: Path) -> None:
    """Run every cell in its place, with time left by the number of cells."""
    manager = AsyncKernelManager(
        kernel_spec_manager=_ThisPython(), transport="ipc", connection_file=str(folder / "kernel.json")
    )
    client = NotebookClient(
        notebook, km=manager, timeout=None, record_timing=False, shutdown_kernel="immediate"
    )
    client.on_notebook_start = _signals_as_they_are()
    own = os.environ | {"IPYTHONDIR": str(folder)}  # no history among the user's own
    with progress(f"running {NOTEBOOK}", len(notebook.cells)) as advance:
        client.on_cell_complete = lambda cell, **_: advance(1, _told(cell.source))
        try:
            asyncio.run(_execute(client, own))
        except (CellExecutionError, DeadKernelError) as error:
            last = _ANSI.sub("", str(error)).strip().splitlines()[-1]
            raise OutputError(f"cannot write {path}: a cell ended with {last}") from error


async def _execute(client: NotebookClient, environment: dict[str, str]) -> None:
    """Run a notebook in a kernel that ends with it."""
    task = asyncio.current_task()
    try:
        await client.async_execute(cleanup_kc=True, env=environment)
    except DeadKernelError:
        if task is not None and task.cancelling():
            raise asyncio.CancelledError from None  # it died because we stop
        raise


def _signals_as_they_are() -> Callable[..., None]:
    """What takes Ctrl-C and polite kills back from nbclient, which would call them a kernel that died."""
    if threading.current_thread() is not threading.main_thread():
        return lambda **_: None  # where it takes none
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def take_back(**_: object) -> None:
        for number, handler in previous.items():
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, handler)

    return take_back


class _ThisPython(KernelSpecManager):
    """The Python that runs now, whatever kernels are registered."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """What starts it."""
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=command, display_name=kernel_name, language="python")


def _told(source: str) -> str:
    """A cell in a few words: its first line of prose or code."""
    lines = (line.strip("# ") for line in source.splitlines())
    return next((line for line in lines if line), "")[:40]
