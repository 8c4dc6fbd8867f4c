"""Data sets: where they come from, how they are checked, and what is in them."""

from pixelwise.data.labelled import LabelledPhoto, LabelledPhotos
from pixelwise.data.pictures import Pictures
from pixelwise.data.sources import load_labelled, load_pictures, source_folder

__all__ = ["LabelledPhoto", "LabelledPhotos", "Pictures", "load_labelled", "load_pictures", "source_folder"]
