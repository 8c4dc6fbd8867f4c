"""The writeup: a typeset PDF, all of whose numbers come from answers.json."""

from __future__ import annotations

import shutil
import tempfile
from importlib import resources
from pathlib import Path
from typing import Final

import typst

from pixelwise.errors import OutputError
from pixelwise.files import write_bytes

ANSWERS: Final = "answers.json"
WRITEUP: Final = "a2-writeup.pdf"
_FIGURES = "figures"
_TEXTS = "typst"  # folder beside this file


def write_writeup(folder: Path) -> Path:
    """Typeset `folder`/a2-writeup.pdf from the answers and the figures in the folder; return its path.

    The fonts are the typesetter's own, and there is no date: equal answers and figures give equal bytes.

    Raises:
        OutputError: a figure is missing, a text needs a value that the answers lack, or the file cannot be
            written.
    """
    path = folder / WRITEUP
    with tempfile.TemporaryDirectory(prefix="pixelwise-") as name:
        root = Path(name)  # the typesetter reads nothing outside of one folder
        with resources.as_file(resources.files(__package__) / _TEXTS) as texts:
            shutil.copytree(texts, root, dirs_exist_ok=True)
        try:
            shutil.copy(folder / ANSWERS, root)
            if (folder / _FIGURES).is_dir():
                shutil.copytree(folder / _FIGURES, root / _FIGURES)
            content = typst.compile(root / "writeup.typ", root=root, ignore_system_fonts=True, timestamp=0)
        except (OSError, typst.TypstError) as error:
            where = ", ".join(getattr(error, "trace", ()))  # which text, and what in it
            raise OutputError(
                f"cannot write {path}: {error}{f' ({where})' if where else ''}; "
                f"delete {folder / 'answers'} to have the answers made anew"
            ) from error
    write_bytes(path, content)
    return path
