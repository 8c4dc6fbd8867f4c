"""The page: colour, segment and teach in a browser that needs nothing but this machine."""

from pixelwise.web.page.mounted import mount

__all__ = ["mount"]
