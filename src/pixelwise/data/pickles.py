"""Pickles of plain values and byte arrays, read without running anything they name.

A pickle is a program: it may call whatever it names. Here it may name numpy's array, its dtype and the
function that joins them, under the names of numpy 1 and 2. Each name gives a record of what was asked for
instead of the thing itself, so that no foreign code runs and none of numpy's own sees foreign values.
"""

from __future__ import annotations

import io
import math
import pickle
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

from pixelwise.errors import DataError

_ALLOWED: Final = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
}


def read_plain(content: bytes) -> object:
    """The dicts, lists, tuples, numbers and strings of a pickle; `byte_array` reads the arrays among them.

    Strings of Python 2 come as bytes.

    Raises:
        DataError: the pickle is damaged, or names anything but a numpy array.
    """
    try:
        return _PlainUnpickler(io.BytesIO(content), encoding="bytes").load()
    except DataError:
        raise
    except Exception as error:  # a damaged or hostile program can fail in every way there is
        what = type(error).__name__
        raise DataError(f"needed a whole pickle of plain values, got a damaged one ({what})") from error


def byte_array(value: object) -> NDArray[np.uint8]:
    """The array of bytes that a pickle describes, read-only.

    Raises:
        DataError: the value is no array of bytes, or its shape and its content disagree.
    """
    if not isinstance(value, _Record) or value.name != "_reconstruct":
        raise DataError(f"needed a numpy array, got {_what(value)}")
    match value.state:
        case (_, tuple(shape), _Record(name="dtype", args=("u1" | b"u1", *_)), order, bytes(raw)):
            fits = all(type(side) is int and 0 <= side <= len(raw) for side in shape)
            if fits and math.prod(shape) == len(raw):
                return np.frombuffer(raw, dtype=np.uint8).reshape(shape, order="F" if order else "C")
    raise DataError("needed an array of bytes (u1) whose content fills its shape, got one that is not")


class _PlainUnpickler(pickle._Unpickler):
    """The unpickler written in Python, whose memo is a dict.

    The one in C keeps the memo in an array as long as the largest index, so that a dozen bytes ask it for
    gigabytes; for long byte strings, which is what CIFAR-10 is made of, it is no faster.
    """

    def find_class(self, module: str, name: str) -> Any:
        """A stand-in for an allowed name."""
        if (module, name) not in _ALLOWED:
            asked = f"{module}.{name}"
            raise DataError(
                f"needed a pickle of plain values and numpy arrays, got one that asks for {asked}"
            )
        return _StandIn(name)


@final
class _StandIn:
    """Takes the place of a function or class; calling it records the call."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *args: object) -> _Record:
        return _Record(self.name, args)


@final
class _Record:
    """What a pickle asked to be called, and the state it asked to be given."""

    __slots__ = ("args", "name", "state")

    def __init__(self, name: str, args: tuple[object, ...]) -> None:
        self.name = name
        self.args = args
        self.state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state


def _what(value: object) -> str:
    """A word for a value; never its content, which may be endless."""
    return value.name if isinstance(value, _Record) else type(value).__name__
