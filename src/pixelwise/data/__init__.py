"""Data sets: where they come from, how they are checked, and the pictures in them."""

from pixelwise.data.pictures import Pictures
from pixelwise.data.sources import load_pictures

__all__ = ["Pictures", "load_pictures"]
