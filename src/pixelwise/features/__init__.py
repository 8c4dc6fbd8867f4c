"""Features of photos: the maps of a frozen backbone, computed once and kept on disk."""

from pixelwise.features.cache import FeatureCache, PhotoMaps
from pixelwise.features.extraction import PhotoLook, extract, read_photo

__all__ = ["FeatureCache", "PhotoLook", "PhotoMaps", "extract", "read_photo"]
