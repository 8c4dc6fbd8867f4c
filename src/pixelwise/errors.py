"""Exceptions of this package; each message says what was needed, what came, what to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

_MEMORY_WORDS = ("allocate memory", "out of memory", "bad_alloc", "could not create a primitive")


def shortened(value: object, most: int = 60) -> str:
    """Return a value as a message shows it, cut off where it is longer than `most` characters."""
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= most else text[: most - 3] + "..."


def listed(names: Sequence[object], most: int = 10) -> str:
    """Join names with commas; of more than `most` the others are only counted."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more


class PixelwiseError(Exception):
    """Anything this package raises on purpose."""


class ConfigError(PixelwiseError):
    """An option, or a combination of options, that cannot work."""


class DataError(PixelwiseError):
    """A data set that is missing, damaged or not what it says it is."""


class DownloadError(DataError):
    """A download that was refused, broke off, or does not match its checksum."""


class PhotoError(PixelwiseError):
    """A photo that cannot be read; a batch names it and goes on."""


class FormatError(PhotoError):
    """A file that is no photo, or one of a format that is not read here."""


class PhotoSizeError(PhotoError):
    """A photo of more pixels than were allowed."""


class OutputError(PixelwiseError):
    """A result that cannot be written: no permission, no space, a name taken twice."""


class CheckpointError(PixelwiseError):
    """A model or run file that is damaged, foreign or of another version."""


class LabelError(PixelwiseError):
    """A label that is neither 0..K-1 nor IGNORE, or a palette that cannot be one."""


class ShapeError(PixelwiseError):
    """An array whose shape the function cannot take."""


class FrozenError(PixelwiseError):
    """A network that was to stay frozen has changed."""


class DivergedError(PixelwiseError):
    """Training whose loss is no longer a number; its weights are lost for good."""


class UnsolvedError(PixelwiseError):
    """A head whose gradient did not vanish: nothing shows that there is none better."""


class Interrupted(PixelwiseError):
    """Stopped by the user; what was done is saved at `path`."""

    def __init__(self, message: str, path: Path) -> None:
        super().__init__(message)
        self.path = path


def is_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out: by Python's own type, or in a library's words."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in _MEMORY_WORDS)
