"""A class for every pixel: colour grey photographs and cut things out of them, on the machine you have.

Names are imported when they are first asked for: `import pixelwise` alone takes no time.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pixelwise.api.colour import ColouredImage, colourise
    from pixelwise.api.segmentation import Segmentation, Segmenter, segment

__version__ = "0.1.0"
__all__ = ["ColouredImage", "Segmentation", "Segmenter", "__version__", "colourise", "segment"]
_MODULES = {"ColouredImage": "colour", "colourise": "colour"}  # the others are in `segmentation`


def __getattr__(name: str) -> Any:
    """Import what `__all__` names when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module 'pixelwise' has no attribute {name!r}")
    module = importlib.import_module(f"pixelwise.api.{_MODULES.get(name, 'segmentation')}")
    return getattr(module, name)


def __dir__() -> list[str]:
    """Return all names, those not imported yet among them."""
    return sorted({*globals(), *__all__})
