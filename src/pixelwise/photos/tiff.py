"""Directories of TIFF files: a picture's tags, packed.

Source: TIFF 6.0, section 2; BigTIFF as libtiff defines it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Literal

Kind = Literal["text", "short", "long", "place"]  # of a tag's values; a place takes 8 bytes in a BigTIFF
Tag = tuple[int, Kind, Sequence[int]]  # number, kind and values
HEADER_BYTES = {False: 8, True: 16}  # by whether it is a BigTIFF
_SINGLE: dict[Kind, tuple[int, str]] = {"text": (2, "B"), "short": (3, "H"), "long": (4, "I")}
_PLACE = {False: (4, "I"), True: (16, "Q")}


def header(first: int, big: bool) -> bytes:
    """Return the file's first bytes; `first` is the place of the first directory, a multiple of 8."""
    return struct.pack("<2sHHHQ", b"II", 43, 8, 0, first) if big else struct.pack("<2sHI", b"II", 42, first)


def directory(tags: Sequence[Tag], at: int, big: bool, last: bool = True) -> bytes:
    """Return a picture's directory for the place `at`, a multiple of 8, with long values behind it.

    Its length is a multiple of 8 and does not depend on the values. Unless it is the `last`, it points to
    what comes right behind it.
    """
    place, count, room = ("<Q", "<Q", 8) if big else ("<I", "<H", 4)
    tables_at = at + struct.calcsize(count) + len(tags) * (4 + 2 * room) + room
    entries, tables = b"", b""
    for number, kind, values in sorted(tags, key=lambda tag: tag[0]):
        code, letter = _PLACE[big] if kind == "place" else _SINGLE[kind]
        packed = struct.pack(f"<{len(values)}{letter}", *values)
        if len(packed) > room:
            tables += bytes(-(tables_at + len(tables)) % 8)
            packed, tables = struct.pack(place, tables_at + len(tables)), tables + packed
        entries += (
            struct.pack("<HH", number, code) + struct.pack(place, len(values)) + packed.ljust(room, b"\0")
        )
    tables += bytes(-(tables_at + len(tables)) % 8)
    following = 0 if last else tables_at + len(tables)
    return struct.pack(count, len(tags)) + entries + struct.pack(place, following) + tables
