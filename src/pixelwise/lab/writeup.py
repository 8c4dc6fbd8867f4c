"""The writeup: a typeset PDF, all of whose numbers are read from answers.json."""

from __future__ import annotations

import shutil
import tempfile
from importlib import resources
from pathlib import Path
from typing import Final

import typst
from PIL import Image

from pixelwise.errors import OutputError
from pixelwise.files import write_bytes

ANSWERS: Final = "answers.json"
WRITEUP: Final = "a2-writeup.pdf"
_FIGURES = "figures"
_PHOTOGRAPHS_BYTES = 400_000  # of a PNG; drawings compress to less
_QUALITY = 88  # of JPEG
_TEXTS = "typst"  # beside this file: a text for each question, and the frame around them


def write_writeup(folder: Path) -> Path:
    """Typeset `folder`/a2-writeup.pdf from the answers and the figures in the folder; gives its path.

    Fonts are those inside the typesetter, embedded in the file, so that it looks the same everywhere. It has
    no date: equal answers and figures give equal bytes.

    Raises:
        OutputError: a figure is missing, the answers are not those that the texts tell of, or the file cannot
            be written.
    """
    path = folder / WRITEUP
    with tempfile.TemporaryDirectory(prefix="pixelwise-") as name:
        together = Path(name)  # the typesetter reads nothing outside of one folder
        with resources.as_file(resources.files(__package__) / _TEXTS) as texts:
            shutil.copytree(texts, together, dirs_exist_ok=True)
        try:
            shutil.copy(folder / ANSWERS, together)
            if (folder / _FIGURES).is_dir():
                shutil.copytree(folder / _FIGURES, together / _FIGURES, copy_function=_copy_small)
            content = typst.compile(
                together / "writeup.typ", root=together, ignore_system_fonts=True, timestamp=0
            )
        except (OSError, typst.TypstError) as error:
            where = ", ".join(getattr(error, "trace", ()))  # which text, and what in it
            raise OutputError(
                f"cannot write {path}: {error}{f' ({where})' if where else ''}; "
                f"delete {folder / 'answers'} to have the answers made anew"
            ) from error
    write_bytes(path, content)
    return path


def _copy_small(source: str, target: str) -> None:
    """Copy a figure; one that is large holds photographs, which are kept as JPEG under the same name."""
    if Path(source).stat().st_size < _PHOTOGRAPHS_BYTES:
        shutil.copy(source, target)
        return
    with Image.open(source) as figure:
        figure.convert("RGB").save(target, format="JPEG", quality=_QUALITY)
