"""The writeup and the report, typeset from answers.json; the notebook, which is run; its starter."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path
from typing import Final

import jupytext
import nbformat
import typst

from pixelwise.errors import OutputError
from pixelwise.files import write_bytes, write_text
from pixelwise.lab.answer import PHOTOS, PICTURES, Setting
from pixelwise.labels.sources import data_dir_of
from pixelwise.progress import progress

ANSWERS: Final = "answers.json"
WRITEUP: Final = "a2-writeup.pdf"
REPORT: Final = "lab-report.pdf"
NOTEBOOK: Final = "a2-cnn.ipynb"
_FIGURES = "figures"
_EXECUTE = """
import sys
import nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
client = NotebookClient(notebook, timeout=None, record_timing=False)
client.on_cell_complete = lambda **_: print(flush=True)  # a line for each, as progress
client.execute()
nbformat.write(notebook, sys.argv[1])
"""
_BLANK = re.compile(  # an indent, a hint and its question, and the code that answers it
    r"^( *)(# --- your code, (\w+): .*\n(?:\1# .*\n)*)(?:.*\n)+?(?=\1# --- end\n)", re.MULTILINE
)
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def write_pdfs(folder: Path) -> None:
    """Typeset the writeup and the report from the answers and the figures in a folder.

    The fonts are the typesetter's own, and there is no date: equal answers and figures give equal bytes.
    OutputError where a figure is missing, the answers lack a value, or a file cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="pixelwise-") as temporary:
        root = Path(temporary)  # the typesetter reads nothing outside of one folder
        with resources.as_file(resources.files(__package__) / "typst") as texts:
            shutil.copytree(texts, root, dirs_exist_ok=True)
        for name, frame in ((WRITEUP, "writeup.typ"), (REPORT, "report.typ")):
            try:
                shutil.copy(folder / ANSWERS, root)
                if (folder / _FIGURES).is_dir():
                    shutil.copytree(folder / _FIGURES, root / _FIGURES, dirs_exist_ok=True)
                content = typst.compile(root / frame, root=root, ignore_system_fonts=True, timestamp=0)
            except (OSError, typst.TypstError) as error:
                where = ", ".join(getattr(error, "trace", ()))  # which text, and what in it
                raise OutputError(
                    f"cannot write {folder / name}: {error}{f' ({where})' if where else ''}; "
                    f"delete {folder / 'answers'} to have the answers made anew"
                ) from error
            write_bytes(folder / name, content)


def make_notebook(setting: Setting) -> nbformat.NotebookNode:
    """Return the notebook, not run yet; a cell holds the setting, metadata all that decides results."""
    source = _source()
    chosen = {
        "QUICK": setting.quick,
        "SEED": setting.seed,
        "DATA_DIR": str(data_dir_of(setting.data_dir).absolute()),
        "DEVICE": setting.device,
        "WEIGHTS": str(setting.weights.absolute()) if setting.weights else None,
    }
    for name, value in chosen.items():
        (written,) = re.findall(rf"^{name} = \S+", source, re.MULTILINE)
        source = source.replace(written, f"{name} = {value!r}", 1)
    notebook = _from_source(source)
    notebook.metadata["made_by"] = [setting.made_by(PICTURES), setting.made_by(PHOTOS, with_network=True)]
    return notebook


def write_starter(path: Path) -> None:
    """Write the notebook for students: gaps in place of answers, each of which raises until it is filled."""
    if path.exists():
        raise OutputError(f"cannot write {path}: it is there already, and may hold someone's answers")
    source = _BLANK.sub(r'\1\2\1raise NotImplementedError("\3: your code")\n', _source())
    write_text(path, nbformat.writes(_from_source(source)) + "\n")


def _source() -> str:
    return resources.files(__package__).joinpath("a2-cnn.py").read_text(encoding="utf-8")


def _from_source(source: str) -> nbformat.NotebookNode:
    notebook: nbformat.NotebookNode = jupytext.reads(source, fmt="py:percent")
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        cell.metadata.pop("cell_marker", None)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return notebook


def _is_run(path: Path, notebook: nbformat.NotebookNode) -> bool:
    """Return whether a file is this very notebook; it was written when all of it had run."""
    try:
        found = nbformat.read(path, as_version=4)
    except (OSError, ValueError):
        return False
    sources = [[cell.source for cell in one.cells] for one in (found, notebook)]
    return sources[0] == sources[1] and found.metadata.get("made_by") == notebook.metadata["made_by"]


def write_notebook(setting: Setting) -> Path:
    """Run the notebook, and write it with its outputs, unless that is there already; return its path.

    It runs in a process of its own, since nbclient takes Ctrl-C for a kernel that died. OutputError where a
    cell ended with an error, or the notebook cannot be written.
    """
    path, notebook = setting.out / NOTEBOOK, make_notebook(setting)
    if _is_run(path, notebook):
        return path
    with tempfile.TemporaryDirectory(prefix="pixelwise-") as folder:
        executed = Path(folder) / NOTEBOOK
        nbformat.write(notebook, executed)
        # this Python's own kernel, whatever others the user has; no history among the user's own
        names = ("IPYTHONDIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
        environment = os.environ | dict.fromkeys(names, folder) | {"JUPYTER_PREFER_ENV_PATH": "1"}
        command = [sys.executable, "-c", _EXECUTE, str(executed)]
        num_cells = sum(cell.cell_type == "code" for cell in notebook.cells)
        with (
            (Path(folder) / "stderr").open("w+", encoding="utf-8") as messages,
            progress(f"running {NOTEBOOK}", num_cells) as advance,
            subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=messages, text=True
            ) as process,
        ):
            assert process.stdout is not None
            try:
                for _line in process.stdout:
                    advance(1, "")
            except BaseException:
                process.terminate()  # nbclient then ends its kernel, too
                raise
            process.wait()
            messages.seek(0)
            written = messages.read()
        if process.returncode:
            last = _ANSI.sub("", written).strip().splitlines()[-1:] or [f"code {process.returncode}"]
            raise OutputError(f"cannot write {path}: a cell ended with {last[0]}")
        write_text(path, executed.read_text(encoding="utf-8"))
    return path
