"""A class for every pixel: colour grey photographs and cut things out of them, on the machine you have.

What is named here is imported when it is first asked for: `import pixelwise` alone takes no time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pixelwise.version import __version__

if TYPE_CHECKING:
    from pixelwise.api import ColouredImage, Segmentation, Segmenter, colourise, segment

__all__ = ["ColouredImage", "Segmentation", "Segmenter", "__version__", "colourise", "segment"]


def __getattr__(name: str) -> Any:
    """What `__all__` names."""
    if name not in __all__:
        raise AttributeError(f"module 'pixelwise' has no attribute {name!r}")
    from pixelwise import api

    return getattr(api, name)


def __dir__() -> list[str]:
    """With what is not imported yet."""
    return sorted({*globals(), *__all__})
