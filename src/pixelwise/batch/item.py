"""One input of a batch: what it is called, where its bytes lie, where its output goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["file", "row", "member"]


@dataclass(frozen=True, kw_only=True)
class Item:
    """One input."""

    name: str
    """As messages and the manifest call it."""
    target: str
    """Of its output below the output folder, without the suffix, which the photo decides."""
    kind: Kind = "file"
    """A file of its own, a row of a Parquet file, or a member of a tar."""
    path: str
    """Of the file that holds it."""
    group: int = 0
    """Of a row: its row group."""
    place: int = 0
    """Of a row: its number in the group; of a member: where in the tar its bytes begin."""
    size: int = 0
    """Of a member: its bytes."""
    column: str = ""
    """Of a row: the column that holds the photo."""
    stamp: int = 0
    """When the file of a row or a member was last changed, in nanoseconds, as the plan found it."""
    refused: str = ""
    """Why it is not to be done at all; empty for all but the poisonous."""
