"""JSON files from anywhere, each value checked for its kind."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pixelwise.errors import DataError, LabelError, shortened
from pixelwise.files import reason

_MAX_BYTES = 2**30  # twice what COCO's own largest file has
T = TypeVar("T")


def read_json(path: Path) -> Any:
    """Read a JSON file; DataError where it cannot be read, is no JSON, or is larger than 1 GiB."""
    try:
        if (num := path.stat().st_size) > _MAX_BYTES:
            raise DataError(f"{path}: needed at most {_MAX_BYTES} bytes of JSON, got {num}; split the file")
        return json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {reason(error)}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: needed JSON, got something else ({error}); write the file again") from error


def get(values: Any, key: str, kind: type[T], where: object) -> T:
    """Return the list, the text or the whole number from 0 under a key; LabelError where there is none."""
    found = values.get(key) if isinstance(values, Mapping) else None
    if kind is int and isinstance(found, float) and found.is_integer():
        found = int(found)
    if type(found) is kind and found != "" and (not isinstance(found, int) or 0 <= found <= 2**63):
        return found
    needed = {list: f'a list "{key}"', str: f'a text "{key}"', int: f'a whole number "{key}" from 0'}[kind]
    raise LabelError(f"{where}: needed {needed}, got {shortened(found)}")


def check_numbers(values: Any, where: object) -> list[float]:
    """Return a list of finite numbers as floats; LabelError if it is none."""
    if isinstance(values, list) and all(type(value) in (int, float) for value in values):
        with contextlib.suppress(OverflowError):  # a whole number beyond what a float holds
            numbers = [float(value) for value in values]
            if all(map(math.isfinite, numbers)):
                return numbers
    raise LabelError(f"{where}: needed a list of numbers, got {shortened(values)}")
