"""Where results go: a name for each input, safe whatever the input was called, and never two alike."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path, PurePosixPath

NAME_BYTES = 90
"""About as many are held for each name that was given, in Python's set of numbers."""
_CLIMBS = re.compile(r"(^|/)\.\.(/|$)")


def hostile(name: str) -> str:
    """Why a name from inside an archive is not one to follow; empty where it is harmless.

    No such name would be written to in any case: this is said, since whoever packed it so meant no good.
    """
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:[\\/]", name):
        return "its name in the archive is absolute"
    if _CLIMBS.search(name.replace("\\", "/")):
        return "its name climbs out of the archive"
    if "\0" in name:
        return "its name holds a null character"
    return ""


def below(path: str, top: str) -> str:
    """A file's path as seen from a folder; of a file elsewhere its whole path, without the root."""
    path, top = os.path.normpath(path), os.path.normpath(top)
    inside = os.path.commonpath([path, top]) == top
    return os.path.relpath(path, top) if inside else path.lstrip("/")


class Names:
    """Gives each input the name of its output below the output folder, without the suffix.

    It is the input's own name without its suffix; where another has that already, with it: of a.jpg and
    a.png the outputs are a.jpg and a.png.png. Of each name given a number is held, in `NAME_BYTES`: 0.9 GB
    for ten million inputs.
    """

    def __init__(self) -> None:
        self._taken: set[int] = set()

    def give(self, name: str) -> str:
        """The output's name for an input of this name, which is relative and may be hostile."""
        parts = [_harmless(part) for part in PurePosixPath(name).parts if part not in ("/", "..", ".")]
        whole = PurePosixPath(*parts) if parts else PurePosixPath("unnamed")
        given = str(whole.with_suffix("")) if whole.suffix else str(whole)
        num = 1
        while not self._take(given):
            given = str(whole) if num == 1 else f"{whole}.{num}"
            num += 1
        return given

    def _take(self, name: str) -> bool:
        """Keep a name, if it is free; names that differ in case alone are one name on some disks."""
        digest = hashlib.blake2b(os.fsencode(name.casefold()), digest_size=8).digest()
        mark = int.from_bytes(digest, "big")
        is_free = mark not in self._taken
        self._taken.add(mark)
        return is_free


def _harmless(part: str) -> str:
    """A part of a path that is no hidden file's; hidden ones below the output folder are the batch's own."""
    return "_" + part.lstrip(".") if part.startswith(".") else part


def shown(path: str | Path) -> str:
    """A path as UTF-8 takes it: names of other times may be none."""
    return str(path).encode(errors="backslashreplace").decode()
