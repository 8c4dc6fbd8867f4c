"""JSON files from anywhere: refused in plain words, and each value in them asked for by its kind."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pixelwise.classnames import ClassNames
from pixelwise.errors import DataError, LabelError, shortened
from pixelwise.files import reason

_MAX_BYTES = 2**30  # twice what COCO's own largest file has


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        DataError: there is no such file, it may not be read, is no JSON, or is larger than 1 GiB.
    """
    if not path.is_file():
        raise DataError(f"{path}: needed a JSON file, {'got a folder' if path.is_dir() else 'there is none'}")
    try:
        if (num_bytes := path.stat().st_size) > _MAX_BYTES:
            raise DataError(
                f"{path}: needed at most {_MAX_BYTES} bytes of JSON, got {num_bytes}; split the file"
            )
        return json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {reason(error)}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: needed JSON, got something else ({error}); write the file again") from error


def entries(values: Any, key: str, where: object) -> list[Any]:
    """The list under a key.

    Raises:
        LabelError: there is none.
    """
    found = values.get(key) if isinstance(values, Mapping) else None
    if not isinstance(found, list):
        raise LabelError(f'{where}: needed a list "{key}", got {short(found)}')
    return found


def whole_number(values: Any, key: str, where: object, least: int = 0, most: int = 2**63) -> int:
    """The whole number under a key; 7.0 is one, true is not.

    Raises:
        LabelError: there is none from `least` to `most`.
    """
    found = values.get(key) if isinstance(values, Mapping) else None
    whole = int(found) if isinstance(found, float) and found.is_integer() else found
    if type(whole) is not int or not least <= whole <= most:
        limits = f"from {least}" + (f" to {most}" if most < 2**63 else "")
        raise LabelError(f'{where}: needed a whole number "{key}" {limits}, got {short(found)}')
    return whole


def text(values: Any, key: str, where: object) -> str:
    """The text under a key.

    Raises:
        LabelError: there is none, or it is empty.
    """
    found = values.get(key) if isinstance(values, Mapping) else None
    if not isinstance(found, str) or not found:
        raise LabelError(f'{where}: needed a text "{key}", got {short(found)}')
    return found


def numbers(values: Any, where: object) -> list[float]:
    """A list of finite numbers.

    Raises:
        LabelError: it is none.
    """
    if not isinstance(values, list) or not all(_is_finite(value) for value in values):
        raise LabelError(f"{where}: needed a list of numbers, got {short(values)}")
    return [float(value) for value in values]


def class_number(classes: ClassNames, name: str, where: object) -> int:
    """The number of the class that a file names.

    Raises:
        LabelError: there is no such class.
    """
    try:
        return classes.index(name)
    except LabelError as error:
        raise LabelError(f"{where}: {error}") from error


def short(value: object) -> str:
    """A value as a message shows it."""
    return "nothing" if value is None else shortened(value)


def _is_finite(value: object) -> bool:
    try:
        return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type] # just checked
    except OverflowError:  # a whole number beyond what a float holds
        return False
