"""Arrays' types with their shapes in signatures: jaxtyping's while tests check them, otherwise names alone.

To import jaxtyping takes as long as numpy, since it brings what it checks with.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or "jaxtyping" in sys.modules:
    from jaxtyping import Bool, Float, Float32, Float64, Int, Int16, Int64, Integer, Shaped, UInt8
else:

    class _Unchecked:
        def __class_getitem__(cls, kind_and_shape: tuple[type, str]) -> Any:
            return kind_and_shape[0]

    Bool = Float = Float32 = Float64 = Int = Int16 = Int64 = Integer = Shaped = UInt8 = _Unchecked

__all__ = ["Bool", "Float", "Float32", "Float64", "Int", "Int16", "Int64", "Integer", "Shaped", "UInt8"]
